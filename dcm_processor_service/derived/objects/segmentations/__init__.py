"""Segmentations: SEG, of one time point or several, and what masks must be."""
