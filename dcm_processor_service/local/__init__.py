"""A workspace on a laptop: files a folder of scans, runs a callback over it, draws what came out."""
