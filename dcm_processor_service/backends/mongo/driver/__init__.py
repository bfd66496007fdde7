"""Access to MongoDB: connections, the two drivers, and the translation of their errors."""
