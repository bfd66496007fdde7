"""Reads derived objects, of this service or of another vendor: masks, measurements and texts."""
