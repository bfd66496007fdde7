"""Makes reports in words and numbers: a module for each kind, and modules that they share."""
