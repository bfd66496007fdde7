"""Session files of the embedded store: each content is a file beside the database, to which a row points.

A new version's content is written under a name of its own, and is on the disk before the row points to it; then the old
content is removed. A process killed at any point leaves a row that points to the old or to the new content.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dcm_processor_service.backends.sqlite.contents import Contents
from dcm_processor_service.backends.sqlite.encoding import dump, load
from dcm_processor_service.codec import check_text, to_normal
from dcm_processor_service.errors import StoredValueError
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
        self._contents = Contents(store)

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Writes the content, then switches the row to it."""
        check_text(name, "name")
        return await self._store.compute(lambda: self._put(key, name, source, new))

    def _put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        self._contents.sweep()
        row = (key.session_id, key.job_id, name)
        content = uuid.uuid4().hex
        with self._contents.claim() as claim:
            size_bytes, sha256 = self._contents.write(claim, content, source)
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
            document = dump(stored)

            def switch(connection: sqlite3.Connection) -> None:
                claim.removes(*(old for old, _document in connection.execute(_FIND, row)))
                connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (*row, content, document))

            self._store.transaction(switch, len(document))
        return stored

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Returns the file's record, or None."""
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
                source = self._contents.path(content).open("rb")
            except FileNotFoundError as error:
                if content == seen:  # the row is unchanged, so the content is lost
                    raise StoredValueError(
                        f"the content of the file {row[2]!r} is missing from the workspace; store it again"
                    ) from error
                seen = content
                continue
            with source:  # once the file is open, a replacement does not affect it
                _copy_verified(source, sink, stored)
            return stored
        return None

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the row, then the content."""
        row = (key.session_id, key.job_id, check_text(name, "name"))
        return await self._store.compute(lambda: self._delete(row))

    def _delete(self, row: tuple[str, str, str]) -> bool:
        with self._contents.claim() as claim:

            def work(connection: sqlite3.Connection) -> bool:
                claim.removes(*(old for old, _document in connection.execute(_FIND, row)))
                statement = "DELETE FROM files WHERE session_id = ? AND job_id = ? AND name = ?"
                return connection.execute(statement, row).rowcount > 0

            return self._store.transaction(work)

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""
        rows = await self._store.read(
            "SELECT document FROM files WHERE session_id = ? AND job_id = ? ORDER BY name", key.session_id, key.job_id
        )
        return [load(StoredFile, text) for (text,) in rows]


def _copy_verified(source: BinaryIO, sink: BinaryIO, stored: StoredFile) -> None:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        sink.write(block)
    if stored.sha256 is not None and digest.hexdigest() != stored.sha256:
        raise StoredValueError(
            f"the content of the file {stored.name!r} is not what was stored (its checksum differs); store it again"
        )
