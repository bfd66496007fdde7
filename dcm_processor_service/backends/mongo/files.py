"""Session files in the GridFS bucket ``sessionfiles``.

GridFS cannot replace content. So a replacement is a version of its own: chunks first, then the document that makes it
visible, then the older version's document goes, then its chunks. A process killed at any point leaves the old or the
new version; readers take the newest, and begin again when it is replaced under them.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from dcm_processor_service.backends.mongo.connection import find_in_lanes
from dcm_processor_service.backends.mongo.documents import (
    chunk_document,
    chunks_query,
    file_change,
    files_query,
    new_id,
    replaced_query,
    stored_file,
)
from dcm_processor_service.errors import StoredValueError, StoreError, StoreUnavailableError, UnsupportedValueError

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from dcm_processor_service.backends.mongo.connection import Collection
    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.ports import JobKey, NewFile, Offload

__all__ = ["MongoFileRepository"]

CHUNK_BYTES = 1024 * 1024
"""Faster than the drivers' 255 KiB, and than 4 MiB."""

BATCH_BYTES = 8 * CHUNK_BYTES
"""What one command carries: memory stays bounded, and a slow line sends it within the time-out."""

_NEWEST_FIRST = [("uploadDate", -1), ("_id", -1)]
_OLDEST_FIRST = [("uploadDate", 1), ("_id", 1)]
_CHUNK_INDEX = [("files_id", 1), ("n", 1)]


class MongoFileRepository:
    """Named files: besides chunks at most two commands for each operation."""

    def __init__(self, files: Collection, chunks: Collection, offload: Offload) -> None:
        self._files = files
        self._chunks = chunks
        self._offload = offload
        self._indexed = False

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Writes a new version, makes it visible, removes the older one."""
        file_id, digest = new_id(), hashlib.sha256()
        file_change(key, name, new, size_bytes=0, sha256="", chunk_bytes=CHUNK_BYTES)  # refuses a bad key at once
        try:
            size_bytes = await self._write(file_id, source, digest)
        except StoreUnavailableError:
            raise  # nothing can be tidied up either
        except BaseException:
            await self._discard(file_id)
            raise
        change = file_change(key, name, new, size_bytes=size_bytes, sha256=digest.hexdigest(), chunk_bytes=CHUNK_BYTES)
        try:
            document = await self._files.find_one_and_update({"_id": file_id}, change)
        except UnsupportedValueError:  # of any other error nobody knows whether the version is visible
            await self._discard(file_id)
            raise
        # one is all there is, unless a process died right here before: what it left goes with a later put or the delete
        old = await self._files.find_one_and_delete(replaced_query(key, name, document), sort=_OLDEST_FIRST)
        if old is not None:
            await self._chunks.delete_many({"files_id": old["_id"]})
        return stored_file(document)

    async def _write(self, file_id: Any, source: BinaryIO, digest: hashlib._Hash) -> int:
        """Writes the chunks; gives the number of bytes."""
        if not self._indexed:
            await self._chunks.create_unique_index(_CHUNK_INDEX)
            self._indexed = True
        size_bytes, number = 0, 0

        def read() -> list[bytes]:
            blocks = _read_blocks(source)
            for block in blocks:
                digest.update(block)
            return blocks

        while blocks := await self._offload(read):
            batch = [chunk_document(file_id, number + offset, block) for offset, block in enumerate(blocks)]
            await self._chunks.insert_many(batch)
            size_bytes += sum(map(len, blocks))
            number += len(blocks)
        return size_bytes

    async def _discard(self, file_id: Any) -> None:
        with suppress(StoreError):  # the error that brings us here is the one to tell
            await self._chunks.delete_many({"files_id": file_id})

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Gives what is known of the newest version."""
        document = await self._newest(key, name)
        return None if document is None else stored_file(document)

    async def _newest(self, key: JobKey, name: str) -> Document | None:
        rows = await self._files.find(files_query(key, name), sort=_NEWEST_FIRST, limit=1)
        return rows[0] if rows else None

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``; begins again when it is replaced meanwhile."""
        broken: tuple[Any, Any] | None = None
        while (document := await self._newest(key, name)) is not None:
            stored = stored_file(document)
            fault = await self._copy(document, stored, sink)
            if not fault:
                return stored
            version = (document["_id"], document.get("uploadDate"))
            if version == broken:  # nobody replaced it: it is damaged
                raise StoredValueError(
                    f"the content of the file {name!r} is not what was stored: {fault}; store it again"
                )
            broken = version
            await self._offload(lambda: sink.truncate(sink.seek(0)))
        return None

    async def _copy(self, document: Document, stored: StoredFile, sink: BinaryIO) -> str:
        """Copies the chunks; gives what is wrong with them, if anything is."""
        chunk_bytes = int(document.get("chunkSize") or CHUNK_BYTES)
        count = -(-stored.size_bytes // chunk_bytes)
        step = max(1, BATCH_BYTES // chunk_bytes)
        digest, size_bytes = hashlib.sha256(), 0
        ranges = [(first, min(first + step, count)) for first in range(0, count, step)]
        queries = [chunks_query(document["_id"], first, last) for first, last in ranges]
        async with aclosing(find_in_lanes(self._chunks, queries, [("n", 1)])) as answers:
            for first, last in ranges:
                rows = await answers.__anext__()
                if [row["n"] for row in rows] != list(range(first, last)):
                    return "chunks of it are missing"
                blocks = [row["data"] for row in rows]
                size_bytes += sum(map(len, blocks))
                await self._offload(partial(_write_blocks, blocks, sink, digest))
        if size_bytes != stored.size_bytes:
            return f"it has {size_bytes} bytes in place of {stored.size_bytes}"
        return "" if stored.sha256 in {None, digest.hexdigest()} else "its checksum differs"

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes every version: documents first, so that no reader meets one without chunks."""
        ids = [row["_id"] for row in await self._files.find(files_query(key, name), projection=["_id"])]
        if not ids:
            return False
        removed = await self._files.delete_many({"_id": {"$in": ids}})
        await self._chunks.delete_many({"files_id": {"$in": ids}})
        return removed > 0

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the newest version of each file, by name."""
        newest: dict[str, StoredFile] = {}
        for document in await self._files.find(files_query(key), sort=_NEWEST_FIRST):
            stored = stored_file(document)
            newest.setdefault(stored.name, stored)
        return [stored for _name, stored in sorted(newest.items())]


def _read_blocks(source: BinaryIO) -> list[bytes]:
    """Reads what one command carries, in chunks that are full but for the last."""
    blocks: list[bytes] = []
    while len(blocks) * CHUNK_BYTES < BATCH_BYTES:
        block = bytearray()
        while len(block) < CHUNK_BYTES and (part := source.read(CHUNK_BYTES - len(block))):
            block += part
        if block:
            blocks.append(bytes(block))
        if len(block) < CHUNK_BYTES:
            break
    return blocks


def _write_blocks(blocks: list[bytes], sink: BinaryIO, digest: hashlib._Hash) -> None:
    for block in blocks:
        digest.update(block)
        sink.write(block)
