"""Opens the operator's view of one database of the platform."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.backends.mongo.driver.blocking import Blocking
from dcm_processor_service.backends.mongo.driver.collection import Collection
from dcm_processor_service.backends.mongo.driver.connection import LazyClient
from dcm_processor_service.backends.mongo.operator.changes import Changes
from dcm_processor_service.backends.mongo.operator.overview import Overview
from dcm_processor_service.backends.mongo.sessions import MongoSessionRepository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.ports import StoreLocation

__all__ = ["PlatformDatabase", "open_platform_database"]


@dataclass(frozen=True)
class PlatformDatabase:
    """The operator's reads and changes, and the sessions as the post-service sees them."""

    overview: Overview
    changes: Changes
    sessions: MongoSessionRepository


@contextmanager
def open_platform_database(location: StoreLocation) -> Iterator[PlatformDatabase]:
    """Opens the platform's database through PyMongo; connects at the first use."""
    mode = Blocking()
    client = LazyClient(location, mode, {})

    def collection(name: str) -> Collection:
        return Collection(client, mode, name)

    sessions = MongoSessionRepository(collection)
    try:
        yield PlatformDatabase(Overview(collection, sessions), Changes(collection), sessions)
    finally:
        client.close()
