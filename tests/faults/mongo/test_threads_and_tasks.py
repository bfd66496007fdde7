"""Several threads, tasks and processes over one store: one client, no deadlock, and no write out of order."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from dcm_processor_service.backends.mongo.driver import asynchronous
from dcm_processor_service.backends.mongo.driver.asynchronous import open_with_options as open_async
from dcm_processor_service.backends.mongo.driver.blocking import Blocking
from dcm_processor_service.backends.mongo.driver.connection import LazyClient
from dcm_processor_service.backends.mongo.repositories import bundle
from dcm_processor_service.errors import StoreUnavailableError
from dcm_processor_service.ports import Found, NewFile, StoreLocation, in_thread, inline
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.proxy import proxied

if TYPE_CHECKING:
    from tests.faults.mongo.servers import Mongod

THREADS = 16

FORKING = """
import io, os, sys
from dcm_processor_service.backends.mongo.driver.blocking import open_blocking
from dcm_processor_service.ports import JobKey, NewFile, StoreLocation, inline
from dcm_processor_service.ports.concurrency import run_inline

url, database = sys.argv[1:]
key = JobKey("5e" * 12, "10" * 12)
with open_blocking(StoreLocation(url, database, 20.0, "blocking"), inline) as backend:
    def read():
        sink = io.BytesIO()
        run_inline(backend.files.fetch(key, "a", sink))
        return len(sink.getvalue())

    run_inline(backend.files.put(key, "a", io.BytesIO(bytes(20 * 2**20)), NewFile("a/b", {})))
    assert read() == 20 * 2**20
    child = os.fork()
    if child == 0:
        for _ in range(20):
            run_inline(backend.data.increment(key, "n", 1))
        os._exit(0 if read() == 20 * 2**20 else 1)
    for _ in range(20):
        run_inline(backend.data.increment(key, "n", 1))
    assert os.waitpid(child, 0)[1] == 0
    print(run_inline(backend.data.find(key, "n")).value)
