"""Derived objects, of this service or of another vendor, as values again: masks, measurements, words."""
