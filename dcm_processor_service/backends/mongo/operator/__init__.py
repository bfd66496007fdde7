"""The operator's tools for the platform's documents: the state of sessions, the causes of dead jobs, and changes."""
