"""Implementations of the store ports: ``memory`` for unit tests, ``sqlite`` embedded, ``mongo`` for the platform."""
