"""Session files: their documents and their commands."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from bson import Int64, ObjectId, Timestamp
from gridfs import GridFSBucket

from dcm_processor_service.ports import JobKey
from tests.integration.mongo.uploads import MIB, NEW, file_ids, put, read, upload_as_the_predecessor

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store


def without_chunks(commands: list[str]) -> list[str]:
    return [command for command in commands if not command.endswith("sessionfiles.chunks")]


async def test_a_put_is_three_commands_and_a_replacement_four_as_many_as_the_drivers_own_bucket(store: Store) -> None:
    recorder = store.recorder
    await put(store, "before", b"x")  # the first of a process asks for indexes, and for what a killed one left
    recorder.take()
    publish = ["insert sessionfiles.chunks", *["findAndModify sessionfiles.files"] * 2]
    for content in (b"new", bytes(MIB)):
        await put(store, f"{len(content)}", content)
        assert recorder.take() == publish
    await put(store, "before", b"again")
    assert recorder.take() == [*publish, "delete sessionfiles.chunks"]


async def test_besides_chunks_each_call_is_at_most_two_commands(store: Store) -> None:
    recorder = store.recorder
    await put(store, "other", b"")  # asks once for each job what another program stored
    assert without_chunks(recorder.take()) == ["find sessionfiles.files", *["findAndModify sessionfiles.files"] * 2]
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
    assert type(document.pop("version")) is Timestamp
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
    mark = {**store.owner, "name": "masks/liver.nii.gz"}
    assert chunk == {"files_id": ObjectId(stored.id), "n": 0, "data": b"content", "upload": mark}
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


@pytest.mark.parametrize("ahead", [timedelta(minutes=2), timedelta(minutes=-2)], ids=["ahead", "behind"])
async def test_a_version_is_newest_whatever_the_clocks_of_two_primaries_said(store: Store, ahead: timedelta) -> None:
    await put(store, "mask.nii", b"first")
    (first,) = store.database["sessionfiles.files"].find()
    # as a process leaves it that dies before it removes the older version, and as the other primary dates it
    await put(store, "mask.nii", b"second")
    store.database["sessionfiles.files"].insert_one(first | {"uploadDate": first["uploadDate"] + ahead})
    assert await read(store, "mask.nii") == b"second"
    found = await store.backend.files.find(store.key, "mask.nii")
    assert found is not None
    assert found.id != str(first["_id"])
    assert [stored.id for stored in await store.backend.files.list(store.key)] == [found.id]


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
        version = Timestamp(newest["version"].time - age, 1)
        older = newest | {"_id": ObjectId(), "version": version}
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
