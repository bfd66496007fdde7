"""Indexes where a role allows them in some collections alone: reads go on without, and our own are still asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo import MongoClient

    from tests.integration.mongo.conftest import Store

UNAUTHORIZED = 13


@pytest.fixture
def refusing(client: MongoClient[dict[str, Any]], store: Store) -> Iterator[Any]:
    """A server that refuses indexes of one collection."""

    def refuse(collection: str) -> None:
        data = {
            "failCommands": ["createIndexes"],
            "errorCode": UNAUTHORIZED,
            "namespace": f"{store.database.name}.{collection}",
        }
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)

    yield refuse
    client.admin.command("configureFailPoint", "failCommand", mode="off")


async def test_a_collection_of_others_may_refuse_its_indexes(store: Store, refusing: Any) -> None:
    refusing("series")
    made = await store.backend.sessions.ensure_indexes()
    assert "series" not in made
    assert {"jobs", "sessiondata", "studies"} <= set(made)


async def test_a_collection_of_our_own_may_not(store: Store, refusing: Any) -> None:
    refusing("sessiondata")
    with pytest.raises(ConfigurationError):
        await store.backend.sessions.ensure_indexes()
