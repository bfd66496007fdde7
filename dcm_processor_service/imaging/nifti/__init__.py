"""Converts series and volumes to NIfTI files with sidecars."""
