"""Finds out what a series is: sorts its frames into stacks, lists findings, and applies a policy."""
