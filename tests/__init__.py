"""The tests: see each folder for what it proves."""
