"""Codes, units, names of structures with their colours, and the label tables of well-known models."""
