"""Finds and fetches instances of a peer: by C-FIND and QIDO-RS, and by C-GET, C-MOVE and WADO-RS."""
