"""Session files: their documents, their commands, replacement under writers and readers."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import tracemalloc
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64, ObjectId
from gridfs import GridFSBucket

from dcm_processor_service._blocking import run_inline
from dcm_processor_service.errors import StoredValueError, UnsupportedValueError
from dcm_processor_service.ports import JobKey, NewFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.database import Database
    from typing_extensions import Buffer

    from dcm_processor_service.models import StoredFile
    from tests.integration.mongo.conftest import Store

NEW = NewFile("application/x-nifti", {"label": "liver", "voxels": 2**40})
MIB = 2**20


async def put(store: Store, name: str, content: bytes) -> StoredFile:
    return await store.backend.files.put(store.key, name, io.BytesIO(content), NEW)


async def read(store: Store, name: str) -> bytes | None:
    sink = io.BytesIO()
    found = await store.backend.files.fetch(store.key, name, sink)
    return None if found is None else sink.getvalue()


def upload_as_the_predecessor(
    database: Database[dict[str, Any]],
    owner: dict[str, Any],
    name: str,
    content: bytes,
    file_id: ObjectId | None = None,
) -> ObjectId:
    """Uploads through the driver's bucket; over an existing document as the predecessor does it: delete, then write."""
    bucket, metadata = GridFSBucket(database, "sessionfiles"), {"name": name, **owner}
    if file_id is not None:
        existing = database["sessionfiles.files"].find_one({"_id": file_id}) or {}
        bucket.delete(file_id)
        metadata = existing.get("metadata", {}) | metadata
    file_id = file_id or ObjectId()
    with bucket.open_upload_stream_with_id(file_id, f"{os.urandom(16).hex()}.nii", metadata=metadata) as stream:
        stream.write(content)
    # PyMongo has deprecated the setter that the predecessor uses for it
    database["sessionfiles.files"].update_one({"_id": file_id}, {"$set": {"contentType": "text/plain"}})
    return file_id


def without_chunks(commands: list[str]) -> list[str]:
    return [command for command in commands if not command.endswith("sessionfiles.chunks")]


def file_ids(store: Store, suffix: str, field: str) -> set[Any]:
    return set(store.database[f"sessionfiles.{suffix}"].distinct(field))


async def test_besides_chunks_each_call_is_at_most_two_commands(store: Store) -> None:
    recorder = store.recorder
    for content in (b"first", b"second"):
        await put(store, "mask.nii", content)
        assert without_chunks(recorder.take()) == ["findAndModify sessionfiles.files"] * 2
    await store.backend.files.find(store.key, "mask.nii")
    assert recorder.take() == ["find sessionfiles.files"]
    await read(store, "mask.nii")
    assert recorder.take() == ["find sessionfiles.files", "find sessionfiles.chunks"]
    await store.backend.files.list(store.key)
    assert recorder.take() == ["find sessionfiles.files"]
    await store.backend.files.delete(store.key, "mask.nii")
    assert without_chunks(recorder.take()) == ["find sessionfiles.files", "delete sessionfiles.files"]


async def test_chunks_travel_many_at_a_time(store: Store) -> None:
    await put(store, "first", b"")  # makes the index
    store.recorder.take()
    await put(store, "mask.nii", bytes(20 * MIB))
    assert store.recorder.take().count("insert sessionfiles.chunks") == 3
    await read(store, "mask.nii")
    assert store.recorder.take().count("find sessionfiles.chunks") == 3