"""


class Counting(Blocking):
    """Counts the clients that are made."""

    def __init__(self) -> None:
        self.made = 0

    def make(self, url: str, **options: Any) -> Any:
        self.made += 1
        return super().make(url, **options)


def test_the_first_use_from_several_threads_opens_one_client(standalone: Mongod, opener: Opener) -> None:
    mode = Counting()
    client = LazyClient(opener.location(standalone.url), mode, {})
    backend = bundle(client, mode, inline)
    together = threading.Barrier(THREADS)
    told: list[Any] = []

    def use() -> None:
        together.wait()
        told.append(run_inline(backend.data.increment(KEY, "n", 1)))

    threads = [threading.Thread(target=use) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    client.close()
    assert sorted(told) == list(range(1, THREADS + 1))
    assert mode.made == 1


def test_a_forked_child_works_after_a_bulk_read_of_its_parent(standalone: Mongod, opener: Opener) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, standalone.url, opener.database],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[3],
    )
    assert (ended.returncode, ended.stdout) == (0, "40\n"), ended.stderr


@pytest.mark.parametrize("driver", [AsyncIOMotorClient, AsyncMongoClient], ids=["motor", "pymongo"])
def test_a_cancelled_write_never_lands_after_a_later_one(
    standalone: Mongod, opener: Opener, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asynchronous, "ANSWER_S", 60.0)  # a busy machine may take longer than a second to answer
    made: list[Any] = []

    def make(url: str, **options: Any) -> Any:
        made.append(driver(url, **options))
        return made[0]

    async def write(url: str) -> None:
        location = StoreLocation(url, opener.database, 20.0, "async")
        with open_async(location, in_thread, client_class=make) as backend:
            await backend.data.put(KEY, "n", "first")
            # takes the line half a second, in which it is cancelled
            cancelled = asyncio.create_task(backend.data.put(KEY, "n", "x" * 2**20))
            await asyncio.sleep(0)
            while not any(map(_is_on_its_way, asyncio.all_tasks())):  # noqa: ASYNC110  the driver tells nobody
                await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert await backend.data.find(KEY, "n") == Found("x" * 2**20)
            await backend.data.put(KEY, "n", "last")
            assert await backend.data.find(KEY, "n") == Found("last")
        if driver is AsyncMongoClient:
            await made[0].close()

    with proxied(standalone.port, 2.0 * 2**20) as line:
        asyncio.run(write(line.url))


@pytest.mark.parametrize("driver", [AsyncIOMotorClient, AsyncMongoClient], ids=["motor", "pymongo"])
def test_a_cancellation_goes_on_though_no_answer_comes_and_later_writes_wait_for_it(
    standalone: Mongod, opener: Opener, driver: Any
) -> None:
    made: list[Any] = []

    def make(url: str, **options: Any) -> Any:
        made.append(driver(url, **options))
        return made[0]

    async def write() -> float:
        location = StoreLocation(standalone.url, opener.database, 20.0, "async", operation_timeout_s=300.0)
        with open_async(location, in_thread, client_class=make) as backend:
            await backend.data.put(KEY, "n", "first")
            standalone.freeze()
            cancelled = asyncio.create_task(backend.data.put(KEY, "n", "cancelled"))
            while not any(map(_is_on_its_way, asyncio.all_tasks())):  # noqa: ASYNC110  the driver tells nobody
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            began = time.monotonic()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            took_s = time.monotonic() - began
            last = asyncio.create_task(backend.data.put(KEY, "n", "last"))
            await asyncio.sleep(0.2)
            standalone.thaw()
            await last
            assert await backend.data.find(KEY, "n") == Found("last")
        if driver is AsyncMongoClient:
            await made[0].close()
        return took_s

    assert asyncio.run(write()) < 30.0  # one second, on a machine that has time


@pytest.mark.parametrize("driver", [AsyncIOMotorClient, AsyncMongoClient], ids=["motor", "pymongo"])
def test_a_cancelled_put_of_a_file_goes_on_too_and_later_writes_wait_no_longer_than_their_own_time(
    standalone: Mongod, opener: Opener, driver: Any
) -> None:
    made: list[Any] = []
    new = NewFile("a/b", {})

    def make(url: str, **options: Any) -> Any:
        made.append(driver(url, **options))
        return made[0]

    async def write() -> tuple[float, float]:
        location = StoreLocation(
            standalone.url, opener.database, 20.0, "async", operation_timeout_s=3.0, transfer_timeout_s=300.0
        )
        with open_async(location, in_thread, client_class=make) as backend:
            await backend.files.put(KEY, "f", io.BytesIO(b"first"), new)
            await backend.data.put(KEY, "n", "first")
            standalone.freeze()
            cancelled = asyncio.create_task(backend.files.put(KEY, "f", io.BytesIO(b"cancelled"), new))
            while not any(map(_is_on_its_way, asyncio.all_tasks())):  # noqa: ASYNC110  the driver tells nobody
                await asyncio.sleep(0)
            began = time.monotonic()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            let_go = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="did not answer in time") as caught:
                await backend.data.put(KEY, "n", "later")
            waited_s = time.monotonic() - let_go
            assert (caught.value.maybe_applied, caught.value.retryable) == (False, True)
            standalone.thaw()
            files: Any = backend.files
            # its chunks may come after a put that follows looked for such; one that follows the answer removes them
            assert await files._chunks._mode.all_answered(60.0)
            await backend.files.put(KEY, "f", io.BytesIO(b"last"), new)
            assert await backend.data.find(KEY, "n") == Found("first")
        if driver is AsyncMongoClient:
            await made[0].close()
        return let_go - began, waited_s

    held_s, waited_s = asyncio.run(write())
    assert held_s < 60.0  # one second, on a machine that has time
    assert 2.0 < waited_s < 60.0
    assert opener.seen(standalone.url)["sessionfiles.files"].count_documents({"retired": {"$exists": False}}) == 1
    assert len(opener.seen(standalone.url)["sessionfiles.chunks"].distinct("files_id")) == 1


def _is_on_its_way(task: asyncio.Task[Any]) -> bool:
    coroutine = task.get_coro()
    return getattr(coroutine, "__name__", "") == "_awaited"
