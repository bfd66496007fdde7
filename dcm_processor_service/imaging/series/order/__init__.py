"""Finds the order of slices and volumes, and the evidence for this order."""
