"""Models of images: kinds and reports of series, results of conversions, limits of reading, pictures."""
