"""Checks of a service before it is deployed."""
