"""Child processes for code that may end its process: libraries that decode and encode pixels."""
