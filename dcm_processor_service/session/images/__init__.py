"""What a session holds of images: ``session.dicom``, its series, and objects derived from them."""
