"""The repositories over the platform's collections, written once for both modes of the driver."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from dcm_processor_service.backends.mongo import job_documents
from dcm_processor_service.backends.mongo.dicom import MongoDicomRepository
from dcm_processor_service.backends.mongo.documents import (
    NAIVE_CODEC,
    data_query,
    either,
    equals_literal,
    new_data,
    peer,
    plain,
    same_document,
)
from dcm_processor_service.backends.mongo.driver.collection import Collection
from dcm_processor_service.backends.mongo.driver.deployment import deployment_warnings
from dcm_processor_service.backends.mongo.driver.failures import DuplicateIdError, NoNumberError
from dcm_processor_service.backends.mongo.files import MongoFileRepository
from dcm_processor_service.backends.mongo.operations import Operations, increment_change, set_change
from dcm_processor_service.backends.mongo.platform_documents import MongoPlatformDocuments
from dcm_processor_service.backends.mongo.sessions import MongoSessionRepository
from dcm_processor_service.backends.mongo.workspace import MongoWorkspaceRepository
from dcm_processor_service.codec import check_text
from dcm_processor_service.errors import StoreError, StoreUnavailableError
from dcm_processor_service.ports import ABSENT, ANY, Backend, Found, Sentinel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.connection import LazyClient
    from dcm_processor_service.backends.mongo.driver.modes import DriverMode
    from dcm_processor_service.backends.mongo.operations import Operation
    from dcm_processor_service.models import Job, JobOutput, Patient, Peer, SeriesRecord, Study
    from dcm_processor_service.ports import JobKey, NormalValue, Offload

__all__ = ["MongoDataRepository", "MongoJobRepository", "MongoPeerRepository", "bundle"]

T = TypeVar("T")

UPSERT_ATTEMPTS = 5

JOBS_AT_ONCE = 1000
"""The number of jobs whose values one command reads, so that it ends within the time limit of an operation."""


def bundle(client: LazyClient, mode: DriverMode, offload: Offload) -> Backend:
    """Returns the repositories of one database."""

    def collection(name: str) -> Collection:
        return Collection(client, mode, name)

    values, sessions = MongoDataRepository(collection("sessiondata")), MongoSessionRepository(collection)
    return Backend(
        data=values,
        files=MongoFileRepository(collection("sessionfiles.files"), collection("sessionfiles.chunks"), offload),
        jobs=MongoJobRepository(collection("jobs"), collection("sessiondata")),
        peers=MongoPeerRepository(collection("peers"), collection("dicomnodes")),
        dicom=MongoDicomRepository(collection),
        sessions=sessions,
        workspace=MongoWorkspaceRepository(collection, sessions.ensure_indexes),
        documents=MongoPlatformDocuments(values.set_value, collection),
        warnings=lambda: deployment_warnings(collection("sessions")),
    )


class MongoDataRepository:
    """Named values: one document each, read in one command.

    The published package 0.0.1 first looks for a document and then inserts one under a random id. If it writes a name
    at the same time as this class, the name may have two documents. Only a unique index could prevent that, and the
    collection is the platform's. Every operation of both packages uses the older document, as if the value in the other
    document had been overwritten at once; delete removes both.
    """

    def __init__(self, values: Collection) -> None:
        self._values = values
        self._operations = Operations()

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns the value."""
        rows = await self._values.find(data_query(key, name), projection={"_id": 0, "value": 1}, limit=1)
        return Found(plain(rows[0].get("value"), f"the data {name!r}")) if rows else None

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores the value, if the stored value equals ``expected``."""
        query, new = data_query(key, name), new_data(key, name)
        with self._operations.new() as operation:
            stamped = {"value": value, operation.field: {"id": operation.id}}
            if expected is ANY:
                await self._put_unconditionally(query, {"$set": stamped, "$setOnInsert": new}, operation)
                return True
            if expected is ABSENT:
                return await self._put_if(query, {"$setOnInsert": {**new, **stamped}}, operation, upsert=True)
            query |= equals_literal("value", expected)
            return await self._put_if(query, {"$set": stamped}, operation, upsert=False)

    async def _put_unconditionally(self, query: Document, change: Document, operation: Operation) -> None:
        """Stores a value; after a lost answer, only if no document records this operation yet.

        Otherwise the change could be applied twice. The second time, it could undo what another writer did meanwhile,
        such as an acknowledged increment, or make a second document beside one of the 0.0.1 API with another id.
        """
        lost: list[bool] = []
        applied = operation.was_applied()
        await _settled(lambda: self._values.update_one(query, change, upsert=True, unless=applied, lost=lost))

    async def _put_if(self, query: Document, change: Document, operation: Operation, *, upsert: bool) -> bool:
        """Stores a value on a condition; after a lost answer, checks whether the document records this operation."""
        lost: list[bool] = []
        unless = None if upsert else operation.was_applied()  # else a repetition could overwrite later changes
        try:
            done = await self._values.update_one(query, change, upsert=upsert, unless=unless, lost=lost)
            applied = done.upserted_id is not None if upsert else done.matched_count > 0
        except DuplicateIdError:
            applied = False
        if applied or not lost:
            return applied
        unconditional = {field: condition for field, condition in query.items() if field != "$expr"}
        return bool(await self._values.find({**unconditional, **operation.was_applied()}, projection=["_id"], limit=1))

    async def set_value(self, key: JobKey, name: str, value: NormalValue) -> str | int:
        """Stores the value in any case; returns the id of a new document, else 1 if it changed and 0 if not.

        Part of the 0.0.1 API. After a lost answer the result is that of the attempt which was applied.
        """
        query, new = data_query(key, name), new_data(key, name)
        with self._operations.new() as operation:
            change, applied, lost = set_change(new, value, operation), operation.was_applied(), list[bool]()
            done = await _settled(
                lambda: self._values.update_one(query, change, upsert=True, unless=applied, lost=lost)
            )
            if done.upserted_id is not None:
                return str(done.upserted_id)
            if done.modified_count or not lost:
                return done.modified_count
            rows = await self._values.find({**query, **applied}, projection=["operations.made"], limit=1)
        if not rows:
            return 0
        return str(rows[0]["_id"]) if same_document(rows[0]).items() <= new.items() else 1

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a number once, even if the command is repeated."""
        query = data_query(key, name)
        with self._operations.new() as operation:
            change = increment_change(new_data(key, name), by, operation)
            try:
                changed = await _settled(lambda: self._values.find_one_and_update(query, change))
            except NoNumberError:
                return None
            except StoreUnavailableError as error:
                if not error.maybe_applied:
                    raise
                raise StoreError(
                    f"nobody knows whether {by} was added to the data {name!r}: MongoDB's answer was lost; read the "
                    "value before you add again",
                    maybe_applied=True,
                ) from error
        return plain(changed["operations"][operation.lane]["sum"], f"the data {name!r}")

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value's documents that exist at the start, so that a repetition removes no later document."""
        there = await self._values.find(data_query(key, name), projection=["operations.made"])
        if not there:
            return False
        removed = await self._values.delete_many({"$or": [same_document(row) for row in there]})
        return removed.documents > 0 or removed.uncertain

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists names in order."""
        projection = {"_id": 0, "name": 1, **({"value": 1} if values else {})}
        found: dict[str, NormalValue] = {}
        for row in await self._values.find(data_query(key), projection=projection):
            if type(name := row.get("name")) is str:  # other programs may store another type, or a subclass of str
                found.setdefault(name, plain(row.get("value"), f"the data {name!r}"))
        return sorted(found.items())


async def _settled(upsert: Callable[[], Awaitable[T]]) -> T:
    """Repeats an upsert if another writer made the document meanwhile: the repetition finds and updates it."""
    for _attempt in range(UPSERT_ATTEMPTS - 1):
        with suppress(DuplicateIdError):
            return await upsert()
    return await upsert()


class MongoJobRepository:
    """Jobs of the platform's queue."""

    def __init__(self, jobs: Collection, values: Collection) -> None:
        self._jobs = jobs
        self._values = values

    async def find(self, job_id: str) -> Job | None:
        """Returns one job."""
        rows = await self._jobs.find(job_documents.job_query(job_id), projection=job_documents.PROJECTION, limit=1)
        return job_documents.job(rows[0]) if rows else None

    async def _found(self, query: Document, *, limit: int = 0) -> list[Document]:
        return await self._jobs.find(
            query,
            projection=job_documents.PROJECTION,
            sort=job_documents.OLDEST_FIRST,
            limit=limit,
            codec=NAIVE_CODEC,
        )

    async def collect(self, session_id: str, job_name: str, data_name: str) -> list[JobOutput]:
        """Returns every job of the name with its value: one read of jobs, one of values for each thousand jobs."""
        jobs = await self._found(job_documents.jobs_query(session_id, job_name))
        values: list[Document] = []
        for start in range(0, len(jobs), JOBS_AT_ONCE):
            query = job_documents.values_query(session_id, jobs[start : start + JOBS_AT_ONCE], data_name)
            values += await self._values.find(query, projection={"_id": 0, "job_id": 1, "value": 1})
        return job_documents.outputs(jobs, values, data_name)

    async def list(
        self,
        session_id: str,
        name: str | None = None,
        ids: Sequence[str] | None = None,
        *,
        near: Patient | Study | SeriesRecord | None = None,
        most: int | None = None,
    ) -> list[Job]:
        """Lists jobs of a session, oldest first."""
        return job_documents.readable_jobs(
            await self._found(job_documents.jobs_query(session_id, name, ids, near), limit=most or 0)
        )

    async def set_progress(self, job_id: str, percent: int, message: str) -> None:
        """Writes a job's progress into the fields that the queue itself uses."""
        await self._jobs.update_one(job_documents.job_query(job_id), job_documents.progress_change(percent, message))


class MongoPeerRepository:
    """DICOM peers: the platform's peers (``peers``), and its own listeners (``dicomnodes``).

    A peer is preferred to a listener of the same name: a result sent to the platform itself would not reach its
    receiver.
    """

    def __init__(self, peers: Collection, listeners: Collection) -> None:
        self._peers = peers
        self._listeners = listeners

    async def get(self, peer_id: str) -> Peer | None:
        """Returns a peer by id."""
        rows = await self._peers.find({"_id": either(peer_id)}, limit=1)
        return peer(rows[0]) if rows else None

    async def find(self, name: str) -> Peer | None:
        """Returns a peer by name: first of the peers, then of the listeners."""
        for nodes in (self._peers, self._listeners):
            if rows := await nodes.find({"name": check_text(name, "name of a peer")}, limit=1):
                return peer(rows[0])
        return None

    async def list(self) -> list[Peer]:
        """Lists all peers by name; if both collections have a name, lists the peer that :meth:`find` returns."""
        found: dict[str, Peer] = {}
        for nodes in (self._peers, self._listeners):
            for row in await nodes.find({}):
                node = peer(row)
                found.setdefault(node.name, node)
        return [node for _name, node in sorted(found.items())]
