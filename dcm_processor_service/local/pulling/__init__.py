"""A session of the platform's database, brought into a workspace on a laptop without what tells of the patient."""
