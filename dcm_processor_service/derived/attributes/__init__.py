"""What derived objects are made of: identity, references, codes, pixels, UIDs."""