async def test_what_is_written_has_the_platforms_shape(store: Store) -> None:
    stored = await put(store, "masks/liver.nii.gz", b"content")
    (document,) = store.database["sessionfiles.files"].find()
    sha256 = hashlib.sha256(b"content").hexdigest()
    moment = document.pop("uploadDate")
    assert abs(datetime.now(timezone.utc) - moment.replace(tzinfo=timezone.utc)) < timedelta(hours=1)
    assert type(document["length"]) is Int64
    assert document == {
        "_id": ObjectId(stored.id),
        "filename": f"{sha256[:32]}.nii.gz",
        "contentType": "application/x-nifti",
        "length": 7,
        "chunkSize": MIB,
        "metadata": {"label": "liver", "voxels": 2**40, "name": "masks/liver.nii.gz", **store.owner, "sha256": sha256},
    }
    (chunk,) = store.database["sessionfiles.chunks"].find({}, {"_id": 0})
    assert chunk == {"files_id": ObjectId(stored.id), "n": 0, "data": b"content"}
    assert "files_id_1_n_1" in store.database["sessionfiles.chunks"].index_information()
    assert stored.model_dump(exclude={"uploaded_at"}) == {
        "id": stored.id,
        "job_id": store.key.job_id,
        "name": "masks/liver.nii.gz",
        "size_bytes": 7,
        "content_type": "application/x-nifti",
        "sha256": sha256,
        "metadata": {"label": "liver", "voxels": 2**40},
    }
    assert stored.uploaded_at is not None
    assert stored == await store.backend.files.find(store.key, "masks/liver.nii.gz")


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a", ""),
        ("a.nii", ".nii"),
        ("v1.2/a.b.json", ".json"),
        ("v1.2/a", ""),
        ("a.tar.gz", ".tar.gz"),
        ("a.gz", ".gz"),
    ],
)
async def test_the_file_name_keeps_the_extension(store: Store, name: str, extension: str) -> None:
    await put(store, name, b"")
    (document,) = store.database["sessionfiles.files"].find()
    assert document["filename"][32:] == extension


