"""Opening, closing, and what is said when the server is not there or refuses."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import AsyncMongoClient

from dcm_processor_service.backends.mongo.driver import asynchronous
from dcm_processor_service.backends.mongo.driver.asynchronous import open_async
from dcm_processor_service.backends.mongo.driver.blocking import open_blocking
from dcm_processor_service.backends.mongo.driver.connection import Patience
from dcm_processor_service.errors import ConfigurationError, StoreError, StoreUnavailableError
from dcm_processor_service.ports import Backend, JobKey, NewFile, StoreLocation, in_thread, inline
from dcm_processor_service.ports.concurrency import run_inline
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pymongo import MongoClient

    from tests.integration.mongo.conftest import Store

KEY = JobKey("5e" * 12, "10" * 12)
CREDENTIALS = "keeper:pa55word"


def call(mode: str, url: str, work: Callable[[Backend], Awaitable[Any]], timeout_s: float = 5.0) -> Any:
    """Opens a store, does one thing, closes it."""

    async def awaited(backend: Backend) -> Any:
        return await work(backend)

    if mode == "motor":
        with open_async(StoreLocation(url, "nobody", timeout_s, "async"), in_thread) as backend:
            return asyncio.run(awaited(backend))
    with open_blocking(StoreLocation(url, "nobody", timeout_s, "blocking"), inline) as backend:
        return run_inline(awaited(backend))


CALLS: dict[str, Callable[[Backend], Awaitable[Any]]] = {
    "data.find": lambda backend: backend.data.find(KEY, "name"),
    "data.put": lambda backend: backend.data.put(KEY, "name", 1),
    "files.put": lambda backend: backend.files.put(KEY, "name", io.BytesIO(b"x"), NewFile("a/b", {})),
    "files.fetch": lambda backend: backend.files.fetch(KEY, "name", io.BytesIO()),
    "jobs.collect": lambda backend: backend.jobs.collect(KEY.session_id, "name", "name"),
}


@contextmanager
def silent_server() -> Iterator[int]:
    """Accepts connections and never says a word; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in accepted:
                connection.close()


def waited_s(error: BaseException) -> float:
    """How long the driver says that it has waited for a server."""
    found = re.search(r"Timeout: ([\d.]+)s", str(error.__cause__))
    assert found
    return float(found[1])


@pytest.fixture(scope="module")
def unanswered() -> dict[tuple[str, str], Future[Any]]:
    """Every call in both modes where nothing listens. All wait at the same time."""
    url = f"mongodb://{CREDENTIALS}@127.0.0.1:{free_port()}/"
    with ThreadPoolExecutor(2 * len(CALLS)) as pool:
        return {
            (mode, name): pool.submit(call, mode, url, work, timeout_s=0.3)
            for mode in ("pymongo", "motor")
            for name, work in CALLS.items()
        }


@pytest.mark.parametrize("mode", ["pymongo", "motor"])
@pytest.mark.parametrize("name", CALLS)
def test_a_port_without_listener_is_reported_within_the_time_out_without_the_url(
    unanswered: dict[tuple[str, str], Future[Any]], mode: str, name: str
) -> None:
    with pytest.raises(StoreUnavailableError, match="did not answer in time") as caught:
        unanswered[mode, name].result()
    assert waited_s(caught.value) <= 0.3
    told = "".join(traceback.format_exception(caught.value))
    assert "pa55word" not in told
    assert "mongodb://" not in told


@pytest.mark.parametrize("mode", ["pymongo", "motor"])
def test_a_server_that_says_nothing_is_reported_within_the_time_out(mode: str) -> None:
    with silent_server() as port, pytest.raises(StoreUnavailableError) as caught:
        call(mode, f"mongodb://127.0.0.1:{port}/", CALLS["data.find"], timeout_s=0.3)
    assert waited_s(caught.value) <= 0.3


@pytest.fixture
def stopping(client: MongoClient[dict[str, Any]]) -> Iterator[Callable[[], None]]:
    """Stops the server's process where it is, as a machine that hangs; it goes on at the end, at the latest in 30 s."""
    pid = client.admin.command("serverStatus")["pid"]
    resume = threading.Timer(30, os.kill, (pid, signal.SIGCONT))
    resume.start()

    def stop() -> None:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # until every thread of it stands

    yield stop
    resume.cancel()
    os.kill(pid, signal.SIGCONT)


