"""In which order slices and volumes stand, and what proves it."""
