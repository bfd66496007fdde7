"""Finding and fetching what a peer holds: C-FIND and QIDO-RS, C-GET, C-MOVE and WADO-RS."""
