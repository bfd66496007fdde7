"""Finds out what a series is: sorts its frames into stacks, lists its findings, and applies a policy to these."""
