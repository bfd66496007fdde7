"""Finds the order of slices and volumes, and the evidence for it."""
