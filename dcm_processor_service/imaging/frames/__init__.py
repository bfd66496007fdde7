"""The values of headers become one record a frame: place, pixel format, rescale."""
