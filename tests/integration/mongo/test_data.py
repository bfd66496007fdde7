"""Session data: its documents, its commands, its atomicity."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex

from dcm_processor_service.codec import equal
from dcm_processor_service.errors import StoredValueError, StoreError, UnsupportedValueError
from dcm_processor_service.ports import ABSENT, Found, JobKey
from dcm_processor_service.ports.concurrency import run_inline
from tests.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo import MongoClient

    from dcm_processor_service.ports import DataRepository
    from tests.integration.mongo.conftest import Store

WRITERS = 8
MOST_QUESTIONS = 20_000


async def test_each_call_is_one_command_but_a_delete(store: Store) -> None:
    data, recorder = store.backend.data, store.recorder
    await data.put(store.key, "a", 1)
    assert recorder.take() == ["update sessiondata"]
    await data.put(store.key, "a", 2)
    assert recorder.take() == ["update sessiondata"]
    await data.find(store.key, "a")
    assert recorder.take() == ["find sessiondata"]
    await data.put(store.key, "a", 3, 2)
    assert recorder.take() == ["update sessiondata"]
    await data.put(store.key, "b", 3, ABSENT)
    assert recorder.take() == ["update sessiondata"]
    await data.increment(store.key, "a", 1)
    assert recorder.take() == ["findAndModify sessiondata"]
    await data.scan(store.key, values=True)
    assert recorder.take() == ["find sessiondata"]
    await data.delete(store.key, "a")
    # which documents are there is asked first, so that a delete that is sent twice removes nothing that came meanwhile
    assert recorder.take() == ["find sessiondata", "delete sessiondata"]


@pytest.mark.parametrize("how", ["put", "insert", "increment"])
async def test_what_is_written_has_the_platforms_shape(store: Store, how: str) -> None:
    data = store.backend.data
    if how == "increment":
        await data.increment(store.key, "name", 1)
    else:
        await data.put(store.key, "name", 1, *([ABSENT] if how == "insert" else []))
    (document,) = store.database.sessiondata.find()
    assert isinstance(document.pop("_id"), ObjectId)
    # by which an operation that is sent twice is known; the platform reads past it
    operations = document.pop("operations")
    assert isinstance(operations.pop("made"), ObjectId)
    assert len(operations) == 1
    assert document == {**store.owner, "name": "name", "value": 1}
    assert {type(document["session_id"]), type(document["job_id"])} == {ObjectId}


@pytest.mark.parametrize("as_text", [False, True], ids=["ObjectId", "text"])
async def test_a_document_of_another_program_is_read_updated_and_removed(store: Store, *, as_text: bool) -> None:
    owner = {field: str(value) if as_text else value for field, value in store.owner.items()}
    written = store.database.sessiondata.insert_one({**owner, "name": "name", "value": [1]}).inserted_id
    data = store.backend.data
    assert await data.find(store.key, "name") == Found([1])
    assert not await data.put(store.key, "name", 2, ABSENT)
    assert await data.put(store.key, "name", 2, [1])
    assert await data.put(store.key, "name", 3)
    assert await data.increment(store.key, "name", 4) == 7
    assert await data.scan(store.key, values=True) == [("name", 7)]
    found = list(store.database.sessiondata.find({}, {"operations": 0}))
    assert found == [{"_id": written, **owner, "name": "name", "value": 7}]
    assert await data.delete(store.key, "name")
    assert store.database.sessiondata.count_documents({}) == 0


async def test_of_several_documents_of_one_name_every_operation_takes_the_same(store: Store) -> None:
    store.database.sessiondata.insert_many([{**store.owner, "name": "a", "value": value} for value in (1, 2, 3)])
    data = store.backend.data
    assert await data.find(store.key, "a") == Found(1)
    assert await data.increment(store.key, "a", 10) == 11
    await data.put(store.key, "a", 12)
    assert await data.find(store.key, "a") == Found(12)
    assert await data.scan(store.key, values=True) == [("a", 12)]
    assert await data.delete(store.key, "a")
    assert await data.find(store.key, "a") is None


async def test_drawers_and_names_are_kept_apart(store: Store) -> None:
    data = store.backend.data
    others = [
        JobKey(store.key.session_id, str(ObjectId())),
        JobKey(str(ObjectId()), store.key.job_id),
    ]
    for number, key in enumerate([store.key, *others]):
        await data.put(key, "name", number)
        await data.put(key, "Name", -number)
    assert [(await data.find(key, "name")) for key in [store.key, *others]] == [Found(0), Found(1), Found(2)]
    assert await data.scan(others[1], values=True) == [("Name", -2), ("name", 2)]
    assert await data.scan(others[1], values=False) == [("Name", None), ("name", None)]


NOT_SO_PLAIN: list[tuple[Any, Any]] = [
    (Int64(5), 5),
    ({"deep": [Int64(2**40)]}, {"deep": [2**40]}),
    (ObjectId("0123456789abcdef01234567"), "0123456789abcdef01234567"),
    (Binary(b"ab", 5), b"ab"),
    (Decimal128("1.5"), 1.5),
    (datetime(2024, 5, 6, 7, tzinfo=timezone.utc), datetime(2024, 5, 6, 7, tzinfo=timezone.utc)),
]


@pytest.mark.parametrize(("stored", "plain"), NOT_SO_PLAIN, ids=lambda value: type(value).__name__)
async def test_values_of_other_programs_come_in_plain_types(store: Store, stored: object, plain: object) -> None:
    store.database.sessiondata.insert_one({**store.owner, "name": "name", "value": stored})
    found = await store.backend.data.find(store.key, "name")
    assert found == Found(plain)
    assert repr(found) == repr(Found(plain))  # Int64 and Binary show their own names
    assert type(found.value) is type(plain)


async def test_a_large_integer_comes_back_as_int(store: Store) -> None:
    await store.backend.data.put(store.key, "name", {"n": [2**40, 1]})
    found = await store.backend.data.find(store.key, "name")
    assert found is not None
    assert {type(number) for number in found.value["n"]} == {int}
    assert type(await store.backend.data.increment(store.key, "sum", 2**40)) is int


async def test_a_type_without_counterpart_is_refused_by_name(store: Store) -> None:
    store.database.sessiondata.insert_one({**store.owner, "name": "pattern", "value": Regex("SECRET")})
    with pytest.raises(StoredValueError, match="'pattern' holds a BSON Regex") as caught:
        await store.backend.data.find(store.key, "pattern")
    assert "SECRET" not in str(caught.value)


async def test_dotted_and_empty_keys_survive_every_way_of_writing(store: Store) -> None:
    data, value = store.backend.data, {"1.2.840": {"a.b": [{"c.d": 1}]}, "": 2}
    assert await data.put(store.key, "name", value, ABSENT)
    assert await data.put(store.key, "name", value)
    assert await data.put(store.key, "name", value, value)
    assert await data.find(store.key, "name") == Found(value)


COMPARED: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    (0, False),
    (True, True),
    (math.nan, math.nan),
    (0.0, -0.0),
    (2**53 + 1, float(2**53)),
    (None, None),
    (None, 0),
    ("a", "A"),
    (b"a", "a"),
    ([1, 2], 1),
    ([1, 2], [1, 2]),
    ([[1, 2]], [1, 2]),
    ([], None),
    ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1}, {"a": 1.0}),
    ({"a": True}, {"a": 1}),
    ({"a.b": 1}, {"a.b": 1}),
    ({"a": "$name"}, {"a": "$name"}),
    ("$value", "$value"),
    ("$name", "name"),
    ([math.nan], [math.nan]),
    (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, tzinfo=timezone.utc)),
]


async def test_a_compare_and_set_compares_as_the_codec_says(store: Store) -> None:
    data = store.backend.data
    for stored, expected in COMPARED:
        await data.put(store.key, "name", stored)
        changed = await data.put(store.key, "name", "new", expected)
        assert changed is equal(stored, expected), (stored, expected)
        found = await data.find(store.key, "name")
        assert found is not None
        assert equal(found.value, "new" if changed else stored), (stored, expected)


async def test_a_compare_and_set_of_nothing_stored_fails_and_writes_nothing(store: Store) -> None:
    assert not await store.backend.data.put(store.key, "name", 1, None)
    assert store.database.sessiondata.count_documents({}) == 0


@pytest.mark.parametrize("stored", [True, "1", None, [1], {"n": 1}, b"1"], ids=shown)
async def test_only_a_number_is_added_to(store: Store, stored: object) -> None:
    await store.backend.data.put(store.key, "name", stored)
    assert await store.backend.data.increment(store.key, "name", 1) is None
    assert await store.backend.data.find(store.key, "name") == Found(stored)


async def test_numbers_grow_and_overflow_is_reported(store: Store) -> None:
    data = store.backend.data
    assert await data.increment(store.key, "n", 2) == 2
    assert await data.increment(store.key, "n", 0.5) == 2.5
    await data.put(store.key, "big", 2**31 - 1)
    assert await data.increment(store.key, "big", 1) == 2**31
    await data.put(store.key, "big", 2**63 - 1)
    with pytest.raises(UnsupportedValueError, match="64 bits"):
        await data.increment(store.key, "big", 1)
    assert await data.find(store.key, "big") == Found(2**63 - 1)


@pytest.mark.parametrize("size_bytes", [16 * 2**20 - 50, 17 * 2**20, 60 * 2**20])
async def test_what_no_document_holds_is_refused_with_the_remedy(store: Store, size_bytes: int) -> None:
    with pytest.raises(UnsupportedValueError, match=r"session\.files\.save"):
        await store.backend.data.put(store.key, "name", bytes(size_bytes))
    assert store.database.sessiondata.count_documents({}) == 0


async def test_too_deep_a_value_is_refused_with_the_remedy(store: Store) -> None:
    value: list[Any] = []
    for _level in range(250):
        value = [value]
    with pytest.raises(UnsupportedValueError, match="100 levels"):
        await store.backend.data.put(store.key, "name", value)


async def test_an_id_that_is_none_is_refused_for_writing_and_finds_nothing(store: Store) -> None:
    key = JobKey("session", "job")
    with pytest.raises(StoreError, match="'session' is not an id of a session"):
        await store.backend.data.put(key, "name", 1)
    assert await store.backend.data.find(key, "name") is None


@contextmanager
def meeting(client: MongoClient[dict[str, Any]], writers: int) -> Iterator[None]:
    """Holds upserts that have found nothing, until so many of them stand there; then all insert."""
    point = "hangBeforeUpsertPerformsInsert"
    client.admin.command("configureFailPoint", point, mode="alwaysOn")

    def standing() -> int:
        return len(list(client.admin.aggregate([{"$currentOp": {}}, {"$match": {"failpointMsg": point}}])))

    def release() -> None:
        try:
            assert any(standing() == writers for _question in range(MOST_QUESTIONS)), "the writers did not meet"
        finally:
            client.admin.command("configureFailPoint", point, mode="off")

    with ThreadPoolExecutor(1) as pool:
        released = pool.submit(release)
        yield
        released.result()


def in_threads(store: Store, work: Callable[[DataRepository, int], Any]) -> list[Any]:
    """Runs ``work`` in threads that start together, each with a client of its own."""
    start = Barrier(WRITERS)

    def run(number: int) -> Any:
        data = store.another().data
        run_inline(data.find(store.key, "connect"))
        start.wait()
        return work(data, number)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
class TestConcurrentWriters:
    def test_never_make_two_documents(self, store: Store, client: MongoClient[dict[str, Any]]) -> None:
        with meeting(client, WRITERS):
            assert all(in_threads(store, lambda data, number: run_inline(data.put(store.key, "name", number))))
        assert store.database.sessiondata.count_documents({}) == 1

    def test_find_one_winner_of_an_insertion(self, store: Store, client: MongoClient[dict[str, Any]]) -> None:
        with meeting(client, WRITERS):
            won = in_threads(store, lambda data, number: run_inline(data.put(store.key, "owner", number, ABSENT)))
        assert won.count(True) == 1
        assert [row["value"] for row in store.database.sessiondata.find()] == [won.index(True)]

    def test_lose_no_increment(self, store: Store, client: MongoClient[dict[str, Any]]) -> None:
        with meeting(client, WRITERS):
            sums = in_threads(store, lambda data, _number: run_inline(data.increment(store.key, "n", 1)))
        assert sorted(sums) == list(range(1, WRITERS + 1))
        assert [row["value"] for row in store.database.sessiondata.find()] == [WRITERS]

    def test_never_make_two_documents_while_another_deletes(self, store: Store) -> None:
        def work(data: DataRepository, number: int) -> None:
            for _round in range(20):
                run_inline(data.delete(store.key, "name") if number == 0 else data.put(store.key, "name", number))

        in_threads(store, work)
        assert store.database.sessiondata.count_documents({}) <= 1

    def test_find_one_winner_of_a_compare_and_set(self, store: Store) -> None:
        run_inline(store.backend.data.put(store.key, "turn", "free"))
        won = in_threads(store, lambda data, number: run_inline(data.put(store.key, "turn", number, "free")))
        assert won.count(True) == 1