async def test_a_server_that_hangs_in_mid_run_is_reported(store: Store, stopping: Callable[[], None]) -> None:
    backend: Any = store.another()
    await backend.data.put(store.key, "name", 1)
    stopping()
    client = backend.files._files._client  # one for all repositories
    client.patience = Patience(0.5, 0.5, 0.5)  # from now on: on a busy machine all before may take longer
    with pytest.raises(StoreUnavailableError):
        await backend.data.find(store.key, "name")
    with pytest.raises(StoreUnavailableError):
        await backend.data.put(store.key, "name", 2)


@pytest.mark.parametrize("store", ["motor"], indirect=True)
def test_a_second_event_loop_is_served_too(store: Store) -> None:
    async def count() -> int:
        total = await store.backend.data.increment(store.key, "n", 1)
        assert isinstance(total, int)
        return total

    assert [asyncio.run(count()) for _loop in range(3)] == [1, 2, 3]


MALFORMED = [
    f"mongodb://{CREDENTIALS}@@host:27017/",
    f"mongodb://{CREDENTIALS}@host:pa55word/",
    f"http://{CREDENTIALS}@host/",
    "",
]


@pytest.mark.parametrize("mode", ["pymongo", "motor"])
@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_reported_by_its_variable_without_its_pieces(mode: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-DB-URL") as caught:
        call(mode, url, CALLS["data.find"])
    assert caught.value.exit_code == 2
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("mode", ["pymongo", "motor"])
def test_a_refused_login_is_reported_without_it(mode: str, mongo_url: str) -> None:
    with pytest.raises(ConfigurationError, match="refuses the login") as caught:
        call(mode, mongo_url.replace("mongodb://", f"mongodb://{CREDENTIALS}@"), CALLS["data.find"])
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))


def test_opening_neither_connects_nor_reads_the_url() -> None:
    for opened in (
        open_blocking(StoreLocation("no url", "db", 5.0, "blocking"), inline),
        open_async(StoreLocation("no url", "db", 5.0, "async"), in_thread),
    ):
        with opened as backend:
            assert "no url" not in repr(backend)


def test_an_event_loop_waits_for_the_end_of_a_client_whose_store_is_dropped_before(mongo_url: str) -> None:
    closed: list[bool] = []

    class Slow(AsyncMongoClient[dict[str, Any]]):
        async def close(self) -> None:
            await asyncio.sleep(0.3)  # as on a busy machine
            await super().close()
            closed.append(True)

    async def use() -> None:
        location = StoreLocation(mongo_url, "nobody", 30.0, "async")
        with asynchronous.open_with_options(location, in_thread, Slow) as backend:
            await backend.data.find(KEY, "name")

    before = dict(asynchronous._keepers)
    asyncio.run(use())
    assert closed == [True]
    assert asynchronous._keepers == before


def test_a_client_of_pymongo_is_closed_with_its_store_not_at_the_end_of_its_event_loop(mongo_url: str) -> None:
    closed: dict[int, Any] = {}

    class Seen(AsyncMongoClient[dict[str, Any]]):
        async def close(self) -> None:
            await super().close()
            closed[id(self)] = self

    async def use() -> None:
        location = StoreLocation(mongo_url, "nobody", 30.0, "async")
        for number in range(1, 4):
            with asynchronous.open_with_options(location, in_thread, Seen) as backend:
                await backend.data.find(KEY, "name")
            for _turn in range(3000):
                if len(closed) < number:
                    await asyncio.sleep(0.01)
            assert len(closed) == number

    before = dict(asynchronous._keepers)
    asyncio.run(use())
    assert asynchronous._keepers == before


async def test_what_is_closed_is_closed(store: Store) -> None:
    await store.backend.data.put(store.key, "name", 1)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.backend.data.find(store.key, "name")


def test_no_thread_is_left_behind(mongo_url: str) -> None:
    before = set(threading.enumerate())
    with open_blocking(StoreLocation(mongo_url, "nobody", 5.0, "blocking"), inline) as backend:
        run_inline(backend.data.find(KEY, "name"))
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]
