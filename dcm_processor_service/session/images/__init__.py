"""The images of a session: ``session.dicom``, its series, and objects derived from them."""
