"""What both modes of driver share: the few operations that repositories use, and a client made when needed."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import ReadPreference

from dcm_processor_service.backends.mongo.documents import CODEC
from dcm_processor_service.backends.mongo.failures import translated_url
from dcm_processor_service.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from pymongo.results import UpdateResult

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.ports import StoreLocation

__all__ = ["Ahead", "Collection", "LazyClient", "Sort", "find_in_lanes"]

Sort = list[tuple[str, int]]


LANES = 3
"""How many bulk reads are under way at once: one is decoded, one on the wire, one in the server."""


class Ahead(Protocol):
    """Documents that are on their way; awaiting gives them."""

    def __await__(self) -> Generator[Any, Any, list[Document]]:
        """Waits for the documents."""

    def cancel(self) -> bool:
        """Says that nobody will wait."""


class Collection(Protocol):
    """One collection; each operation is one command, its errors are ours."""

    async def find(
        self, query: Document, *, projection: Any = None, sort: Sort | None = None, limit: int = 0
    ) -> list[Document]:
        """Gives all documents (or ``limit``) that the query finds."""

    def find_ahead(self, query: Document, *, sort: Sort) -> Ahead:
        """Begins to find, in another thread or task."""

    async def aggregate(self, pipeline: Sequence[Document]) -> list[Document]:
        """Gives all that comes out of a pipeline."""

    async def insert_many(self, documents: Sequence[Document]) -> None:
        """Adds documents."""

    async def update_one(self, query: Document, change: Document, *, upsert: bool = False) -> UpdateResult:
        """Changes the first document that the query finds, or makes one."""

    async def find_one_and_update(self, query: Document, change: Document) -> Document:
        """Changes the first document that the query finds, or makes one; gives it as it is then."""

    async def find_one_and_delete(self, query: Document, *, sort: Sort) -> Document | None:
        """Removes the first document; gives its ``_id`` alone, or None when there was none."""

    async def delete_many(self, query: Document) -> int:
        """Removes documents; gives their number."""

    async def update_many(self, query: Document, change: Document) -> int:
        """Changes every document that the query finds; gives their number."""

    async def create_unique_index(self, keys: Sort) -> None:
        """Makes an index unless it is there."""

    async def create_index(self, keys: Sort) -> None:
        """Makes an index that is not unique, unless one over these keys is there."""


async def find_in_lanes(
    collection: Collection, queries: Sequence[Document], sort: Sort
) -> AsyncGenerator[list[Document], None]:
    """Gives what each query finds, in the order of the queries, while later ones are under way."""
    if len(queries) == 1:
        yield await collection.find(queries[0], sort=sort)
        return
    waiting = iter(queries)
    under_way: deque[Ahead] = deque()
    try:
        while True:
            for query in waiting:
                under_way.append(collection.find_ahead(query, sort=sort))
                if len(under_way) == LANES:
                    break
            if not under_way:
                return
            yield await under_way.popleft()
    finally:
        for ahead in under_way:
            ahead.cancel()


class LazyClient:
    """A driver's clients, made at the first use: opening a backend neither connects nor resolves names.

    A client of motor's belongs to one event loop, so each ``scope`` (such as a loop) has its own.
    """

    def __init__(
        self, location: StoreLocation, make: Callable[..., Any], scope: Callable[[], object], options: dict[str, Any]
    ) -> None:
        self._location = location
        self._make = make
        self._scope = scope
        self._options = options
        self._clients: dict[object, Any] = {}
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"LazyClient({self._location!r})"

    def collection(self, name: str) -> Any:
        """Gives the driver's collection."""
        scope = self._scope()
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed; use it inside the container or context manager that opened it")
            if scope not in self._clients:
                with translated_url():
                    self._clients[scope] = self._make(self._location.url, **self._timeouts(), **self._options)
            client = self._clients[scope]
        # a job reads what the job before it has just written: never from a secondary that lags behind
        database = client.get_database(
            self._location.database, codec_options=CODEC, read_preference=ReadPreference.PRIMARY
        )
        return database[name]

    def _timeouts(self) -> dict[str, int | bool]:
        """``timeoutMS`` bounds an operation as a whole, with its retries; the others bound the steps before it."""
        milliseconds = max(1, int(self._location.timeout_s * 1000))
        waits = ("timeoutMS", "serverSelectionTimeoutMS", "connectTimeoutMS", "waitQueueTimeoutMS")
        return {"connect": False, **dict.fromkeys(waits, milliseconds)}

    def close(self) -> None:
        """Closes what was made."""
        with self._lock:
            self._closed = True
            for client in self._clients.values():
                client.close()
            self._clients.clear()
