"""Reads stacks as volumes, converts volumes for other libraries, and resamples them."""
