"""Finds instances at a peer by C-FIND and QIDO-RS, and fetches them by C-GET, C-MOVE and WADO-RS."""
