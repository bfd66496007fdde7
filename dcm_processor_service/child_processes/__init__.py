"""Processes of their own for what may end its process: libraries that decode and encode pixels."""
