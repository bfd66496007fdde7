"""One collection of the platform's database: the few operations that repositories use, written once for every driver.

Each operation is one command. A command that fails for a temporary reason (an election, a lost connection) is repeated
until the operation's time limit. A write is repeated only if it was certainly not applied, or if applying it twice has
the same effect.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import pymongo
from bson.errors import BSONError
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError
from pymongo.write_concern import WriteConcern

from dcm_processor_service.backends.mongo.documents import LENIENT_CODEC
from dcm_processor_service.backends.mongo.driver.failures import (
    IndexExistsError,
    are_all_duplicates,
    from_driver,
    is_temporary,
    may_be_applied,
    translated,
)
from dcm_processor_service.errors import StoredValueError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from bson import CodecOptions
    from pymongo import IndexModel
    from pymongo.results import UpdateResult

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.connection import Handle, LazyClient
    from dcm_processor_service.backends.mongo.driver.modes import Ahead, DriverMode

__all__ = ["Collection", "Removed", "Sort", "find_in_lanes"]

Sort = list[tuple[str, int]]

LANES = 3
"""How many bulk reads are under way at once: one is decoded, one on the wire, one in the server."""

PAUSE_S = 0.2
"""The pause between two attempts; an election takes seconds."""

LEAST_S = 0.001

_ALL_AT_ONCE = 100_000
"""A batch size that is larger than any result, so that only the 16 MB of a message limit the batch."""

_AT_ONCE = WriteConcern(w=1)
"""The write concern with which the primary alone acknowledges a write."""


class Removed(NamedTuple):
    """The number of documents that were removed, and whether an answer was lost, so that there may be more."""

    documents: int
    uncertain: bool


class Collection:
    """One collection; raises this package's errors. Several threads and tasks may use it."""

    def __init__(self, client: LazyClient, mode: DriverMode, name: str) -> None:
        self._client = client
        self._mode = mode
        self._name = name

    async def find(
        self,
        query: Document,
        *,
        projection: Any = None,
        sort: Sort | None = None,
        limit: int = 0,
        codec: CodecOptions[Document] | None = None,
    ) -> list[Document]:
        """Returns the documents that the query finds, at most ``limit`` if it is set; decodes them with ``codec``."""

        def found(driver: Any) -> Any:
            own = codec is None or driver.codec_options == LENIENT_CODEC
            decoding = driver if own else driver.with_options(codec_options=codec)
            # by default, the server's first message has 101 documents, so that the rest would need a second one
            return decoding.find(query, projection, sort=sort, limit=limit, batch_size=0 if limit else _ALL_AT_ONCE)

        return await self._read(lambda driver: self._mode.read_all(lambda: found(driver)))

    async def find_bulk(self, query: Document, *, sort: Sort, batch_size: int = 0) -> list[Document]:
        """Returns large documents; the time limit of a transfer applies to each message, not to all together."""
        return await self._read(
            lambda driver: self._mode.read_all(
                lambda: driver.find(query, sort=sort, batch_size=batch_size), whole=False
            ),
            patience_s=self._client.patience.transfer_s,
            whole=False,
        )

    def find_ahead(self, query: Document, *, sort: Sort) -> Ahead:
        """Starts a bulk read in another thread or task."""
        return self._mode.start(lambda: self.find_bulk(query, sort=sort))

    async def aggregate(self, pipeline: Sequence[Document]) -> list[Document]:
        """Returns the results of a pipeline."""
        return await self._read(lambda driver: self._mode.read_all(lambda: driver.aggregate(pipeline)))

    async def insert_chunks(self, documents: Sequence[Document]) -> None:
        """Adds large documents; leaves those that an earlier attempt has stored as they are.

        If the network is too slow for all of them, sends one document at a time, each with the time limit of a
        transfer.
        """
        try:
            await self._insert(documents)
        except StoreUnavailableError:
            if len(documents) == 1:
                raise
            for document in documents:
                await self._insert([document])

    async def _insert(self, documents: Sequence[Document]) -> None:
        def insert(driver: Any) -> Any:
            return self._mode.write(lambda: driver.insert_many(documents, ordered=False))

        # a duplicate was stored by an earlier attempt
        await self._write(insert, patience_s=self._client.patience.transfer_s, accepts=are_all_duplicates)

    async def update_one(
        self,
        query: Document,
        change: Document | Sequence[Document],
        *,
        upsert: bool = False,
        unless: Document | None = None,
        lost: list[bool] | None = None,
    ) -> UpdateResult:
        """Changes the first document that the query finds, or makes one; the change must be safe to repeat.

        Args:
            query: What to find.
            change: The update.
            upsert: Whether to make a document if none is found.
            unless: A condition that holds for a document which this update has changed. After a lost answer, such a
                document is left as it is, and no other one is made.
            lost: A list that gets an entry when an answer was lost, so that the result is that of a repeated command.
                An entry at the start means that an answer was lost before.
        """
        lost = [] if lost is None else lost

        async def update(driver: Any) -> UpdateResult:
            found = query if unless is None or not lost else {**query, "$nor": [unless]}
            if found is not query and upsert:
                repeated: UpdateResult = await self._mode.write(lambda: driver.update_one(found, change))
                if repeated.matched_count or await self._mode.read_all(
                    lambda: driver.find({**query, **(unless or {})}, ["_id"], limit=1)
                ):
                    return repeated
            made: UpdateResult = await self._mode.write(lambda: driver.update_one(found, change, upsert=upsert))
            return made

        result: UpdateResult = await self._write(update, on_lost=lambda: lost.append(True))
        return result

    async def find_one_and_update(
        self, query: Document, change: Document | Sequence[Document], *, repeatable: bool = True
    ) -> Document:
        """Changes the first document that the query finds, or makes one; returns the changed document."""

        def update(driver: Any) -> Any:
            return self._mode.write(
                lambda: driver.find_one_and_update(query, change, upsert=True, return_document=ReturnDocument.AFTER)
            )

        changed: Document = await self._write(update, repeatable=repeatable)
        return changed

    async def find_one_and_delete(
        self, query: Document, *, sort: Sort, lasting: bool = True, lost: list[bool] | None = None
    ) -> Document | None:
        """Removes the first document; returns only its ``_id``, or None if there was none.

        Args:
            query: What to find.
            sort: The order that decides which is first.
            lasting: Whether to wait until no crash can bring the document back; give False if that would do no harm.
            lost: A list that gets an entry when an answer was lost: then another document may be removed, too.
        """
        lost = [] if lost is None else lost

        def remove(driver: Any) -> Any:
            driver = driver if lasting else driver.with_options(write_concern=_AT_ONCE)
            return self._mode.write(lambda: driver.find_one_and_delete(query, ["_id"], sort))

        removed: Document | None = await self._write(remove, on_lost=lambda: lost.append(True))
        return removed

    async def delete_many(self, query: Document, *, lasting: bool = True) -> Removed:
        """Removes documents; ``lasting`` as in :meth:`find_one_and_delete`."""
        lost: list[bool] = []

        def remove(driver: Any) -> Any:
            driver = driver if lasting else driver.with_options(write_concern=_AT_ONCE)
            return self._mode.write(lambda: driver.delete_many(query))

        result = await self._write(remove, on_lost=lambda: lost.append(True))
        return Removed(result.deleted_count, bool(lost))

    async def update_many(self, query: Document, change: Document | Sequence[Document]) -> int:
        """Changes all documents that the query finds, and returns their number; the change must be safe to repeat."""
        result = await self._write(lambda driver: self._mode.write(lambda: driver.update_many(query, change)))
        matched: int = result.matched_count
        return matched

    async def create_indexes(self, indexes: Sequence[IndexModel], *, unlimited: bool = False) -> None:
        """Makes indexes, unless one over the same keys exists.

        Args:
            indexes: The indexes to make.
            unlimited: Whether to wait without limit, because the server aborts a build that its client gives up.
        """
        try:
            await self._attempts(
                lambda driver: self._mode.run(lambda: driver.create_indexes(list(indexes))),
                patience_s=inf if unlimited else 0.0,
            )
        except IndexExistsError:
            if len(indexes) > 1:
                for index in indexes:
                    await self.create_indexes([index], unlimited=unlimited)

    async def command(self, name: str) -> Document:
        """Runs a command of the server without arguments, such as ``hello``."""
        answer: Document = await self._attempts(lambda driver: self._mode.run(lambda: driver.database.command(name)))
        return answer

    async def all_answered(self) -> bool:
        """Returns whether every cancelled write has its answer; if not, the next write would wait for it."""
        return await self._mode.all_answered(0.0)

    async def names_of_all(self) -> list[str]:
        """Lists the names of all collections of the database, without those of the server itself."""
        names: list[str] = await self._attempts(lambda driver: self._mode.run(driver.database.list_collection_names))
        return sorted(name for name in names if not name.startswith("system."))

    async def pause(self, seconds: float) -> None:
        """Waits."""
        await self._mode.pause(seconds)

    async def _read(self, attempt: Callable[[Any], Any], **how: Any) -> list[Document]:
        """Reads documents; if one holds what Python cannot represent, that part alone stays undecoded."""
        try:
            documents: list[Document] = await self._attempts(attempt, **how)
        except StoredValueError as error:
            if not isinstance(error.__cause__, BSONError):
                raise

            def leniently(driver: Any) -> Any:
                return attempt(driver.with_options(codec_options=LENIENT_CODEC))

            documents = await self._attempts(leniently, **how)
        return documents

    async def _write(self, attempt: Callable[[Any], Any], **how: Any) -> Any:
        return await self._attempts(attempt, writes=True, **how)

    async def _attempts(
        self,
        attempt: Callable[[Any], Any],
        *,
        patience_s: float = 0.0,
        whole: bool = True,
        writes: bool = False,
        repeatable: bool = True,
        on_lost: Callable[[], object] = lambda: None,
        accepts: Callable[[PyMongoError], bool] = lambda _error: False,
    ) -> Any:
        """Makes attempts until one succeeds or fails permanently, or the time limit ends.

        Args:
            attempt: A function that takes the driver's collection and returns an awaitable.
            patience_s: The time limit of all attempts, in place of the limit of an operation; infinity for no limit.
            whole: Whether the limit is for an attempt as a whole, not for each of its messages.
            writes: Whether the attempt changes stored documents.
            repeatable: Whether the attempt may be repeated if it is not known whether it was applied.
            on_lost: Called when an answer was lost and the attempt is repeated.
            accepts: Returns whether an error of the driver counts as success, with None as the result.
        """
        patience_s = patience_s or self._client.patience.operation_s
        deadline = time.monotonic() + patience_s
        unsure = False
        while True:
            with translated():
                try:
                    handle = self._client.handle()
                    await self._reach(handle, deadline)
                    left_s = max(LEAST_S, deadline - time.monotonic())
                    if writes and not await self._mode.all_answered(left_s):
                        raise ServerSelectionTimeoutError("a write before this one has no answer yet")
                    left_s = max(LEAST_S, deadline - time.monotonic())
                    with pymongo.timeout(left_s if left_s < inf else None) if whole else nullcontext():
                        return await attempt(self._client.collection(handle, self._name))
                except PyMongoError as error:
                    if accepts(error):
                        return None
                    unsure = unsure or (writes and may_be_applied(error))
                    left_s = deadline - time.monotonic()
                    if not is_temporary(error) or left_s <= 0 or (unsure and not repeatable):
                        raise from_driver(error, maybe_applied=unsure) from error
            if unsure:
                on_lost()
            await self._mode.pause(min(PAUSE_S, left_s))

    async def _reach(self, handle: Handle, deadline: float) -> None:
        """Waits for a server that accepts writes: briefly if none answers at all, longer during an election."""
        if handle.reached.is_set() and not self._client.selection_is_the_urls:
            return
        connect_s = self._client.patience.connect_s
        try:
            with pymongo.timeout(max(LEAST_S, min(connect_s, deadline - time.monotonic()))):
                await self._mode.reach(handle.client)
        except ServerSelectionTimeoutError:
            # members answer, and none is the primary: they hold an election
            if self._client.selection_is_the_urls or not handle.client.topology_description.known_servers:
                raise
            with pymongo.timeout(max(LEAST_S, deadline - time.monotonic())):
                await self._mode.reach(handle.client)
        handle.reached.set()


async def find_in_lanes(
    collection: Collection, queries: Sequence[Document], sort: Sort
) -> AsyncGenerator[list[Document], None]:
    """Yields the result of each query in order, while later queries are already under way.

    If the network is too slow for a query's large messages, repeats the query with small ones.
    """
    if len(queries) == 1:
        yield await _found_or_in_small_messages(
            collection, queries[0], sort, collection.find_bulk(queries[0], sort=sort)
        )
        return
    under_way: deque[Ahead] = deque()
    begun = 0
    try:
        for position, query in enumerate(queries):
            while begun < min(position + LANES, len(queries)):
                under_way.append(collection.find_ahead(queries[begun], sort=sort))
                begun += 1
            yield await _found_or_in_small_messages(collection, query, sort, under_way.popleft())
    finally:
        for ahead in under_way:
            ahead.cancel()


async def _found_or_in_small_messages(
    collection: Collection, query: Document, sort: Sort, finding: Awaitable[list[Document]]
) -> list[Document]:
    try:
        return await finding
    except StoreUnavailableError:
        return await collection.find_bulk(query, sort=sort, batch_size=1)
