"""Draws contact sheets of volumes, series and results."""
