"""The log of a job, in which no value of the patient shows."""
