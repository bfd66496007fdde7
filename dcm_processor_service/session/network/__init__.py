"""What a session does over the network: peers, fetching, priors, sending, commitments."""
