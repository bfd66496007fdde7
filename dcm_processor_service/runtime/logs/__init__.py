"""The log of a job, without patient values."""
