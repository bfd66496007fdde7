"""Runs each ``async def`` test of this folder through PyMongo, stepped, and through motor, awaited."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from dcm_processor_service.backends.mongo.driver import asynchronous, blocking
from dcm_processor_service.ports import Backend, JobKey, StoreLocation, in_thread, inline
from dcm_processor_service.ports.concurrency import run_inline
from tests.mongod import remove_database

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from pymongo.database import Database
    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

    from dcm_processor_service.ports import Mode

COLOURS = ["pymongo", "motor"]


class Recorder(CommandListener):
    """Writes down every command that reaches the server, as ``find sessiondata``."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.commands.append(f"{event.command_name} {event.command[event.command_name]}")

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def take(self) -> list[str]:
        taken, self.commands = self.commands, []
        return taken


class Store:
    """The backend in one mode over a fresh database, and that database as another program sees it."""

    def __init__(self, mode: str, url: str, database: Database[dict[str, Any]]) -> None:
        self.mode = mode
        self.url = url
        self.database = database
        self.recorder = Recorder()
        self.key = JobKey(str(ObjectId()), str(ObjectId()))
        self._stack = ExitStack()
        self.backend = self.another(self.recorder)

    @property
    def owner(self) -> dict[str, ObjectId]:
        return {"session_id": ObjectId(self.key.session_id), "job_id": ObjectId(self.key.job_id)}

    def another(self, *listeners: CommandListener, timeout_s: float = 30.0) -> Backend:
        """A backend with a client of its own."""
        mode: Mode = "async" if self.mode == "motor" else "blocking"
        location = StoreLocation(
            self.url,
            self.database.name,
            timeout_s,
            mode,
            operation_timeout_s=timeout_s,
            transfer_timeout_s=timeout_s,
        )
        opened = (
            asynchronous.open_with_options(location, in_thread, event_listeners=listeners)
            if self.mode == "motor"
            else blocking.open_with_options(location, inline, event_listeners=listeners)
        )
        return self._stack.enter_context(opened)

    def run(self, body: Coroutine[Any, Any, None]) -> None:
        if self.mode == "motor":
            asyncio.run(body)
        else:
            run_inline(body)

    def close(self) -> None:
        self._stack.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    store = pyfuncitem.funcargs["store"]
    assert isinstance(store, Store)
    store.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(scope="session")
def client(mongo_url: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client


@pytest.fixture
def database(client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A fresh database, through PyMongo alone: what the platform's other packages hold."""
    database = client[f"mongo_{uuid.uuid4().hex[:12]}"]
    yield database
    remove_database(database)


@pytest.fixture(params=COLOURS)
def store(request: pytest.FixtureRequest, mongo_url: str, database: Database[dict[str, Any]]) -> Iterator[Store]:
    made = Store(request.param, mongo_url, database)
    yield made
    made.close()
