"""New services, made of templates that are complete and tested."""