@pytest.mark.parametrize("size_bytes", [0, 1, MIB - 1, MIB, MIB + 1, 8 * MIB, 17 * MIB + 3])
async def test_the_drivers_bucket_reads_what_is_written(store: Store, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    stored = await put(store, "mask.nii", content)
    with GridFSBucket(store.database, "sessionfiles").open_download_stream(ObjectId(stored.id)) as stream:
        assert stream.read() == content
    assert await read(store, "mask.nii") == content


@pytest.mark.parametrize("as_text", [False, True], ids=["ObjectId", "text"])
async def test_a_file_of_the_predecessor_is_read_replaced_and_removed(store: Store, *, as_text: bool) -> None:
    owner = {field: str(value) if as_text else value for field, value in store.owner.items()}
    content = os.urandom(9 * MIB)
    file_id = upload_as_the_predecessor(store.database, owner, "mask.nii", content)
    found = await store.backend.files.find(store.key, "mask.nii")
    assert found is not None
    assert (found.id, found.job_id, found.sha256) == (str(file_id), store.key.job_id, None)
    assert (found.size_bytes, found.content_type, found.metadata) == (len(content), "text/plain", {})
    assert await read(store, "mask.nii") == content
    assert [stored.name for stored in await store.backend.files.list(store.key)] == ["mask.nii"]
    replacing = await put(store, "mask.nii", b"new")
    assert file_ids(store, "files", "_id") == file_ids(store, "chunks", "files_id") == {ObjectId(replacing.id)}
    upload_as_the_predecessor(store.database, owner, "other", b"")
    assert await store.backend.files.delete(store.key, "other")
    assert await store.backend.files.find(store.key, "other") is None


async def test_an_upload_of_the_predecessor_over_ours_is_read_as_its_own(store: Store) -> None:
    stored = await put(store, "mask.nii", b"ours")
    upload_as_the_predecessor(store.database, store.owner, "mask.nii", b"theirs", ObjectId(stored.id))
    (document,) = store.database["sessionfiles.files"].find()
    assert document["metadata"]["sha256"] == stored.sha256  # kept, though it is the checksum of what is gone
    found = await store.backend.files.find(store.key, "mask.nii")
    assert found is not None
    assert found.sha256 is None
    assert await read(store, "mask.nii") == b"theirs"


async def test_a_clock_that_runs_ahead_does_not_keep_the_predecessors_file(store: Store) -> None:
    file_id = upload_as_the_predecessor(store.database, store.owner, "mask.nii", b"theirs")
    ahead = {"$set": {"uploadDate": datetime.now(timezone.utc) + timedelta(days=1)}}
    store.database["sessionfiles.files"].update_one({"_id": file_id}, ahead)
    await put(store, "mask.nii", b"ours")
    assert await read(store, "mask.nii") == b"ours"


async def test_versions_that_killed_writers_left_are_never_seen_and_go_with_the_delete(store: Store) -> None:
    await put(store, "mask.nii", b"newest")
    (newest,) = store.database["sessionfiles.files"].find()
    for age in (1, 2):
        older = newest | {"_id": ObjectId(), "uploadDate": newest["uploadDate"] - timedelta(seconds=age)}
        store.database["sessionfiles.files"].insert_one(older)
    assert await read(store, "mask.nii") == b"newest"
    assert [stored.id for stored in await store.backend.files.list(store.key)] == [str(newest["_id"])]
    assert await store.backend.files.delete(store.key, "mask.nii")
    assert file_ids(store, "files", "_id") == file_ids(store, "chunks", "files_id") == set()
    assert not await store.backend.files.delete(store.key, "mask.nii")


async def test_files_of_other_drawers_stay(store: Store) -> None:
    files, other = store.backend.files, JobKey(store.key.session_id, str(ObjectId()))
    await put(store, "mask.nii", b"mine")
    await files.put(other, "mask.nii", io.BytesIO(b"theirs"), NEW)
    await put(store, "mask.nii", b"mine again")
    assert await read(store, "mask.nii") == b"mine again"
    sink = io.BytesIO()
    await files.fetch(other, "mask.nii", sink)
    assert sink.getvalue() == b"theirs"
    await files.delete(store.key, "mask.nii")
    assert [stored.job_id for stored in await files.list(other)] == [other.job_id]


class Torn(io.RawIOBase):
    """A source that gives a little at a time, and breaks where it is told to."""

    def __init__(self, size_bytes: int, *, breaks: BaseException | None = None) -> None:
        self._left = size_bytes
        self._breaks = breaks

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._left == 0 and self._breaks is not None:
            raise self._breaks
        part = min(self._left, size, 300_007)
        self._left -= part
        return bytes(part)


async def test_a_source_that_gives_little_at_a_time_is_stored_in_full_chunks(store: Store) -> None:
    size_bytes = 3 * MIB + 5
    stored = await store.backend.files.put(store.key, "a", Torn(size_bytes), NEW)  # type: ignore[arg-type]  # reads alone
    assert stored.size_bytes == size_bytes
    lengths = [len(chunk["data"]) for chunk in store.database["sessionfiles.chunks"].find().sort("n")]
    assert lengths == [MIB, MIB, MIB, 5]


@pytest.mark.parametrize("breaks", [OSError("disk"), KeyboardInterrupt()], ids=["OSError", "KeyboardInterrupt"])
@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
async def test_a_source_that_breaks_leaves_the_old_file_and_nothing_else(store: Store, breaks: BaseException) -> None:
    old = await put(store, "a", b"old")
    with pytest.raises(type(breaks)):
        await store.backend.files.put(store.key, "a", Torn(10 * MIB, breaks=breaks), NEW)  # type: ignore[arg-type]  # reads alone
    assert await read(store, "a") == b"old"
    assert file_ids(store, "chunks", "files_id") == {ObjectId(old.id)}


async def test_metadata_that_no_document_holds_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(UnsupportedValueError, match="16 MiB"):
        await store.backend.files.put(store.key, "a", io.BytesIO(b"x"), NewFile("a/b", {"huge": bytes(17 * MIB)}))
    assert file_ids(store, "files", "_id") == file_ids(store, "chunks", "files_id") == set()


def drop_chunk(store: Store) -> None:
    store.database["sessionfiles.chunks"].delete_one({"n": 1})


def change_chunk(store: Store) -> None:
    store.database["sessionfiles.chunks"].update_one({"n": 1}, {"$set": {"data": bytes(MIB)}})


def shorten_chunk(store: Store) -> None:
    store.database["sessionfiles.chunks"].update_one({"n": 2}, {"$set": {"data": b"x"}})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (drop_chunk, "chunks of it are missing"),
        (change_chunk, "checksum differs"),
        (shorten_chunk, "bytes in place of"),
    ],
)
async def test_damaged_content_is_never_handed_out(store: Store, damage: Callable[[Store], None], told: str) -> None:
    await put(store, "mask.nii", os.urandom(2 * MIB + 10))
    damage(store)
    with pytest.raises(StoredValueError, match=f"'mask.nii' is not what was stored: .*{told}"):
        await read(store, "mask.nii")


