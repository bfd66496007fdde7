"""The network part of a session: peers, fetching, priors, sending, commitments."""
