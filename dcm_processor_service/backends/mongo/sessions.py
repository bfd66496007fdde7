"""Sessions as a whole: makes their indexes, and removes their data, files and images.

Files are removed before the documents that list them, so that a killed clean-up finds the rest when it runs again.
Documents of patients, studies and series are removed only if they are empty at that time, in case images arrive
meanwhile.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo import IndexModel

from dcm_processor_service.backends.mongo.documents import (
    CHUNK_INDEXES,
    by_id,
    either,
    id_text,
    uploads_pipeline,
)
from dcm_processor_service.backends.mongo.files import QUICK_S
from dcm_processor_service.errors import ConfigurationError, StoredValueError, StoreUnavailableError
from dcm_processor_service.models import RemovedImages, SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.models import SessionPart

__all__ = ["MongoSessionRepository"]

BATCH_FILES = 1000
BATCH_BYTES = 64 * 1024 * 1024
"""The bytes of files that one command removes, so that it ends within the store's time-out."""

BATCH_MEMBERS = 20_000
"""The number of members that one command removes from their parents: some megabytes of ids."""

_INDEXES: dict[str, Sequence[IndexModel]] = {
    "sessiondata": [IndexModel([("session_id", 1), ("job_id", 1), ("name", 1)])],
    "sessionfiles.files": [IndexModel([("metadata.session_id", 1), ("metadata.job_id", 1), ("metadata.name", 1)])],
    # two, because documents spell a job's session in two ways, and a query for both needs an index for each
    "jobs": [
        IndexModel([(session, 1), ("job_name", 1), ("job_event", 1), ("data.kwargs.headers._id", 1)])
        for session in ("sessionId", "session_id")
    ],
    "sessions": [IndexModel([("patient_id", 1)])],
    "patients": [IndexModel([("PatientUID", 1)]), IndexModel([("Studies", 1)])],
    "studies": [IndexModel([("StudyInstanceUID", 1)]), IndexModel([("Series", 1)])],
    "series": [IndexModel([("SeriesInstanceUID", 1)])],
    "peers": [IndexModel([("name", 1)])],
    "dicomnodes": [IndexModel([("name", 1)])],
    "sessionfiles.chunks": CHUNK_INDEXES,
}
_OF_OTHERS = frozenset({"sessions", "patients", "studies", "series", "peers", "dicomnodes"})
_EMPTY: Document = {"$in": [None, []]}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass
class _Hierarchy:
    """The ids of a patient's studies, series and instances, in order of arrival."""

    studies: list[str] = field(default_factory=list)
    series: list[str] = field(default_factory=list)
    instances_of: dict[str, list[str]] = field(default_factory=dict)
    """The ids of instances, by id of the series."""

    @property
    def instances(self) -> list[str]:
        """Returns the ids of all instances."""
        return list(dict.fromkeys(chain.from_iterable(self.instances_of.values())))


