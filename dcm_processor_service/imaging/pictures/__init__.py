"""Volumes become contact sheets."""
