"""Reports in words and numbers, a module for each kind, and what they share."""
