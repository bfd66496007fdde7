"""Stores behind the ports: ``memory`` for unit tests, ``sqlite`` embedded, ``mongo`` for the platform."""
