"""The blocking mode: PyMongo. Awaiting these operations never suspends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from dcm_processor_service.backends.mongo.driver.connection import LazyClient
from dcm_processor_service.backends.mongo.repositories import bundle
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.modes import Ahead
    from dcm_processor_service.ports import Backend, Offload, StoreLocation

__all__ = ["open_blocking"]


@contextmanager
def open_blocking(location: StoreLocation, offload: Offload) -> Iterator[Backend]:
    """Opens the platform's database through PyMongo; connects at the first use.

    Example:
        >>> from dcm_processor_service.ports import StoreLocation, inline
        >>> location = StoreLocation("mongodb://127.0.0.1:27017", "dcmprocessor", 5.0, "blocking")
        >>> with open_blocking(location, inline) as backend:
        ...     type(backend.data).__name__
        'MongoDataRepository'
    """
    with open_with_options(location, offload) as backend:
        yield backend


@contextmanager
def open_with_options(location: StoreLocation, offload: Offload, **options: Any) -> Iterator[Backend]:
    """Opens the database with more options of ``MongoClient``, such as ``event_listeners`` to count commands."""
    mode = Blocking()
    client = LazyClient(location, mode, options)
    try:
        yield bundle(client, mode, offload)
    finally:
        client.close()


class Blocking:
    """The mode of PyMongo's blocking client."""

    def make(self, url: str, **options: Any) -> MongoClient[Document]:
        """Makes a client; does not connect."""
        return MongoClient(url, **options)

    def scope(self) -> object:
        """Returns None, because all threads share one client."""
        return None

    def close(self, client: MongoClient[Document]) -> None:
        """Closes a client."""
        client.close()

    async def reach(self, client: MongoClient[Document]) -> None:
        """Waits until the driver knows a server that accepts writes."""
        _ = client.is_primary  # the property waits

    async def write(self, call: Callable[[], Any]) -> Any:
        """Makes a call that changes documents."""
        return call()

    async def run(self, call: Callable[[], Any]) -> Any:
        """Makes a call that changes no stored document."""
        return call()

    async def all_answered(self, within_s: float) -> bool:
        """Returns True: every write waits for its answer."""
        del within_s
        return True

    async def read_all(self, call: Callable[[], Any], *, whole: bool = True) -> list[Document]:
        """Returns all documents of a cursor; if not ``whole``, the driver's time limit is for each message."""
        if not whole:
            return list(call())
        documents: list[Document] = call().to_list()  # faster than iterating, but one time limit for all messages
        return documents

    async def pause(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no event loop in this mode

    def start(self, work: Callable[[], Coroutine[Any, Any, list[Document]]]) -> Ahead:
        """Starts work in a daemon thread of its own, for which the end of the process does not wait."""
        return _ThreadAhead(work)


class _ThreadAhead:
    """Documents that a thread is fetching; awaiting waits for the thread and never suspends."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, list[Document]]]) -> None:
        self._future: Future[list[Document]] = Future()
        threading.Thread(target=self._run, args=(work,), name="mongo-read", daemon=True).start()

    def _run(self, work: Callable[[], Coroutine[Any, Any, list[Document]]]) -> None:
        try:
            self._future.set_result(run_inline(work()))
        except BaseException as error:  # noqa: BLE001  raised where the documents are awaited
            self._future.set_exception(error)

    def __await__(self) -> Generator[Any, Any, list[Document]]:
        return self._wait().__await__()

    async def _wait(self) -> list[Document]:
        return self._future.result()

    def cancel(self) -> bool:
        """Does nothing: an operation under way ends by itself."""
        return False
