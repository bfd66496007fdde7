"""Session files that break off, are damaged, or are replaced under their readers."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo.documents import chunk_document, upload_mark
from dcm_processor_service.backends.mongo.driver.collection import Collection
from dcm_processor_service.errors import StoredValueError, UnsupportedValueError
from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.integration.mongo.uploads import MIB, NEW, file_ids, put, read, upload_as_the_predecessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from tests.integration.mongo.conftest import Store


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

    def test_are_reported_of_a_removal(self, store: Store) -> None:
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
        seen: list[int] = []
        while not seen or any(thread.is_alive() for thread in writers):
            content = run_inline(read(store, "mask.nii"))
            assert content is not None
            assert content == version(content[0])
            seen.append(content[0])
        for thread in writers:
            thread.join()
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


async def test_chunks_that_a_cancelled_write_leaves_after_a_look_for_them_are_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_answered(_self: Collection) -> bool:
        return False

    monkeypatch.setattr(Collection, "all_answered", none_answered)
    await put(store, "a", b"another")
    late = ObjectId()
    store.database["sessionfiles.chunks"].insert_one(chunk_document(late, 0, b"late", upload_mark(store.key, "b")))
    await put(store, "b", b"stored")
    assert late not in file_ids(store, "chunks", "files_id")
    assert await read(store, "b") == b"stored"
