"""The servers of this folder: one of each kind for all tests, in order again before each."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service.backends.mongo.driver.blocking import open_with_options
from dcm_processor_service.ports import Backend, JobKey, StoreLocation, inline
from tests.faults.mongo.servers import Mongod, ReplicaSet, running_set, running_standalone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

KEY = JobKey("5e" * 12, "10" * 12)


class Opener:
    """Opens backends over one fresh database."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.database = f"faults_{uuid.uuid4().hex[:12]}"

    def location(self, url: str, **patience: Any) -> StoreLocation:
        return StoreLocation(url, self.database, patience.pop("timeout_s", 20.0), "blocking", **patience)

    def __call__(self, url: str, **patience: Any) -> Backend:
        return self._stack.enter_context(open_with_options(self.location(url, **patience), inline))

    def seen(self, url: str) -> Database[dict[str, Any]]:
        """Returns the database as another program sees it."""
        client = self._stack.enter_context(MongoClient[dict[str, Any]](url))
        return client[self.database]


def impatient_from_now_on(backend: Backend, seconds: float) -> None:
    """Shortens the time limits of a backend that is connected; on a busy machine all before may take longer."""
    files: Any = backend.files
    client = files._files._client  # one for all repositories
    client.patience = client.patience._replace(operation_s=seconds, transfer_s=seconds)


@pytest.fixture
def opener() -> Iterator[Opener]:
    with ExitStack() as stack:
        yield Opener(stack)


@pytest.fixture(scope="session")
def standalone_server() -> Iterator[Mongod]:
    with running_standalone() as server:
        yield server


@pytest.fixture
def standalone(standalone_server: Mongod) -> Iterator[Mongod]:
    yield standalone_server
    if standalone_server.process.poll() is None:
        standalone_server.thaw()
    else:
        standalone_server.start()


@pytest.fixture(scope="session")
def three_members() -> Iterator[ReplicaSet]:
    with running_set() as members:
        yield members


@pytest.fixture
def three(three_members: ReplicaSet) -> Iterator[ReplicaSet]:
    three_members.primary()
    yield three_members
    for member in three_members.members:
        if member.process.poll() is None:
            member.thaw()
        else:
            member.start()
