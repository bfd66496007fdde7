"""The real MongoDB of the tests, and how its databases are emptied."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.testing import mongo_server
from dcm_processor_service.testing.mongo_server import find_mongod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

__all__ = ["empty_database", "find_mongod", "remove_database", "running_mongod"]


def empty_database(database: Database[dict[str, Any]]) -> None:
    """Removes every document; collections and their indexes stay."""
    for name in database.list_collection_names():
        if not name.startswith("system."):
            database[name].delete_many({})


def remove_database(database: Database[dict[str, Any]]) -> None:
    """Drops a database collection by collection: 1 ms each, where dropDatabase waits 100 ms for a flush."""
    for name in database.list_collection_names():
        database.drop_collection(name)


@contextmanager
def running_mongod() -> Iterator[str]:
    """Starts a server and returns its URL. Without the program a test is skipped; under CI it fails."""
    if find_mongod() is None:
        if os.environ.get("CI"):
            pytest.fail(mongo_server.NO_MONGOD)
        pytest.skip(mongo_server.NO_MONGOD)
    with mongo_server.running_mongod() as url:
        yield url
