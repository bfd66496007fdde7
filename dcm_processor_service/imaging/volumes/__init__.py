"""Reads stacks as volumes, resamples volumes, and converts them for other libraries."""
