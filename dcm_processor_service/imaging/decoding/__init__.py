"""Compressed pixel data becomes arrays, in processes that may end without ending the job."""
