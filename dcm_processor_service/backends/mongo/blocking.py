"""The blocking mode: PyMongo. Awaiting these operations never suspends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from pymongo import MongoClient, ReturnDocument

from dcm_processor_service.backends.mongo.connection import LANES, LazyClient
from dcm_processor_service.backends.mongo.failures import IndexExistsError, translated
from dcm_processor_service.backends.mongo.repositories import bundle

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from concurrent.futures import Future

    from pymongo.collection import Collection as DriverCollection
    from pymongo.results import UpdateResult

    from dcm_processor_service.backends.mongo.connection import Ahead, Sort
    from dcm_processor_service.backends.mongo.documents import Document
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
    """The same with more options of ``MongoClient``, such as ``event_listeners`` to count commands."""
    client = LazyClient(location, MongoClient, lambda: None, options)
    lanes = ThreadPoolExecutor(LANES, thread_name_prefix="mongo-read")  # starts no thread before the first bulk read
    try:
        yield bundle(lambda name: BlockingCollection(client, lanes, name), offload)
    finally:
        lanes.shutdown(cancel_futures=True)
        client.close()


class _ThreadAhead:
    """Documents that a thread is fetching; awaiting waits for the thread and never suspends."""

    def __init__(self, future: Future[list[Document]]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, Any, list[Document]]:
        return self._wait().__await__()

    async def _wait(self) -> list[Document]:
        return self._future.result()

    def cancel(self) -> bool:
        """Says that nobody will wait."""
        return self._future.cancel()


class BlockingCollection:
    """A collection of PyMongo's."""

    def __init__(self, client: LazyClient, lanes: ThreadPoolExecutor, name: str) -> None:
        self._client = client
        self._lanes = lanes
        self._name = name

    @property
    def _driver(self) -> DriverCollection[Document]:
        collection: DriverCollection[Document] = self._client.collection(self._name)
        return collection

    async def find(
        self, query: Document, *, projection: Any = None, sort: Sort | None = None, limit: int = 0
    ) -> list[Document]:
        """Gives all documents (or ``limit``) that the query finds."""
        return self._find(query, projection, sort, limit)

    def _find(self, query: Document, projection: Any, sort: Sort | None, limit: int) -> list[Document]:
        with translated():
            return list(self._driver.find(query, projection, sort=sort, limit=limit))

    def find_ahead(self, query: Document, *, sort: Sort) -> Ahead:
        """Begins to find, in another thread."""
        return _ThreadAhead(self._lanes.submit(self._find, query, None, sort, 0))

    async def aggregate(self, pipeline: Sequence[Document]) -> list[Document]:
        """Gives all that comes out of a pipeline."""
        with translated():
            return list(self._driver.aggregate(pipeline))

    async def insert_many(self, documents: Sequence[Document]) -> None:
        """Adds documents."""
        with translated():
            self._driver.insert_many(documents)

    async def update_one(self, query: Document, change: Document, *, upsert: bool = False) -> UpdateResult:
        """Changes the first document that the query finds, or makes one."""
        with translated():
            return self._driver.update_one(query, change, upsert=upsert)

    async def find_one_and_update(self, query: Document, change: Document) -> Document:
        """Changes the first document that the query finds, or makes one; gives it as it is then."""
        with translated():
            changed = self._driver.find_one_and_update(query, change, upsert=True, return_document=ReturnDocument.AFTER)
            return cast("Document", changed)  # an upsert leaves a document

    async def find_one_and_delete(self, query: Document, *, sort: Sort) -> Document | None:
        """Removes the first document; gives its ``_id`` alone, or None when there was none."""
        with translated():
            return self._driver.find_one_and_delete(query, ["_id"], sort)

    async def delete_many(self, query: Document) -> int:
        """Removes documents; gives their number."""
        with translated():
            return self._driver.delete_many(query).deleted_count

    async def update_many(self, query: Document, change: Document) -> int:
        """Changes every document that the query finds; gives their number."""
        with translated():
            return self._driver.update_many(query, change).matched_count

    async def create_unique_index(self, keys: Sort) -> None:
        """Makes an index unless it is there."""
        with translated():
            self._driver.create_index(keys, unique=True)

    async def create_index(self, keys: Sort) -> None:
        """Makes an index that is not unique, unless one over these keys is there."""
        with suppress(IndexExistsError), translated():
            self._driver.create_index(keys)
