"""What an operator asks of the platform's documents: how sessions stand, what killed a job, and what to do about it."""
