"""Commands that speak with peers."""
