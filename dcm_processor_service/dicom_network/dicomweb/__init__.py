"""STOW-RS (PS3.18, section 10.5)."""
