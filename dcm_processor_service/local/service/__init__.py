"""Runs a whole service in a workspace: reads its manifest, imports its code, plans each subject's jobs, runs them."""
