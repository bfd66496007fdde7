"""Converts an instance to a transfer syntax that a peer takes."""
