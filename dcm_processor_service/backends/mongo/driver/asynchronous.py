"""The asynchronous mode: motor, or PyMongo's own asynchronous client.

motor is at its end of life, but still faster. Only this file imports it, and one line of it chooses the driver.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from contextlib import contextmanager, suppress
from inspect import isawaitable, iscoroutinefunction
from math import inf
from typing import TYPE_CHECKING, Any

import pymongo
from motor.core import AgnosticBaseCursor
from motor.frameworks import asyncio as motor_framework
from motor.motor_asyncio import AsyncIOMotorClient

from dcm_processor_service.backends.mongo.driver.connection import CLOSING_S, LazyClient
from dcm_processor_service.backends.mongo.driver.daemon_threads import DaemonThreads
from dcm_processor_service.backends.mongo.repositories import bundle
from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.modes import Ahead
    from dcm_processor_service.ports import Backend, Offload, StoreLocation

__all__ = ["open_async"]

ANSWER_S = 1.0
"""How long a cancelled write waits for its answer before the cancellation is raised."""

CLIENT: Any = AsyncIOMotorClient
"""The driver: this one, or ``pymongo.AsyncMongoClient``, whose clients can be closed only in their event loop."""

_lock = SharedLock()
_keepers: dict[int, tuple[AsyncGenerator[None, None], asyncio.AbstractEventLoop]] = {}
"""The generator that closes each client at the end of its event loop, and that loop, by the client's id.

