"""Frames become stacks, findings and policies: what a series is."""