class Interrupted(io.BytesIO):
    """A sink whose first write finds the file replaced, or removed, by someone else."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], object] | None = meanwhile

    def write(self, content: Buffer, /) -> int:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().write(content)


LONG = 40 * MIB  # more than what is under way when the first write happens


@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
class TestReaders:
    def test_follow_a_replacement(self, store: Store) -> None:
        run_inline(put(store, "mask.nii", bytes(LONG)))
        writer = store.another()
        sink = Interrupted(lambda: run_inline(writer.files.put(store.key, "mask.nii", io.BytesIO(b"new"), NEW)))
        stored = run_inline(store.backend.files.fetch(store.key, "mask.nii", sink))
        assert stored is not None
        assert (sink.getvalue(), stored.size_bytes) == (b"new", 3)

    def test_follow_an_upload_of_the_predecessor_under_the_same_id(self, store: Store) -> None:
        old = run_inline(put(store, "mask.nii", bytes(LONG)))
        upload = upload_as_the_predecessor
        sink = Interrupted(lambda: upload(store.database, store.owner, "mask.nii", b"new", ObjectId(old.id)))
        assert run_inline(store.backend.files.fetch(store.key, "mask.nii", sink)) is not None
        assert sink.getvalue() == b"new"

    def test_are_told_of_a_removal(self, store: Store) -> None:
        run_inline(put(store, "mask.nii", bytes(LONG)))
        writer = store.another()
        sink = Interrupted(lambda: run_inline(writer.files.delete(store.key, "mask.nii")))
        assert run_inline(store.backend.files.fetch(store.key, "mask.nii", sink)) is None
        assert sink.getvalue() == b""

    def test_always_see_one_whole_version_while_writers_replace_it(self, store: Store) -> None:
        def version(number: int) -> bytes:
            return bytes([number]) * (2 * MIB + number)

        def write(writer: int) -> None:
            files = store.another().files
            for number in range(writer, 40, 4):
                run_inline(files.put(store.key, "mask.nii", io.BytesIO(version(number)), NEW))

        run_inline(put(store, "mask.nii", version(0)))
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in writers:
            thread.start()
        seen = []
        while any(thread.is_alive() for thread in writers):
            content = run_inline(read(store, "mask.nii"))
            assert content is not None
            assert content == version(content[0])
            seen.append(content[0])
        for thread in writers:
            thread.join()
        assert seen
        last = run_inline(read(store, "mask.nii"))
        assert last is not None
        assert last == version(last[0])

    def test_and_writers_keep_little_in_memory(self, store: Store) -> None:
        class Nothing(io.RawIOBase):
            def writable(self) -> bool:
                return True

            def write(self, content: Buffer, /) -> int:
                return memoryview(content).nbytes

        size_bytes = 128 * MIB
        tracemalloc.start()
        try:
            run_inline(store.backend.files.put(store.key, "a", Torn(size_bytes), NEW))  # type: ignore[arg-type]  # reads alone
            assert run_inline(store.backend.files.fetch(store.key, "a", Nothing())) is not None  # type: ignore[arg-type]  # writes alone
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < size_bytes / 2
