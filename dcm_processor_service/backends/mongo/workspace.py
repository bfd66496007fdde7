"""A workspace in MongoDB: a database of its own that this package fills with documents like the platform's.

For the jobs of ``run --store``, this module writes the documents that the platform's scheduler and DICOM server would
write. It never writes to a database that the platform or another program fills: it first stores a mark, and it
stores the mark only in an empty database.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from bson import Int64, ObjectId

from dcm_processor_service.backends.mongo.documents import Document, either, new_id
from dcm_processor_service.backends.mongo.origins import origin_of, origins
from dcm_processor_service.errors import ConfigurationError, StoreError
from dcm_processor_service.models import JobState, Patient, Study
from dcm_processor_service.ports.stores import is_gone, is_lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.models import Instance, Job, Peer, SeriesRecord

__all__ = ["MongoWorkspaceRepository"]

CHUNK_BYTES = 255 * 1024
"""The chunk size of GridFS and of the platform's own DICOM server."""

BATCH_CHUNKS = 32
"""The chunks of one command: 8 MB."""

_MARKS = "dcm_workspace"
_MARK = "workspace"
_OF_A_RUN = ("result", "progressMessage", "lastProgressAt")
"""The fields of a job's document that an earlier run has written."""


class MongoWorkspaceRepository:
    """Fills a workspace.

    Args:
        collection: Returns a collection by name.
        ensure_indexes: Makes the indexes that reads need.
    """

    def __init__(
        self, collection: Callable[[str], Collection], ensure_indexes: Callable[[], Awaitable[list[str]]]
    ) -> None:
        self._collection = collection
        self._ensure_indexes = ensure_indexes
        self._is_own = False

    async def _own(self) -> None:
        """Makes sure that the database is a workspace; marks an empty one.

        Raises:
            ConfigurationError: The platform or another program fills the database.
        """
        if self._is_own:
            return
        if not await self._is_marked():
            filed = await self._first_filed()
            if not filed:
                await self._ensure_indexes()  # before the mark, so that a marked workspace always has indexes
                change = {"$set": {"made_at": datetime.now(timezone.utc)}}
                await self._collection(_MARKS).update_one({"_id": _MARK}, change, upsert=True)
            elif not await self._is_marked():  # otherwise another first run has marked it meanwhile
                raise ConfigurationError(
                    f"the database holds {filed!r} that the platform or another program has stored, so it is "
                    "not a workspace; name an empty database, which then becomes the workspace"
                )
        self._is_own = True

    async def _is_marked(self) -> bool:
        return bool(await self._collection(_MARKS).find({"_id": _MARK}, limit=1))

    async def _first_filed(self) -> str:
        """Returns the name of a collection that holds a document; empty if none does."""
        for name in await self._collection(_MARKS).names_of_all():
            if await self._collection(name).find({}, projection=["_id"], limit=1):
                return name
        return ""

    async def _put(self, name: str, document: Document, *, without: tuple[str, ...] = ()) -> None:
        await self._own()
        fields = {key: value for key, value in document.items() if key != "_id"}
        change: Document = {"$set": fields}
        if without:
            change["$unset"] = dict.fromkeys(without, "")
        await self._collection(name).update_one({"_id": document["_id"]}, change, upsert=True)

    async def add_subject(self, subject: Patient | Study | SeriesRecord, peer_id: str = "") -> None:
        """Stores a patient, study or series."""
        name = "patients" if isinstance(subject, Patient) else "studies" if isinstance(subject, Study) else "series"
        await self._put(name, _subject_document(subject) | {"PeerUID": peer_id})

    async def add_instance(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        """Stores the bytes of one DICOM file, unless the same bytes are stored already.

        Raises:
            StoreError: The file can no longer be read.
        """
        del series_id  # not needed: the series' document lists its instances
        await self._own()
        data = _bytes_of(content)
        sha256 = hashlib.sha256(data).hexdigest()
        files = self._collection("dicomfiles.files")
        origin = origin_of(content)
        same = {"_id": ObjectId(instance.id), "sha256": sha256}
        if known := await files.find(same, projection=["origin"], limit=1):
            if known[0].get("origin") != origin:
                await files.update_one(same, {"$set": {"origin": origin}})
            return
        await self._remove_content(instance.id)
        for batch in _chunk_batches(instance.id, data):
            await self._collection("dicomfiles.chunks").insert_chunks(batch)
        await self._put("dicomfiles.files", _file_document(instance, len(data), sha256) | {"origin": origin})

    async def paths(self, instances: Sequence[Instance]) -> dict[str, Path]:
        """Returns, by instance id, the files of this machine from which instances were stored, except gone ones."""
        return {one: path for one, path in (await self._origins(instances)).items() if not is_gone(path)}

    async def _origins(self, instances: Sequence[Instance]) -> dict[str, Path]:
        query = {"_id": {"$in": [ObjectId(one.id) for one in instances]}}
        return origins(await self._collection("dicomfiles.files").find(query, projection=["origin"]))

    async def checksums(self, instances: Sequence[Instance]) -> dict[str, str]:
        """Returns by id the SHA-256 of the stored contents."""
        query = {"_id": {"$in": [ObjectId(one.id) for one in instances]}, "sha256": {"$exists": True}}
        rows = await self._collection("dicomfiles.files").find(query, projection=["sha256"]) if instances else []
        return {str(row["_id"]): row["sha256"] for row in rows}

    async def forget_lost(self, instances: Sequence[Instance], folders: Sequence[Path]) -> list[str]:
        """Removes instances that were stored on this machine from a file below these folders that is gone."""
        lost = [one for one, path in (await self._origins(instances)).items() if is_lost(path, folders)]
        if lost:  # first removes them from their series, so that after a crash no series lists an instance that is gone
            await self._own()
            change = {"$pull": {"Instances": {"$in": lost}}}
            await self._collection("series").update_many({"Instances": {"$in": lost}}, change)
        for instance_id in lost:
            await self._remove_content(instance_id)
        return lost

    async def _remove_content(self, instance_id: str) -> None:
        await self._collection("dicomfiles.files").delete_many({"_id": ObjectId(instance_id)})
        await self._collection("dicomfiles.chunks").delete_many({"files_id": ObjectId(instance_id)})

    async def add_job(self, job: Job) -> None:
        """Stores a job."""
        document = _job_document(job)
        await self._put("jobs", document, without=tuple(name for name in _OF_A_RUN if name not in document))

    async def remove_job(self, job_id: str) -> None:
        """Removes a job."""
        await self._own()
        await self._collection("jobs").delete_many({"_id": either(job_id)})

    async def add_peer(self, peer: Peer) -> None:
        """Stores a peer."""
        await self._own()
        fields = peer.model_dump(mode="json", exclude={"id", "ae_title", "calling_ae_title"}, exclude_none=True)
        fields |= {"aet": peer.ae_title, "whitelist_aet": [], "whitelist_ip": []}
        if peer.calling_ae_title:
            fields["calling_aet"] = peer.calling_ae_title
        peers = self._collection("peers")
        await peers.delete_many({"name": peer.name})
        await self._put("peers", {"_id": ObjectId(peer.id) if peer.id else new_id(), **fields})


def _bytes_of(content: Path | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return content.read_bytes()
    except OSError as error:
        raise StoreError(
            f"a DICOM file can no longer be read ({type(error).__name__}), so that it cannot be stored: {content}"
        ) from error


def _chunk_batches(instance_id: str, data: bytes) -> Iterator[list[Document]]:
    step = CHUNK_BYTES * BATCH_CHUNKS
    for start in range(0, len(data), step):
        yield [
            {
                "_id": new_id(),
                "files_id": ObjectId(instance_id),
                "n": offset // CHUNK_BYTES,
                "data": data[offset : offset + CHUNK_BYTES],
            }
            for offset in range(start, min(start + step, len(data)), CHUNK_BYTES)
        ]


def _file_document(instance: Instance, size_bytes: int, sha256: str) -> Document:
    return {
        "_id": ObjectId(instance.id),
        "filename": f"{sha256[:32]}.dcm",
        "contentType": "application/dicom",
        "length": Int64(size_bytes),
        "chunkSize": CHUNK_BYTES,
        "uploadDate": datetime.now(timezone.utc),
        "metadata": {"SOPInstanceUID": instance.sop_instance_uid, "PeerUID": "", "Slices": 1},
        "sha256": sha256,
    }


def _subject_document(subject: Patient | Study | SeriesRecord) -> Document:
    document: Document = {
        "_id": ObjectId(subject.id),
        "PatientUID": subject.patient_uid,
        "Metadata": subject.metadata,
    }
    if isinstance(subject, Patient):
        return document | {"Studies": list(subject.study_ids)}
    document["StudyInstanceUID"] = subject.study_instance_uid
    if isinstance(subject, Study):
        return document | {"Series": list(subject.series_ids)}
    return document | {"SeriesInstanceUID": subject.series_instance_uid, "Instances": list(subject.instance_ids)}


def _job_document(job: Job) -> Document:
    kwargs = {
        "headers": _subject_document(job.subject) if job.subject else {},
        "params": job.params,
        "added_params": job.added_params,
        "session_id": job.session_id,
        "job_id": job.id,
    }
    document: Document = {
        "_id": ObjectId(job.id),
        "sessionId": job.session_id,
        "job_name": job.name,
        "job_event": job.event.value if job.event else None,
        "service_name": job.service_name,
        "depends_on": [ObjectId(other) for other in job.depends_on],
        "done": job.state in {JobState.DONE, JobState.FAILED},
        "error": False,
        "inProgress": job.state is JobState.RUNNING,
        "attempts": 1,
        "max_attempts": 1,
        "job_timeout": job.timeout_s,
        "progress": job.progress_percent,
        "createdAt": job.created_at or datetime.now(timezone.utc),
        "data": {"function_name": "dcm_processor_service.run", "kwargs": kwargs},
    }
    if job.progress_message:
        document["progressMessage"] = job.progress_message
    if job.state is JobState.FAILED:
        return document | {"result": {"error": {"message": job.error_message}}}
    return document | {"result": {"result": None}} if job.state is JobState.DONE else document
