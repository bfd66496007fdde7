"""Malformed documents of other programs do not hide the others, and are never read as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import Code, ObjectId, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from dcm_processor_service.errors import StoredValueError
from dcm_processor_service.ports import Found
from tests.integration.mongo.uploads import put, read

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store

NO_FILES: list[dict[str, Any]] = [
    {"metadata": {"name": "Doe^Jane", "note": 1}},
    {"metadata": {"name": 7}, "length": 1},
    {"metadata": {"name": "b"}, "length": "Doe^Jane"},
    {"metadata": {"name": "c"}, "length": 1, "uploadDate": "Doe^Jane"},
]


async def test_a_malformed_file_is_left_out_of_the_list_and_told(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await put(store, "a", b"content")
    owner = {f"metadata.{field}": value for field, value in store.owner.items()}
    for document in NO_FILES:
        made = store.database["sessionfiles.files"].insert_one(document).inserted_id
        store.database["sessionfiles.files"].update_one({"_id": made}, {"$set": owner})
    assert [stored.name for stored in await store.backend.files.list(store.key)] == ["a"]
    assert len([message for message in caplog.messages if "left out of the job's files" in message]) == len(NO_FILES)
    assert await read(store, "a") == b"content"
    await put(store, "b", b"anew")
    assert await read(store, "b") == b"anew"
    assert [stored.name for stored in await store.backend.files.list(store.key)] == ["a", "b"]


@pytest.mark.parametrize("chunk_size", ["Doe^Jane", -1, 0, {"a": 1}, float("nan"), float("inf"), 0.5])
async def test_a_file_of_an_impossible_chunk_size_is_refused_in_a_sentence(store: Store, chunk_size: object) -> None:
    await put(store, "a", b"content")
    change = {"$set": {"chunkSize": chunk_size, "length": 2_000_000}}
    store.database["sessionfiles.files"].update_one({}, change)
    with pytest.raises(StoredValueError, match="store it again") as caught:
        await read(store, "a")
    assert "Doe" not in str(caught.value)


async def test_a_value_without_a_name_does_not_hide_the_others(store: Store) -> None:
    data = store.backend.data
    await data.put(store.key, "a", 1)
    for odd in ({}, {"name": 5}, {"name": {"a": 1}}, {"name": None}):
        store.database.sessiondata.insert_one({**store.owner, **odd, "value": 2})
    store.database.sessiondata.insert_one({**store.owner, "name": "late", "value": DatetimeMS(2**60)})
    assert await data.scan(store.key, values=False) == [("a", None), ("late", None)]
    assert await data.find(store.key, "a") == Found(1)
    with pytest.raises(StoredValueError, match="outside Python's"):
        await data.find(store.key, "late")
    await data.put(store.key, "late", 3)
    assert await data.scan(store.key, values=True) == [("a", 1), ("late", 3)]


UNREADABLE: list[tuple[str, Any]] = [
    *(("createdAt", DatetimeMS(2**60)), ("data", {"kwargs": {"params": {"at": DatetimeMS(-(2**60))}}})),
    *(("job_event", Code("x")), ("job_event", "@@@@"), ("data", {"kwargs": {"params": {"why": "@@@@"}}})),
]


async def test_what_python_cannot_represent_hides_no_other_document(store: Store) -> None:
    ids = [ObjectId() for _ in range(len(UNREADABLE) + 1)]
    for job_id, (field, value) in zip(ids, [*UNREADABLE, ("extra", 1)], strict=True):
        job = {"_id": job_id, "sessionId": store.key.session_id, "job_name": "segment", field: value}
        value_of_job = {"session_id": ObjectId(store.key.session_id), "job_id": job_id, "name": "volume", "value": 5}
        for name, document in (("jobs", job), ("sessiondata", value_of_job)):
            store.database[name].insert_one(RawBSONDocument(encode(document).replace(b"@@@@", b"\xff\xfe\xc0\x80")))
    repository = store.backend.jobs
    readable = {job.id for job in await repository.list(store.key.session_id)}
    assert {str(ids[-1]), str(ids[2])} <= readable
    collected = await repository.collect(store.key.session_id, "segment", "volume")
    assert [output.value for output in collected] == [5] * len(ids)
    assert not {output.job.id for output in collected if output.problem} & readable
    with pytest.raises(StoredValueError, match="malformed in the database: created_at"):
        await repository.find(str(ids[0]))


@pytest.mark.parametrize(("stored", "told"), [("@@@@", "not UTF-8"), ({"a": ["@@@@"]}, "not UTF-8")])
async def test_a_text_that_is_not_utf_8_is_never_read_as_another(store: Store, stored: Any, told: str) -> None:
    document = {**store.owner, "name": "note", "value": stored}
    damaged = RawBSONDocument(encode(document).replace(b"@@@@", b"\xff\xfe\xc0\x80"))
    store.database.sessiondata.insert_many([damaged, {**store.owner, "name": Code("x"), "value": 1}])
    with pytest.raises(StoredValueError, match=told):
        await store.backend.data.find(store.key, "note")
    assert await store.backend.data.scan(store.key, values=False) == [("note", None)]
    await store.backend.data.put(store.key, "note", "é")
    assert await store.backend.data.find(store.key, "note") == Found("é")
