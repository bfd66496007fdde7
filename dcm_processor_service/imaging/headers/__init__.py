"""The bytes of a file become the values of its header."""
