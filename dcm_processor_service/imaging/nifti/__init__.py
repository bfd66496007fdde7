"""Volumes or files become NIfTI files with their sidecars."""
