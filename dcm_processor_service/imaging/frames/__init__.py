"""Makes one record for each frame from the values of headers: place, pixel format, rescale."""
