"""Draws structures on the slices of their source, as outlines and as pictures."""
