"""Models of the DICOM network: peers, queries, and results of finding, fetching, sending and commitment."""
