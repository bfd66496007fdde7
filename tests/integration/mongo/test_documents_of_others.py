"""Malformed documents of other programs do not hide the others, and are never read as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson.datetime_ms import DatetimeMS

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
