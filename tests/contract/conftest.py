"""Runs the contracts, and each ``async def`` test of this folder, in every store and mode."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

from dcm_processor_service.backends.mongo.driver import asynchronous, blocking
from dcm_processor_service.ports import StoreLocation, inline
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing import MemoryStore
from dcm_processor_service.testing.contracts import StoreUnderTest, store_under_test
from tests.contract.worlds import PlatformSeeder
from tests.mongo_plans import TESTS, profile, whole_collections_read
from tests.mongod import empty_database

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from pymongo.database import Database

STORES = [
    *("memory", "sqlite", "pymongo", "motor"),
    pytest.param("sqlite-threads", marks=pytest.mark.slow),  # the others in another way
    pytest.param("pymongo-async", marks=pytest.mark.slow),
    pytest.param("pymongo-workspace", marks=pytest.mark.slow),  # filled by this package, not as the platform does
]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    store = pyfuncitem.funcargs["store"]
    assert isinstance(store, StoreUnderTest)
    store.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreUnderTest]:
    name = request.param
    if name == "pymongo-async":
        clients: list[Any] = []

        def make(url: str, **options: Any) -> Any:
            clients.append(AsyncMongoClient(url, **options))
            return clients[-1]

        monkeypatch.setattr(asynchronous, "CLIENT", make)
        for found in _mongo(name, request.getfixturevalue("mongo_url"), request.getfixturevalue("database")):
            _close_in_its_loop(found, clients)
            yield found
        return
    if name in {"pymongo", "motor", "pymongo-workspace"}:
        yield from _mongo(name, request.getfixturevalue("mongo_url"), request.getfixturevalue("database"))
        return
    (tmp_path / "dicom").mkdir()
    if name == "memory":
        opened = store_under_test({"db_provider": "memory"}, shared=MemoryStore().backend(), folder=tmp_path / "dicom")
    else:
        opened = store_under_test(
            {"db_provider": "sqlite", "db_url": str(tmp_path / "workspace")},
            mode="async" if name == "sqlite-threads" else "blocking",
            folder=tmp_path / "dicom",
        )
    with opened as found:
        yield found


@pytest.fixture
def world(store: StoreUnderTest) -> StoreUnderTest:
    return store


def _close_in_its_loop(store: StoreUnderTest, clients: list[Any]) -> None:
    """Closes the clients of a driver that only their own event loop can close, at the end of each test."""

    async def run(test: Coroutine[Any, Any, None]) -> None:
        try:
            await test
        finally:
            for client in clients:
                await client.close()

    def run_and_close(test: Coroutine[Any, Any, None]) -> None:
        asyncio.run(run(test))

    store.run = run_and_close  # type: ignore[method-assign]


def _mongo(name: str, url: str, database: Database[dict[str, Any]]) -> Iterator[StoreUnderTest]:
    with store_under_test(
        {"db_provider": "mongodb", "db_url": url, "db_name": database.name},
        mode="blocking" if name in {"pymongo", "pymongo-workspace"} else "async",
        seeder=None if name == "pymongo-workspace" else PlatformSeeder(database),
    ) as found:
        yield found
    scans = whole_collections_read(database)
    empty_database(database)
    # whether a database is empty is asked of whole collections, once
    assert not scans or name == "pymongo-workspace", "every query uses an index; these read whole collections"


@pytest.fixture(scope="session")
def database(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """One database, empty before each test: to make its collections and indexes anew takes longer than most tests.

    It has the indexes that a session's first job makes, and its server writes down how it answers each command.
    """
    with MongoClient[dict[str, Any]](mongo_url, appname=TESTS) as client:
        database = client[f"contract_{uuid.uuid4().hex[:12]}"]
        location = StoreLocation(mongo_url, database.name, 30.0, "blocking")
        with blocking.open_blocking(location, inline) as backend:
            run_inline(backend.sessions.ensure_indexes())
        profile(database)
        yield database
