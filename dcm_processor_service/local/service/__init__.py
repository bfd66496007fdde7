"""A whole service in a workspace: its manifest, its code, which jobs there are for a subject, and running them."""