The dictionary keeps the generators alive until then, because an event loop refers to them only weakly.
"""
_closing: set[asyncio.Task[None]] = set()
"""The tasks that are closing clients; this set keeps them alive, because an event loop refers to them only weakly."""


def daemon_threads() -> DaemonThreads:
    """Returns the threads of this process, and makes motor use them; a forked child makes threads of its own."""
    motor: Any = motor_framework
    with _lock:
        threads = motor._EXECUTOR  # noqa: SLF001  motor has no setting for it, and gets only fixes now
        if not isinstance(threads, DaemonThreads) or threads.pid != os.getpid():
            threads = motor._EXECUTOR = DaemonThreads(motor.max_workers)  # noqa: SLF001
        return threads


@contextmanager
def open_async(location: StoreLocation, offload: Offload) -> Iterator[Backend]:
    """Opens the platform's database through motor; connects at the first use.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.ports import StoreLocation, in_thread
        >>> location = StoreLocation("mongodb://127.0.0.1:27017", "dcmprocessor", 5.0, "async")
        >>> with open_async(location, in_thread) as backend:
        ...     type(backend.data).__name__
        'MongoDataRepository'
    """
    with open_with_options(location, offload) as backend:
        yield backend


@contextmanager
def open_with_options(
    location: StoreLocation, offload: Offload, client_class: Any = None, **options: Any
) -> Iterator[Backend]:
    """Opens the database with another driver or more client options, such as ``event_listeners`` to count commands."""
    mode = Async(client_class or CLIENT)
    client = LazyClient(location, mode, options)
    try:
        yield bundle(client, mode, offload)
    finally:
        client.close()


class Async:
    """The mode of both asynchronous drivers."""

    def __init__(self, client_class: Any) -> None:
        self._client_class = client_class
        self._unanswered: dict[asyncio.Future[Any], float] = {}
        """The cancelled writes without an answer, and until when each of them delays its cancellation."""

    def make(self, url: str, **options: Any) -> Any:
        """Makes a client; does not connect."""
        daemon_threads()  # before motor's first operation in this process
        client = self._client_class(url, **options)
        if iscoroutinefunction(client.close):
            keeper = _close_when_the_loop_ends(client)
            with suppress(StopIteration):  # starts the generator, so that the loop knows it
                keeper.__anext__().send(None)
            _keepers[id(client)] = keeper, asyncio.get_running_loop()
        return client

    def scope(self) -> object:
        """Returns the running event loop."""
        return asyncio.get_running_loop()

    def close(self, client: Any) -> None:
        """Closes a client; a client of PyMongo is closed in its event loop, and this does not wait for that."""
        if not iscoroutinefunction(client.close):
            client.close()
        elif found := _keepers.get(id(client)):
            _keeper, loop = found
            with suppress(RuntimeError):  # the loop has ended, and closed the client
                loop.call_soon_threadsafe(_start_to_close, client)

    async def reach(self, client: Any) -> None:
        """Waits until the driver knows a server that accepts writes."""
        if isinstance(client, AsyncIOMotorClient):
            patience = contextvars.copy_context()  # the context holds PyMongo's time-out
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(daemon_threads(), patience.run, getattr, client, "is_primary")
        else:
            await client.is_primary

    async def write(self, call: Callable[[], Any]) -> Any:
        """Makes a call that changes documents; if the task is cancelled meanwhile, lets the call finish first.

        Otherwise the write could be applied after a later one. If no answer comes within a second, for example
        because the server is gone, the cancellation is raised, and later writes of this event loop first wait for the
        answer.
        """
        task = asyncio.ensure_future(_awaited(call()))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # if an earlier cancelled write still has no answer, this one waits no longer than that one
            held_until = min((*tuple(self._unanswered.values()), time.monotonic() + ANSWER_S))
            self._unanswered[task] = held_until
            task.add_done_callback(self._answered)
            while not task.done() and (left_s := held_until - time.monotonic()) > 0:
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({task}, timeout=left_s)
            raise

    async def run(self, call: Callable[[], Any]) -> Any:
        """Makes a call that changes no stored document; a cancellation is raised at once, and no write waits for it."""
        task = asyncio.ensure_future(_awaited(call()))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._answered)
            raise

    async def all_answered(self, within_s: float) -> bool:
        """Waits for the answers to cancelled writes of this event loop; returns whether they have come."""
        loop = asyncio.get_running_loop()
        # iterates over a copy, because other threads, with event loops of their own, change the dictionary
        before = {task for task in tuple(self._unanswered) if task.get_loop() is loop}
        if not before:
            return True
        _answered, late = await asyncio.wait(before, timeout=within_s if within_s < inf else None)
        return not late

    def _answered(self, task: asyncio.Future[Any]) -> None:
        self._unanswered.pop(task, None)
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved, so that asyncio does not warn

    async def read_all(self, call: Callable[[], Any], *, whole: bool = True) -> list[Document]:
        """Returns all documents of a cursor; if not ``whole``, the driver's time limit is for each message."""
        cursor = call()
        if isawaitable(cursor):
            cursor = await cursor
        if not whole and not isinstance(cursor, AgnosticBaseCursor):  # motor's has that limit for each message anyway
            return [document async for document in cursor]
        documents: list[Document] = await cursor.to_list(None)
        return documents

    async def pause(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def start(self, work: Callable[[], Coroutine[Any, Any, list[Document]]]) -> Ahead:
        """Starts work in a task."""
        return asyncio.ensure_future(work())


async def _close_when_the_loop_ends(client: Any) -> AsyncGenerator[None, None]:
    """Closes a client when the event loop closes its generators, as it does at the end of ``asyncio.run``."""
    try:
        yield
    finally:
        _keepers.pop(id(client), None)
        with pymongo.timeout(CLOSING_S):
            await client.close()
        for _turn in range(3):  # transports close one turn of the event loop later
            await asyncio.sleep(0)


def _start_to_close(client: Any) -> None:
    """Starts a task that closes a client; if the event loop ends before, the client's generator closes it."""
    task = asyncio.ensure_future(_close_now(client))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _close_now(client: Any) -> None:
    with pymongo.timeout(CLOSING_S):
        await client.close()
    if found := _keepers.get(id(client)):
        keeper, _loop = found
        await keeper.aclose()


async def _awaited(call: Any) -> Any:
    return await call
