"""Copies a session of the platform's database into a workspace on a laptop, without the patient's identity."""
