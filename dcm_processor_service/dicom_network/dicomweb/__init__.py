"""DICOMweb: STOW-RS (PS3.18, section 10.5), QIDO-RS, and the HTTP client with its authorization."""
