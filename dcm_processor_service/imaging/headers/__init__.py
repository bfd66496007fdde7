"""Reads the bytes of a file, and the values of its header."""
