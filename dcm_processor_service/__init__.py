"""Service-side SDK of the dcm-processor platform."""
