"""Session files in the GridFS bucket ``sessionfiles``.

GridFS cannot replace content, so a replacement is a new version: a put writes the chunks, then the document that makes
them visible; then it removes the older document, then its chunks. A process killed at any point leaves the old or the
new version. Readers take the newest, and start over if it is replaced while they read.

Every chunk carries session, job and name, so that the next put of the name, and the clean-up of the session, find the
chunks of an unfinished upload. Before a put removes such chunks, it stores a document with the upload's id and
``retired: True``. If the upload's process is still alive, it can then no longer make its file visible. A clean-up
stores no such document: it waits a few seconds first, and a put that took longer than ``QUICK_S`` checks that its
chunks are still there.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from dcm_processor_service.backends.mongo.digest import Digest
from dcm_processor_service.backends.mongo.documents import (
    CHUNK_INDEXES,
    chunk_document,
    chunks_query,
    file_change,
    files_query,
    new_id,
    newest,
    replaced_query,
    retirement,
    stored_file,
    upload_mark,
    uploads_pipeline,
)
from dcm_processor_service.backends.mongo.driver.collection import find_in_lanes
from dcm_processor_service.backends.mongo.driver.failures import DuplicateIdError
from dcm_processor_service.backends.mongo.foreign_files import foreign_files, remove_foreign
from dcm_processor_service.backends.mongo.readable import readable
from dcm_processor_service.errors import StoredValueError, StoreError, StoreUnavailableError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from bson import ObjectId

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.ports import JobKey, NewFile, Offload

__all__ = ["QUICK_S", "MongoFileRepository"]

CHUNK_BYTES = 1024 * 1024
"""The size of a chunk. The drivers' default of 255 KiB is slower, and so are 4 MiB."""

BATCH_BYTES = 8 * CHUNK_BYTES
"""How many bytes one command carries. They fit into memory, and most slow networks send them within the time-out.
"""

QUICK_S = 3.0
"""Only a put that took longer than this checks afterwards that its chunks are still there.

A clean-up waits longer than this between listing unfinished uploads and removing them, so a faster upload is already
visible by then, and is removed whole.
"""

_OLDEST_FIRST = [("version", 1), ("_id", 1)]


