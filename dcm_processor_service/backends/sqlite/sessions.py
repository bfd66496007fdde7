"""Sessions of a workspace: they exist as long as their jobs do. Images are the owner's files and are never removed."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dcm_processor_service.backends.sqlite.contents import Contents
from dcm_processor_service.backends.sqlite.encoding import load
from dcm_processor_service.codec import check_text
from dcm_processor_service.models import Job, RemovedImages, SessionRecord

if TYPE_CHECKING:
    import sqlite3

    from dcm_processor_service.backends.sqlite.store import SqliteStore
    from dcm_processor_service.models import SessionPart

__all__ = ["SqliteSessionRepository"]

_WHEN_UNKNOWN = datetime(1970, 1, 1, tzinfo=timezone.utc)


class SqliteSessionRepository:
    """Sessions, derived from their jobs."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._contents = Contents(store)

    async def find(self, session_id: str) -> SessionRecord | None:
        """Returns one session; its creation time is that of its first job."""
        rows = await self._store.read(
            "SELECT document FROM jobs WHERE session_id = ? ORDER BY position LIMIT 1", check_text(session_id, "id")
        )
        if not rows:
            return None
        first = load(Job, rows[0][0])
        return SessionRecord(id=session_id, created_at=first.created_at or _WHEN_UNKNOWN)

    async def of_patient(self, patient_id: str) -> list[SessionRecord]:
        """Returns an empty list: only a clean-up needs it, to keep images, and here a clean-up removes no images."""
        check_text(patient_id, "id")
        return []

    async def ensure_indexes(self) -> list[str]:
        """Returns an empty list: the schema has all indexes."""
        return []

    async def remove(self, session_id: str, part: SessionPart) -> int:
        """Removes data, or files with their content, and returns how many; never removes jobs, as in the platform."""
        check_text(session_id, "id")
        if part == "session":
            return 0
        if part == "files":
            return await self._store.compute(lambda: self._remove_files(session_id))
        statement = "DELETE FROM data WHERE session_id = ?"
        return await self._store.run(lambda connection: connection.execute(statement, (session_id,)).rowcount)

    def _remove_files(self, session_id: str) -> int:
        with self._contents.claim() as claim:

            def work(connection: sqlite3.Connection) -> int:
                found = connection.execute("SELECT content FROM files WHERE session_id = ?", (session_id,))
                claim.removes(*(content for (content,) in found))
                return connection.execute("DELETE FROM files WHERE session_id = ?", (session_id,)).rowcount

            count = self._store.transaction(work)
        self._contents.sweep(whole=True)
        return count

    async def remove_images(self, patient_id: str, since: datetime | None, until: datetime) -> RemovedImages:
        """Removes nothing: a workspace refers to files that belong to its owner."""
        check_text(patient_id, "id")
        del since, until
        return RemovedImages()
