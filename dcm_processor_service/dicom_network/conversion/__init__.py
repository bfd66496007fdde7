"""From the transfer syntax of an instance to one that a peer takes."""
