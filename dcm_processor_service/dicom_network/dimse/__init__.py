"""Associations: negotiation, messages, TLS, storage commitment (PS3.7, PS3.8)."""
