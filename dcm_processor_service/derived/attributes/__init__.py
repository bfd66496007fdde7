"""Writes and checks attributes of derived objects: identity, references, pixels, UIDs."""
