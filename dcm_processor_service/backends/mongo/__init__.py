"""The platform's own database: MongoDB and GridFS, through PyMongo or motor."""
