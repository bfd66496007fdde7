"""Finds, calls and ends callbacks, and passes their results on."""
