"""Pages about series and runs: pure functions from typed values to HTML."""
