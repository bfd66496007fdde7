"""A write whose answer was lost is reported as done once, or as uncertain; for a standalone the driver repeats none."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from dcm_processor_service.backends.mongo.driver.asynchronous import open_with_options as open_async_with_options
from dcm_processor_service.errors import StoreError, StoreUnavailableError
from dcm_processor_service.ports import ABSENT, Found, NewFile, StoreLocation, in_thread
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener, impatient_from_now_on
from tests.faults.mongo.proxy import Proxy, proxied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from dcm_processor_service.ports import DataRepository
    from tests.faults.mongo.servers import Mongod


@pytest.fixture
def line(standalone: Mongod) -> Iterator[Proxy]:
    with proxied(standalone.port) as proxy:
        yield proxy


def test_an_increment_whose_answer_is_lost_adds_once_and_tells_its_own_sum(line: Proxy, opener: Opener) -> None:
    data = opener(line.url).data
    assert run_inline(data.increment(KEY, "n", 5)) == 5
    line.lose_the_answer_to("findAndModify")
    assert run_inline(data.increment(KEY, "n", 2)) == 7
    assert line.lost.is_set()
    assert run_inline(data.find(KEY, "n")) == Found(7)


def test_a_first_increment_whose_answer_is_lost_adds_once(line: Proxy, opener: Opener) -> None:
    data = opener(line.url).data
    run_inline(data.find(KEY, "n"))
    line.lose_the_answer_to("findAndModify")
    assert run_inline(data.increment(KEY, "n", 2)) == 2
    assert line.lost.is_set()
    assert run_inline(data.find(KEY, "n")) == Found(2)


@pytest.mark.parametrize("expected", [ABSENT, "old"])
def test_a_comparison_whose_answer_is_lost_has_won(line: Proxy, opener: Opener, expected: object) -> None:
    data = opener(line.url).data
    if expected is not ABSENT:
        run_inline(data.put(KEY, "n", "old"))
    run_inline(data.find(KEY, "n"))
    line.lose_the_answer_to("update")
    assert run_inline(data.put(KEY, "n", "new", expected))
    assert line.lost.is_set()
    assert not run_inline(data.put(KEY, "n", "newer", expected))
    assert run_inline(data.find(KEY, "n")) == Found("new")


@pytest.mark.parametrize("mode", ["blocking", "motor", "pymongo"])
def test_a_comparison_whose_answer_is_lost_does_not_win_twice_over_what_others_made_of_it(
    standalone: Mongod, line: Proxy, opener: Opener, mode: str
) -> None:
    data, others = opener(line.url).data, opener(standalone.url).data
    run_inline(others.put(KEY, "n", "idle"))

    async def compare_asynchronously(client_class: Any) -> bool:
        location = StoreLocation(line.url, opener.database, 20.0, "async")
        with open_async_with_options(location, in_thread, client_class) as backend:
            await backend.data.find(KEY, "n")
            line.lose_the_answer_to("update", 1000)
            return await backend.data.put(KEY, "n", "busy", "idle")

    def compare() -> bool:
        if mode != "blocking":
            return asyncio.run(compare_asynchronously(AsyncIOMotorClient if mode == "motor" else AsyncMongoClient))
        run_inline(data.find(KEY, "n"))
        line.lose_the_answer_to("update", 1000)
        return run_inline(data.put(KEY, "n", "busy", "idle"))

    said: list[bool] = []
    comparing = threading.Thread(target=lambda: said.append(compare()))
    comparing.start()
    assert line.lost.wait(30)
    assert run_inline(others.put(KEY, "n", "idle", "busy"))
    line.answers_to_lose = 0
    comparing.join()
    assert said == [True]
    assert run_inline(others.find(KEY, "n")) == Found("idle")


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("before", [None, "old", "of the 0.0.1 API"])
def test_a_put_whose_answers_are_lost_does_not_overwrite_later_changes(
    standalone: Mongod, line: Proxy, opener: Opener, before: str | None, times: int
) -> None:
    data, others = opener(line.url).data, opener(standalone.url).data
    if before is not None:
        run_inline(others.put(KEY, "n", before))
    values = opener.seen(standalone.url)["sessiondata"]
    if before == "of the 0.0.1 API":
        (made,) = values.find()
        values.delete_many({})
        values.insert_one({**made, "_id": ObjectId()})
    run_inline(data.find(KEY, "n"))
    line.lose_the_answer_to("update", times)
    putting = threading.Thread(target=lambda: run_inline(data.put(KEY, "n", 100)))
    putting.start()
    assert line.lost.wait(30)
    assert run_inline(others.increment(KEY, "n", 1)) == 101  # while the put is about to be made again
    putting.join()
    assert line.answers_to_lose == 0 or times > 1
    assert values.count_documents({}) == 1
    assert run_inline(others.find(KEY, "n")) == Found(101)
    run_inline(data.put(KEY, "n", 7))
    assert run_inline(others.find(KEY, "n")) == Found(7)
    assert values.count_documents({}) == 1


def test_a_delete_whose_answer_is_lost_says_that_something_was_there(line: Proxy, opener: Opener) -> None:
    data = opener(line.url).data
    run_inline(data.put(KEY, "n", 1))
    line.lose_the_answer_to("delete")
    assert run_inline(data.delete(KEY, "n"))
    assert line.lost.is_set()
    assert run_inline(data.find(KEY, "n")) is None


@pytest.mark.parametrize("before", ["ours", "of the 0.0.1 API"])
@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_a_delete_whose_answer_is_lost_removes_nothing_that_came_meanwhile(
    standalone: Mongod, line: Proxy, opener: Opener, before: str, *, applied: bool
) -> None:
    data, others = opener(line.url).data, opener(standalone.url).data
    values = opener.seen(standalone.url)["sessiondata"]
    run_inline(others.put(KEY, "n", "old"))
    if before == "of the 0.0.1 API":
        (made,) = values.find()
        values.delete_many({})
        values.insert_one({key: made[key] for key in ("session_id", "job_id", "name", "value")})
    run_inline(data.find(KEY, "n"))
    line.lose_the_answer_to("delete", reaches_the_server=applied, holds_the_next=True)
    said: list[bool] = []
    deleting = threading.Thread(target=lambda: said.append(run_inline(data.delete(KEY, "n"))))
    deleting.start()
    assert line.lost.wait(30)
    if not applied:
        assert run_inline(others.delete(KEY, "n"))
    run_inline(others.increment(KEY, "n", 5))  # acknowledged before the delete is made again
    line.let_on()
    deleting.join()
    assert said == [True]
    assert run_inline(others.find(KEY, "n")) == Found(5)
    assert values.count_documents({}) == 1


@pytest.mark.parametrize("client_class", [AsyncIOMotorClient, AsyncMongoClient])
def test_asynchronous_repetitions_remove_and_double_nothing_either(
    standalone: Mongod, line: Proxy, opener: Opener, client_class: Any
) -> None:
    others = opener(standalone.url).data
    values = opener.seen(standalone.url)["sessiondata"]

    async def repeated(command: str, call: Callable[[DataRepository], Awaitable[object]]) -> object:
        location = StoreLocation(line.url, opener.database, 20.0, "async")
        with open_async_with_options(location, in_thread, client_class) as backend:
            await backend.data.find(KEY, "n")
            line.lose_the_answer_to(command)
            under_way = asyncio.ensure_future(call(backend.data))
            assert await asyncio.to_thread(line.lost.wait, 30)
            await asyncio.to_thread(run_inline, others.increment(KEY, "n", 5))
            return await under_way

    run_inline(others.put(KEY, "n", 1))
    assert asyncio.run(repeated("delete", lambda data: data.delete(KEY, "n"))) is True
    assert run_inline(others.find(KEY, "n")) == Found(5)
    (made,) = values.find()
    values.delete_many({})
    values.insert_one({**made, "_id": ObjectId()})
    assert asyncio.run(repeated("update", lambda data: data.put(KEY, "n", 100))) is True
    assert run_inline(others.find(KEY, "n")) == Found(105)
    assert values.count_documents({}) == 1


@pytest.mark.parametrize(
    ("command", "times"), [("insert", 1), ("insert", 2), ("findAndModify", 1), ("findAndModify", 2), ("delete", 2)]
)
def test_a_put_whose_answers_are_lost_leaves_one_whole_version(
    line: Proxy, opener: Opener, command: str, times: int
) -> None:
    files = opener(line.url).files
    new = NewFile("a/b", {})
    run_inline(files.put(KEY, "a", io.BytesIO(b"old"), new))
    line.lose_the_answer_to(command, times)
    stored = run_inline(files.put(KEY, "a", io.BytesIO(b"new"), new))
    assert line.lost.is_set()
    assert run_inline(files.list(KEY)) == [stored]
    sink = io.BytesIO()
    run_inline(files.fetch(KEY, "a", sink))
    assert sink.getvalue() == b"new"
    stored = run_inline(files.put(KEY, "a", io.BytesIO(b"newer"), new))
    assert run_inline(files.list(KEY)) == [stored]
    chunks = opener.seen(line.url)["sessionfiles.chunks"]
    assert [str(chunk["files_id"]) for chunk in chunks.find()] == [stored.id]


def test_an_increment_of_which_nobody_knows_is_uncertain_and_not_retryable(
    standalone: Mongod, line: Proxy, opener: Opener
) -> None:
    backend = opener(line.url)
    data = backend.data
    run_inline(data.increment(KEY, "n", 1))
    impatient_from_now_on(backend, 2.0)
    standalone.freeze()
    with pytest.raises(StoreError, match="nobody knows whether 1 was added") as caught:
        run_inline(data.increment(KEY, "n", 1))
    assert (caught.value.maybe_applied, caught.value.retryable) == (True, False)
    with pytest.raises(StoreUnavailableError) as of_a_read:
        run_inline(data.find(KEY, "n"))
    assert (of_a_read.value.maybe_applied, of_a_read.value.retryable) == (False, True)
