"""Session files of the embedded store: content beside the database, replaced by switching a row.

The content of a new version is written under a name of its own and reaches the disk before the row points to it; the
old content goes after that. A process killed at any point leaves the row on the old or on the new content.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dcm_processor_service.backends.sqlite.encoding import dump, load
from dcm_processor_service.codec import check_text, to_normal
from dcm_processor_service.disk import write_whole
from dcm_processor_service.errors import StoredValueError, StoreUnavailableError
from dcm_processor_service.models import StoredFile

if TYPE_CHECKING:
    import sqlite3
    from typing import BinaryIO

    from dcm_processor_service.backends.sqlite.store import SqliteStore
    from dcm_processor_service.ports import JobKey, NewFile

__all__ = ["SqliteFileRepository"]

_BLOCK_BYTES = 1024 * 1024
_FIND = "SELECT content, document FROM files WHERE session_id = ? AND job_id = ? AND name = ?"


class SqliteFileRepository:
    """Named files: a row, and a content file that it points to."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Writes the content, then switches the row to it."""
        check_text(name, "name")
        await self._store.read("SELECT 1")  # makes the folders
        content = uuid.uuid4().hex
        size_bytes, sha256 = await self._store.compute(lambda: self._write(content, source))
        stored = StoredFile(
            id=content,
            job_id=key.job_id,
            name=name,
            size_bytes=size_bytes,
            content_type=new.content_type,
            sha256=sha256,
            metadata=dict(new.metadata),
            uploaded_at=to_normal(datetime.now(timezone.utc)),
        )
        row = (key.session_id, key.job_id, name)
        document = dump(stored)

        def switch(connection: sqlite3.Connection) -> str | None:
            old = connection.execute(_FIND, row).fetchone()
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (*row, content, document))
            return old[0] if old else None

        replaced = await self._store.run(switch)
        if replaced:
            self._remove(replaced)
        return stored

    def _write(self, content: str, source: BinaryIO) -> tuple[int, str]:
        digest, size_bytes = hashlib.sha256(), 0
        with write_whole(self._store.content_path(content), durable=True, error=StoreUnavailableError) as sink:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
                sink.write(block)
        return size_bytes, digest.hexdigest()

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Gives what is known of the file."""
        rows = await self._store.read(_FIND, key.session_id, key.job_id, check_text(name, "name"))
        return load(StoredFile, rows[0][1]) if rows else None

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``."""
        row = (key.session_id, key.job_id, check_text(name, "name"))
        return await self._store.compute(lambda: self._fetch(row, sink))

    def _fetch(self, row: tuple[str, str, str], sink: BinaryIO) -> StoredFile | None:
        seen = ""
        while rows := self._store.rows(_FIND, row):
            content, document = rows[0]
            stored = load(StoredFile, document)
            try:
                source = self._store.content_path(content).open("rb")
            except FileNotFoundError as error:
                if content == seen:  # nobody replaced it: it is lost
                    raise StoredValueError(
                        f"the content of the file {row[2]!r} is missing from the workspace; store it again"
                    ) from error
                seen = content
                continue
            with source:  # open, so that a replacement from now on does not take it away
                _copy_verified(source, sink, stored)
            return stored
        return None

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the row, then the content."""
        row = (key.session_id, key.job_id, check_text(name, "name"))

        def work(connection: sqlite3.Connection) -> str | None:
            old = connection.execute(_FIND, row).fetchone()
            connection.execute("DELETE FROM files WHERE session_id = ? AND job_id = ? AND name = ?", row)
            return old[0] if old else None

        removed = await self._store.run(work)
        if removed:
            self._remove(removed)
        return removed is not None

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""
        rows = await self._store.read(
            "SELECT document FROM files WHERE session_id = ? AND job_id = ? ORDER BY name", key.session_id, key.job_id
        )
        return [load(StoredFile, text) for (text,) in rows]

    def _remove(self, content: str) -> None:
        self._store.content_path(content).unlink(missing_ok=True)


def _copy_verified(source: BinaryIO, sink: BinaryIO, stored: StoredFile) -> None:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        sink.write(block)
    if stored.sha256 is not None and digest.hexdigest() != stored.sha256:
        raise StoredValueError(
            f"the content of the file {stored.name!r} is not what was stored (its checksum differs); store it again"
        )
