"""A workspace on a laptop: stores a folder of scans, runs a callback over it, draws its results."""
