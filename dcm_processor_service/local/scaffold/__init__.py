"""Makes new services from templates that are complete and tested."""
