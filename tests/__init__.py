"""The tests; the docstring of each folder and file says what it tests."""
