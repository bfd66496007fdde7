"""Names of structures, with their codes and colours, and the label tables of well-known models."""
