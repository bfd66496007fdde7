"""Values of images: what a series is, what a conversion makes, which limits hold."""
