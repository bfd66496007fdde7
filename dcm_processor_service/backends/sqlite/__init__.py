"""The embedded store: one folder with a SQLite database and the content of session files."""

from dcm_processor_service.backends.sqlite.repositories import open_sqlite

__all__ = ["open_sqlite"]
