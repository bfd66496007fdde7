"""Runs each ``async def`` test of this folder in every world."""

from __future__ import annotations

import inspect
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.models import Job
from tests.contract.worlds import JOB_ID, SESSION_ID, PlatformSeeder, WorkspaceSeeder, World
from tests.mongod import empty_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

WORLDS = ["memory", "sqlite", "sqlite-threads", "pymongo", "motor"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    world = pyfuncitem.funcargs["world"]
    assert isinstance(world, World)
    world.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    name = request.param
    if name in {"pymongo", "motor"}:
        yield from _mongo(name, request.getfixturevalue("mongo_url"), request.getfixturevalue("database"))
    else:
        yield from _embedded(name, tmp_path)


def _embedded(name: str, folder: Path) -> Iterator[World]:
    (folder / "dicom").mkdir()
    if name == "memory":
        made = World(name, mode="blocking", settings={"db_provider": "memory"})
        backend = MemoryStore().backend()
        made.share(backend)
    else:
        settings = {"db_provider": "sqlite", "db_url": str(folder / "workspace")}
        made = World(name, mode="async" if name == "sqlite-threads" else "blocking", settings=settings)
        blocking = World(name, mode="blocking", settings=settings)
        backend = blocking.container().backend()
    made._seeder = WorkspaceSeeder(backend, folder / "dicom")
    made.seed.job(Job(id=JOB_ID, session_id=SESSION_ID, name="own"))
    yield made
    made.close()
    if name != "memory":
        blocking.close()


def _mongo(name: str, url: str, database: Database[dict[str, Any]]) -> Iterator[World]:
    settings = {"db_provider": "mongodb", "db_url": url, "db_name": database.name}
    mode = "async" if name == "motor" else "blocking"
    made = World(name, mode=mode, settings=settings, seeder=PlatformSeeder(database))
    made.seed.job(Job(id=JOB_ID, session_id=SESSION_ID, name="own"))
    yield made
    made.close()
    empty_database(database)


@pytest.fixture(scope="session")
def database(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """One database, empty before each test: to make its collections and indexes anew takes longer than most tests."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        yield client[f"contract_{uuid.uuid4().hex[:12]}"]
