"""Makes one record for each frame from the headers: where it lies, how its pixels are stored, how they are rescaled."""
