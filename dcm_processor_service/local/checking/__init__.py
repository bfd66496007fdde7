"""Checks a service before it is deployed."""
