"""Decodes compressed pixel data in separate processes, so that a crash of a decoder does not end the job."""
