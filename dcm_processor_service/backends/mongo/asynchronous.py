"""The asynchronous mode: motor.

It is at its end of life. Nothing else imports it, so that PyMongo's own asynchronous client can take its place in this
file alone.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument

from dcm_processor_service.backends.mongo.connection import LazyClient
from dcm_processor_service.backends.mongo.failures import IndexExistsError, translated
from dcm_processor_service.backends.mongo.repositories import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from motor.motor_asyncio import AsyncIOMotorCollection
    from pymongo.results import UpdateResult

    from dcm_processor_service.backends.mongo.connection import Ahead, Sort
    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.ports import Backend, Offload, StoreLocation

__all__ = ["open_async"]


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
def open_with_options(location: StoreLocation, offload: Offload, **options: Any) -> Iterator[Backend]:
    """The same with more options of the client, such as ``event_listeners`` to count commands."""
    client = LazyClient(location, AsyncIOMotorClient, asyncio.get_running_loop, options)
    try:
        yield bundle(lambda name: AsyncCollection(client, name), offload)
    finally:
        client.close()


class AsyncCollection:
    """A collection of motor's."""

    def __init__(self, client: LazyClient, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def _driver(self) -> AsyncIOMotorCollection[Document]:
        collection: AsyncIOMotorCollection[Document] = self._client.collection(self._name)
        return collection

    async def find(
        self, query: Document, *, projection: Any = None, sort: Sort | None = None, limit: int = 0
    ) -> list[Document]:
        """Gives all documents (or ``limit``) that the query finds."""
        with translated():
            return await self._driver.find(query, projection, sort=sort, limit=limit).to_list(None)

    def find_ahead(self, query: Document, *, sort: Sort) -> Ahead:
        """Begins to find, in another task."""
        return asyncio.ensure_future(self.find(query, sort=sort))

    async def aggregate(self, pipeline: Sequence[Document]) -> list[Document]:
        """Gives all that comes out of a pipeline."""
        with translated():
            return await self._driver.aggregate(pipeline).to_list(None)

    async def insert_many(self, documents: Sequence[Document]) -> None:
        """Adds documents."""
        with translated():
            await self._driver.insert_many(documents)

    async def update_one(self, query: Document, change: Document, *, upsert: bool = False) -> UpdateResult:
        """Changes the first document that the query finds, or makes one."""
        with translated():
            return await self._driver.update_one(query, change, upsert=upsert)

    async def find_one_and_update(self, query: Document, change: Document) -> Document:
        """Changes the first document that the query finds, or makes one; gives it as it is then."""
        with translated():
            return await self._driver.find_one_and_update(
                query, change, upsert=True, return_document=ReturnDocument.AFTER
            )

    async def find_one_and_delete(self, query: Document, *, sort: Sort) -> Document | None:
        """Removes the first document; gives its ``_id`` alone, or None when there was none."""
        with translated():
            return await self._driver.find_one_and_delete(query, ["_id"], sort)

    async def delete_many(self, query: Document) -> int:
        """Removes documents; gives their number."""
        with translated():
            return (await self._driver.delete_many(query)).deleted_count

    async def update_many(self, query: Document, change: Document) -> int:
        """Changes every document that the query finds; gives their number."""
        with translated():
            return (await self._driver.update_many(query, change)).matched_count

    async def create_unique_index(self, keys: Sort) -> None:
        """Makes an index unless it is there."""
        with translated():
            await self._driver.create_index(keys, unique=True)

    async def create_index(self, keys: Sort) -> None:
        """Makes an index that is not unique, unless one over these keys is there."""
        with suppress(IndexExistsError), translated():
            await self._driver.create_index(keys)
