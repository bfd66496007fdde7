"""Values of the DICOM network: peers, what is found, fetched, sent and committed."""