class MongoSessionRepository:
    """Sessions of the platform's database."""

    def __init__(self, collection: Callable[[str], Collection]) -> None:
        self._collection = collection
        self._sessions = collection("sessions")

    async def find(self, session_id: str) -> SessionRecord | None:
        """Returns one session."""
        rows = await self._sessions.find({"_id": either(session_id)}, limit=1)
        return _record(rows[0]) if rows else None

    async def all(self) -> list[SessionRecord]:
        """Lists every session that is not closed yet, oldest first."""
        return sorted(map(_record, await self._sessions.find({})), key=lambda session: session.created_at)

    async def instances_of(self, patient_id: str) -> list[str]:
        """Lists the ids of a patient's instances.

        Raises:
            StoredValueError: A document that should list them is malformed.
        """
        hierarchy = await self._hierarchy(patient_id)
        return hierarchy.instances if hierarchy else []

    async def of_patient(self, patient_id: str) -> list[SessionRecord]:
        """Lists the sessions of a patient, oldest first."""
        rows = await self._sessions.find({"patient_id": either(patient_id)})
        return sorted(map(_record, rows), key=lambda session: session.created_at)

    async def ensure_indexes(self) -> list[str]:
        """Makes the indexes that a session's reads need, unless they exist."""
        ready = set()
        for name, indexes in _INDEXES.items():
            # If no answer comes, the server goes on to build the index. In collections of other programs, our role may
            # not be allowed to make one. Without an index, reads are slower but correct.
            refused = (ConfigurationError,) if name in _OF_OTHERS else ()
            with suppress(StoreUnavailableError, *refused):
                await self._collection(name).create_indexes(indexes, unlimited=True)
                ready.add(name)
        return sorted(ready)

    async def remove(self, session_id: str, part: SessionPart) -> int:
        """Removes data, files or the session's document."""
        if part == "session":
            return (await self._sessions.delete_many({"_id": either(session_id)})).documents
        if part == "data":
            return (await self._collection("sessiondata").delete_many({"session_id": either(session_id)})).documents
        removed = 0
        query = {"metadata.session_id": either(session_id)}
        while files := await self._collection("sessionfiles.files").find(
            query, projection=["length"], limit=BATCH_FILES
        ):
            for batch in _batches(files):
                removed += await self._remove_files("sessionfiles", batch)
        return removed + await self._remove_unfinished(session_id)

    async def _remove_unfinished(self, session_id: str) -> int:
        """Removes the chunks of unfinished uploads; returns the number of uploads.

        If an upload becomes visible meanwhile, its document is removed, too. If it does so later, its put finds that
        its chunks are gone.
        """
        chunks, removed = self._collection("sessionfiles.chunks"), 0
        await chunks.create_indexes(CHUNK_INDEXES, unlimited=True)  # without these, the query would read all contents
        uploads = await chunks.aggregate(uploads_pipeline(session_id))
        if uploads:
            await chunks.pause(QUICK_S + 1.0)
        for upload in uploads:
            await self._remove_files("sessionfiles", [upload["_id"]])
            removed += 1
        return removed

    async def _remove_files(self, bucket: str, ids: Sequence[Any]) -> int:
        await self._collection(f"{bucket}.chunks").delete_many({"files_id": {"$in": list(ids)}})
        return (await self._collection(f"{bucket}.files").delete_many({"_id": {"$in": list(ids)}})).documents

    async def remove_images(self, patient_id: str, since: datetime | None, until: datetime) -> RemovedImages:
        """Removes images by their time of arrival, then series, studies and patients that are empty."""
        hierarchy = await self._hierarchy(patient_id)
        if hierarchy is None:
            return RemovedImages()
        listed, instances, gone = hierarchy.instances, 0, set[str]()
        for ids in _slices(listed):
            files = await self._collection("dicomfiles.files").find(
                {"_id": either(*ids)}, projection=["uploadDate", "length"]
            )
            known = by_id(files)
            covered = [row for row in files if (since or _LONG_AGO) <= _arrived_at(row) < until]
            for batch in _batches(covered):
                instances += await self._remove_files("dicomfiles", batch)
            gone.update(id_text(row["_id"]) for row in covered)
            gone.update(instance_id for instance_id in ids if instance_id not in known)
        for parents, members in _groups(hierarchy.instances_of, gone):
            await self._forget("series", "Instances", parents, members)
        return RemovedImages(
            instances=instances,
            series=await self._remove_empty("series", "Instances", hierarchy.series),
            studies=await self._close("studies", "Series", hierarchy.studies, "series", hierarchy.series),
            patients=await self._close("patients", "Studies", [patient_id], "studies", hierarchy.studies),
            kept_instances=len(listed) - len(gone),
        )

    async def _hierarchy(self, patient_id: str) -> _Hierarchy | None:
        patients = await self._collection("patients").find({"_id": either(patient_id)}, limit=1)
        if not patients:
            return None
        found = _Hierarchy(studies=_members(patients[0], "Studies"))
        studies = await self._collection("studies").find({"_id": either(*found.studies)}, projection=["Series"])
        found.series.extend(dict.fromkeys(member for row in studies for member in _members(row, "Series")))
        series = await self._collection("series").find({"_id": either(*found.series)}, projection=["Instances"])
        found.instances_of.update({id_text(row["_id"]): _members(row, "Instances") for row in series})
        return found

    async def _forget(self, level: str, members: str, parents: Sequence[str], gone: Iterable[str]) -> None:
        """Removes, from the lists of their parents, the ids of members that no longer exist."""
        ids = either(*gone)["$in"]
        if ids:
            with_list = {"_id": either(*parents), members: {"$type": "array"}}
            await self._collection(level).update_many(with_list, {"$pull": {members: {"$in": ids}}})

    async def _remove_empty(self, level: str, members: str, ids: Sequence[str]) -> int:
        return (await self._collection(level).delete_many({"_id": either(*ids), members: _EMPTY})).documents

    async def _close(self, level: str, members: str, ids: Sequence[str], below: str, member_ids: Sequence[str]) -> int:
        """Removes, from lists of parents, ids of members that do not exist; then removes parents without members."""
        left = by_id(await self._collection(below).find({"_id": either(*member_ids)}, projection=["_id"]))
        await self._forget(level, members, ids, [member for member in member_ids if member not in left])
        return await self._remove_empty(level, members, ids)


def _record(row: Document) -> SessionRecord:
    session_id = id_text(row["_id"])
    created_at = ObjectId(session_id).generation_time if ObjectId.is_valid(session_id) else _LONG_AGO
    return SessionRecord(
        id=session_id,
        patient_id=id_text(row.get("patient_id")),
        peer_id=id_text(row.get("peer_id")),
        created_at=created_at,
    )


def _members(row: Document, field_name: str) -> list[str]:
    """Returns the ids in a list of a document.

    Raises:
        StoredValueError: The field is not a list, so that the images below it are not known.
    """
    listed = row.get(field_name)
    if listed is not None and not isinstance(listed, list):
        raise StoredValueError(
            f"{field_name} of the document {id_text(row['_id'])} is not a list, so the images below it are not known: "
            "set it right in the database"
        )
    return [id_text(member) for member in listed or ()]


def _arrived_at(row: Document) -> datetime:
    """Returns when an image arrived; a date that cannot be read counts as old, so that no image is kept for ever."""
    arrived = row.get("uploadDate")
    return arrived if isinstance(arrived, datetime) else _LONG_AGO


def _slices(ids: Sequence[str], size: int = BATCH_FILES) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _groups(members_of: Mapping[str, Sequence[str]], gone: set[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yields parents with those of their members that are gone, a limited number of members at a time.

    Each group has only its own parents' members; otherwise the work would grow with the square of their number.
    """
    parents: list[str] = []
    members: list[str] = []
    for parent, listed in members_of.items():
        for part in _slices([member for member in listed if member in gone], BATCH_MEMBERS):
            if parents and len(members) + len(part) > BATCH_MEMBERS:
                yield parents, members
                parents, members = [], []
            parents.append(parent)
            members.extend(part)
    if parents:
        yield parents, members


def _batches(files: Iterable[Document]) -> Iterator[list[Any]]:
    """Yields ids of files in groups up to a number of bytes; a single larger file is a group of its own."""
    batch: list[Any] = []
    size_bytes = 0
    for row in files:
        length = row.get("length")
        length = int(length) if isinstance(length, (int, float)) and 0 <= length < BATCH_BYTES else BATCH_BYTES
        if batch and size_bytes + length > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(row["_id"])
        size_bytes += length
    if batch:
        yield batch
