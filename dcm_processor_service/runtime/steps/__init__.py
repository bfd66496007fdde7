"""Steps: work of a job that is done once, however often the job runs again."""