class MongoFileRepository:
    """Named files.

    An operation takes at most two commands, not counting those on the chunks collection. Some take more: a job's first
    put, a removal of abandoned uploads or of another program's files, and a read that starts over.
    """

    def __init__(self, files: Collection, chunks: Collection, offload: Offload) -> None:
        self._files = files
        self._chunks = chunks
        self._offload = offload
        self._indexed = False
        self._under_way: set[ObjectId] = set()
        self._left: dict[JobKey, dict[str, set[ObjectId]]] = {}
        """Uploads that existed before this process first wrote for a job, by job and name.

        A put takes out those of its name, to remove them.
        """
        self._foreign: dict[JobKey, dict[str, list[Any]]] = {}
        """Files that another program had stored, by job and name."""

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Writes a new version, makes it visible, then removes the older one and unfinished uploads."""
        mark, file_id = upload_mark(key, name), new_id()
        self._under_way.add(file_id)
        try:
            abandoned = await self._abandoned(key, name)
            began = time.monotonic()
            content = await self._write_or_discard(file_id, source, mark)
            stored, version, replaced = await self._publish(key, name, file_id, new, content, began)
            with _marking_maybe_applied():
                await self._retire(key, name, version, abandoned - {replaced})
        except BaseException:
            self._left.pop(key, None)  # makes the next put look for chunks that this put may have left
            self._foreign.pop(key, None)
            raise
        finally:
            self._under_way.discard(file_id)
        return stored

    async def _write_or_discard(self, file_id: ObjectId, source: BinaryIO, mark: Document) -> tuple[int, str]:
        digest = Digest()
        try:
            size_bytes = await self._write(file_id, source, digest, mark)
            return size_bytes, await self._offload(digest.hexdigest)
        except StoreUnavailableError:
            raise  # the chunks cannot be removed either; the next put removes them
        except BaseException:
            # if a cancelled write still has no answer, a delete would have to wait for it and delay the cancellation;
            # the next put removes the chunks instead
            if await self._chunks.all_answered():
                await self._discard(file_id)
            raise
        finally:
            digest.close()

    async def _publish(
        self, key: JobKey, name: str, file_id: ObjectId, new: NewFile, content: tuple[int, str], began: float
    ) -> tuple[StoredFile, Document | None, ObjectId | None]:
        """Makes the version visible and removes the version that it replaced.

        Returns the stored file, its document (None if it was retired or cleaned up meanwhile), and the id of the
        version that it replaced (None if none).
        """
        size_bytes, sha256 = content
        change = file_change(key, name, new, size_bytes=size_bytes, sha256=sha256, chunk_bytes=CHUNK_BYTES)
        try:
            document = await self._made_visible(file_id, change)
        except DuplicateIdError:
            # a later put published its own version, then retired this upload; the result is the same as if this
            # version had been stored and replaced at once, so no error is raised
            await self._discard(file_id)
            return stored_file({"_id": file_id, **change["$setOnInsert"]}), None, None
        with _marking_maybe_applied():
            if size_bytes and time.monotonic() - began > QUICK_S and not await self._has_content(file_id):
                # a clean-up of the session removed this upload's chunks before it became visible; the result is the
                # same as if the clean-up had come right after this put
                await self._files.delete_many({"_id": file_id})
                await self._discard(file_id)
                return stored_file(document), None, None
            return stored_file(document), document, await self._remove_replaced(key, name, document)

    async def _remove_replaced(self, key: JobKey, name: str, version: Document) -> ObjectId | None:
        """Removes the oldest replaced version, and before it the files of other programs under this name.

        Usually there is only one replaced version; if a process died at this point earlier there are more, and later
        puts remove them. Returns the id of the removed version; None if there was none.
        """
        await remove_foreign(self._files, self._chunks, self._foreign.get(key, {}).pop(name, []))
        lost: list[bool] = []
        old = await self._files.find_one_and_delete(
            replaced_query(key, name, version), sort=_OLDEST_FIRST, lasting=False, lost=lost
        )
        if old is not None:
            await self._chunks.delete_many({"files_id": old["_id"]}, lasting=False)
        if lost:
            # the answer to the delete was lost and the command was repeated, so it may have removed a version whose id
            # we do not know, and whose chunks remain; forget the list, so that the next put asks the store again
            # we do not ask now: an upload found now may belong to a put that began after this version became visible,
            # and this put must not retire it
            self._left.pop(key, None)
        return None if old is None else old["_id"]

    async def _has_content(self, file_id: ObjectId) -> bool:
        return bool(await self._chunks.find({"files_id": file_id, "n": 0}, projection=["n"], limit=1))

    async def _made_visible(self, file_id: ObjectId, change: Document) -> Document:
        """Creates the version's document; if the answer is lost, checks whether the document is there.

        A repetition would be wrong: a later put may have replaced the version and removed its chunks.
        """
        try:
            query = {"_id": file_id, "retired": {"$exists": False}}
            return await self._files.find_one_and_update(query, change, repeatable=False)
        except UnsupportedValueError:
            await self._discard(file_id)
            raise
        except StoreUnavailableError as error:
            if not error.maybe_applied:
                raise
            with _marking_maybe_applied():
                rows = await self._files.find({"_id": file_id})
            if rows:
                return rows[0]
            raise

    async def _abandoned(self, key: JobKey, name: str) -> set[ObjectId]:
        """Returns unfinished uploads of this name that this process did not begin; asks the store once for each job."""
        if not self._indexed:
            await self._chunks.create_indexes(CHUNK_INDEXES)
            self._indexed = True
        if key not in self._left:
            is_settled = await self._chunks.all_answered()
            uploads: dict[str, set[ObjectId]] = {}
            for row in await self._chunks.aggregate(uploads_pipeline(key.session_id, key.job_id)):
                uploads.setdefault(row["name"], set()).add(row["_id"])
            self._foreign.setdefault(key, await foreign_files(self._files, key))
            if not (
                is_settled and await self._chunks.all_answered()
            ):  # the next put asks again, since chunks may still arrive
                return uploads.pop(name, set()) - self._under_way
            self._left.setdefault(key, uploads)
        return self._left[key].pop(name, set()) - self._under_way

    async def _retire(self, key: JobKey, name: str, version: Document | None, uploads: set[ObjectId]) -> None:
        """Removes replaced versions, and uploads that never became visible."""
        if not uploads or version is None:
            return
        visible = {row["_id"] for row in await self._files.find(_among(uploads), projection=["_id"])}
        if visible:
            await self._files.delete_many({**replaced_query(key, name, version), "_id": {"$in": list(visible)}})
            visible = {row["_id"] for row in await self._files.find(_among(uploads), projection=["_id"])}
        for upload in uploads - visible:
            try:
                await self._files.update_one({"_id": upload, "retired": True}, retirement(key), upsert=True)
            except DuplicateIdError:
                continue  # the upload has become visible meanwhile
            await self._chunks.delete_many({"files_id": upload})

    async def _write(self, file_id: ObjectId, source: BinaryIO, digest: Digest, mark: Document) -> int:
        """Writes the chunks; returns the number of bytes."""
        size_bytes, number = 0, 0

        while blocks := await self._offload(partial(_read_blocks, source)):
            digest.update(blocks)
            batch = [chunk_document(file_id, number + offset, block, mark) for offset, block in enumerate(blocks)]
            await self._chunks.insert_chunks(batch)
            size_bytes += sum(map(len, blocks))
            number += len(blocks)
        return size_bytes

    async def _discard(self, file_id: Any) -> None:
        with suppress(StoreError):  # the caller raises the error that made it call this
            await self._chunks.delete_many({"files_id": file_id})

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Returns the record of the newest version."""
        document = await self._newest(key, name)
        return None if document is None else stored_file(document)

    async def _newest(self, key: JobKey, name: str) -> Document | None:
        return newest(await self._files.find(files_query(key, name)))

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``; starts over if the file is replaced meanwhile."""
        broken: tuple[Any, Any] | None = None
        while (document := await self._newest(key, name)) is not None:
            stored = stored_file(document)
            fault = await self._copy(document, stored, sink)
            if not fault:
                return stored
            version = (document["_id"], document.get("uploadDate"))
            if version == broken:  # the version was not replaced meanwhile, so its content is damaged
                raise StoredValueError(
                    f"the content of the file {name!r} is not what was stored: {fault}; store it again"
                )
            broken = version
            await self._offload(lambda: sink.truncate(sink.seek(0)))
        return None

    async def _copy(self, document: Document, stored: StoredFile, sink: BinaryIO) -> str:
        """Copies the chunks; returns what is wrong with them, or an empty text."""
        try:
            chunk_bytes = int(document.get("chunkSize") or 0) or CHUNK_BYTES
        except (TypeError, ValueError, OverflowError):
            return "its document is malformed: chunkSize is not a number"
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
        """Removes every version: documents first, so that no reader finds one without chunks."""
        rows = await self._files.find(files_query(key, name), projection=["version"])
        foreign = await remove_foreign(self._files, self._chunks, [row["_id"] for row in rows if "version" not in row])
        ids = [row["_id"] for row in rows if "version" in row]
        if not ids:
            return foreign > 0
        removed = await self._files.delete_many({"_id": {"$in": ids}})
        await self._chunks.delete_many({"files_id": {"$in": ids}})
        return foreign > 0 or removed.documents > 0 or removed.uncertain

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the newest version of each file, by name."""
        versions: dict[str, list[Document]] = {}
        rows = await self._files.find({**files_query(key), "retired": {"$exists": False}})
        for document, stored in readable(rows, stored_file, "the job's files"):
            versions.setdefault(stored.name, []).append(document)
        found = {name: newest(documents) for name, documents in versions.items()}
        return [stored_file(document) for _name, document in sorted(found.items()) if document is not None]


@contextmanager
def _marking_maybe_applied() -> Iterator[None]:
    """Sets ``maybe_applied`` on every StoreError of the block, because the version may be stored already."""
    try:
        yield
    except StoreError as error:
        error.maybe_applied = True
        raise


def _among(uploads: set[ObjectId]) -> Document:
    """Returns the query for the visible ones among these uploads."""
    return {"_id": {"$in": list(uploads)}, "retired": {"$exists": False}}


def _read_blocks(source: BinaryIO) -> list[bytes]:
    """Reads the chunks of one command; all but the last are full."""
    blocks: list[bytes] = []
    while len(blocks) * CHUNK_BYTES < BATCH_BYTES:
        block = _read_block(source)
        if block:
            blocks.append(block)
        if len(block) < CHUNK_BYTES:
            break
    return blocks


def _read_block(source: BinaryIO) -> bytes:
    parts, missing = [], CHUNK_BYTES
    while missing and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)  # a single piece is not copied


def _write_blocks(blocks: list[bytes], sink: BinaryIO, digest: hashlib._Hash) -> None:
    for block in blocks:
        digest.update(block)
        sink.write(block)
