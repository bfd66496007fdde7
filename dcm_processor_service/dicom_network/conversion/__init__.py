"""Converts instances to transfer syntaxes that a peer accepts."""
