"""What derived objects are made of: identity, references, pixels, UIDs."""
