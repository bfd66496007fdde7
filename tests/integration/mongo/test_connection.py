"""Opening, closing, and what is said when the server is not there or refuses."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service._blocking import run_inline
from dcm_processor_service.backends.mongo.asynchronous import open_async
from dcm_processor_service.backends.mongo.blocking import open_blocking
from dcm_processor_service.errors import ConfigurationError, StoreError, StoreUnavailableError
from dcm_processor_service.ports import Backend, JobKey, NewFile, StoreLocation, in_thread, inline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.integration.mongo.conftest import Store

KEY = JobKey("5e" * 12, "10" * 12)
CREDENTIALS = "keeper:pa55word"


def call(colour: str, url: str, work: Callable[[Backend], Awaitable[Any]], timeout_s: float = 5.0) -> Any:
    """Opens a store, does one thing, closes it."""

    async def awaited(backend: Backend) -> Any:
        return await work(backend)

    if colour == "motor":
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


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("colour", ["pymongo", "motor"])
@pytest.mark.parametrize("name", CALLS)
def test_nobody_listening_is_told_within_the_time_out_without_the_url(colour: str, name: str) -> None:
    url = f"mongodb://{CREDENTIALS}@127.0.0.1:{closed_port()}/"
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="did not answer in time") as caught:
        call(colour, url, CALLS[name], timeout_s=0.3)
    assert time.monotonic() - begun < 5  # the default, which a time-out of 0.3 s must not come near
    assert caught.value.__cause__ is not None
    told = "".join(traceback.format_exception(caught.value))
    assert "pa55word" not in told
    assert url not in told


@pytest.mark.parametrize("colour", ["pymongo", "motor"])
def test_a_server_that_says_nothing_is_told_within_the_time_out(colour: str) -> None:
    with silent_server() as port:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            call(colour, f"mongodb://127.0.0.1:{port}/", CALLS["data.find"], timeout_s=0.3)
        assert time.monotonic() - begun < 5


MALFORMED = [
    f"mongodb://{CREDENTIALS}@@host:27017/",
    f"mongodb://{CREDENTIALS}@host:pa55word/",
    f"http://{CREDENTIALS}@host/",
    "",
]


@pytest.mark.parametrize("colour", ["pymongo", "motor"])
@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_told_by_its_variable_without_its_pieces(colour: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-DB-URL") as caught:
        call(colour, url, CALLS["data.find"])
    assert caught.value.exit_code == 2
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("colour", ["pymongo", "motor"])
def test_a_refused_login_is_told_without_it(colour: str, mongo_url: str) -> None:
    with pytest.raises(ConfigurationError, match="refuses the login") as caught:
        call(colour, mongo_url.replace("mongodb://", f"mongodb://{CREDENTIALS}@"), CALLS["data.find"])
    assert "pa55word" not in "".join(traceback.format_exception(caught.value))


def test_opening_neither_connects_nor_reads_the_url() -> None:
    for opened in (
        open_blocking(StoreLocation("no url", "db", 5.0, "blocking"), inline),
        open_async(StoreLocation("no url", "db", 5.0, "async"), in_thread),
    ):
        with opened as backend:
            assert "no url" not in repr(backend)


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
