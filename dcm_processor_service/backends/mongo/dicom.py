"""Patients, studies and series, and their files from the GridFS bucket ``dicomfiles``, read many at a time."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from dcm_processor_service.backends.copies import COPIES_SHOWN, refuse_copies
from dcm_processor_service.backends.mongo.documents import (
    by_id,
    either,
    id_text,
    instance,
    parent_query,
    subject,
    subject_query,
    subjects_of,
)
from dcm_processor_service.backends.mongo.driver.collection import find_in_lanes
from dcm_processor_service.errors import StoredFileNotFoundError, StoredValueError
from dcm_processor_service.models import Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.models import Instance

__all__ = ["MongoDicomRepository"]

GROUP_CHUNKS = 100
"""Most chunks in one query. A server's first answer has at most 101 documents; 101 or more cost another round trip."""

GROUP_BYTES = 6 * 1024 * 1024
"""Most bytes in one query. With larger answers, server, network and decoder wait for each other; smaller ones cost more
round trips."""

_CHUNK_BYTES = 255 * 1024  # the chunk size of GridFS, unless a writer sets another


class MongoDicomRepository:
    """Reads what the platform's DICOM server has stored."""

    def __init__(self, collection: Callable[[str], Collection]) -> None:
        self._subjects = {level: collection(subjects_of(level)) for level in SubjectLevel}
        self._files = collection("dicomfiles.files")
        self._chunks = collection("dicomfiles.chunks")

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one record by id, by instance UID, or, for a patient, by the platform's hash.

        If two peers send the same study, the platform stores it twice under one UID; its UID is then ambiguous.

        Raises:
            AmbiguousSeriesError: Several records have the UID; the message has their ids, which are unique.
        """
        if not id_or_uid:
            return None  # a document without a UID must not match an empty UID
        rows = await self._subjects[level].find(subject_query(level, id_or_uid), limit=COPIES_SHOWN)
        refuse_copies(level, id_or_uid, [id_text(row["_id"]) for row in rows])
        return subject(level, rows[0]) if rows else None

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists the studies of a patient or the series of a study that are stored now, in order of arrival."""
        if isinstance(parent, Patient):
            return cast("list[Study]", await self._find_all(SubjectLevel.STUDY, parent.study_ids))
        return cast("list[SeriesRecord]", await self._find_all(SubjectLevel.SERIES, parent.series_ids))

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns the patient that lists a study, or the study that lists a series."""
        level = SubjectLevel.PATIENT if isinstance(child, Study) else SubjectLevel.STUDY
        rows = await self._subjects[level].find(parent_query(level, child.id), limit=1)
        return cast("Patient | Study", subject(level, rows[0])) if rows else None

    async def _find_all(self, level: SubjectLevel, ids: Sequence[str]) -> list[Patient | Study | SeriesRecord]:
        rows = by_id(await self._subjects[level].find({"_id": either(*ids)}))
        return [subject(level, rows[member]) for member in ids if member in rows]

    async def instances(self, series: SeriesRecord) -> list[Instance]:
        """Lists the files of a series, in order of arrival.

        An instance whose file is gone is listed too, with a size of 0 bytes, so that it is counted; reading it raises
        an error that names it.
        """
        projection = {"length": 1, "metadata.SOPInstanceUID": 1}
        rows = by_id(await self._files.find({"_id": either(*series.instance_ids)}, projection=projection))
        return [instance(instance_id, rows.get(instance_id)) for instance_id in series.instance_ids]

    async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields each file's content; reads a group of files in one query.

        Raises:
            StoredFileNotFoundError: A file is gone.
            StoredValueError: A file is not complete.
        """
        groups = list(_groups(instances))
        queries = [{"files_id": either(*(member.id for member in group))} for group in groups]
        async with aclosing(find_in_lanes(self._chunks, queries, [("files_id", 1), ("n", 1)])) as answers:
            for group in groups:
                chunks: dict[str, list[Document]] = {}
                for chunk in await answers.__anext__():
                    chunks.setdefault(id_text(chunk["files_id"]), []).append(chunk)
                for member in group:
                    yield member, _content(member, chunks.get(member.id, []))

    async def fetch_heads(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the first chunk of each file; reads a group of files in one query.

        Raises:
            StoredFileNotFoundError: A file is gone.
        """
        groups = list(_groups(instances, heads=True))
        queries = [{"files_id": either(*(member.id for member in group)), "n": 0} for group in groups]
        async with aclosing(find_in_lanes(self._chunks, queries, [("files_id", 1), ("n", 1)])) as answers:
            for group in groups:
                chunks = {id_text(chunk["files_id"]): chunk["data"] for chunk in await answers.__anext__()}
                for member in group:
                    if member.id not in chunks:
                        raise _gone(member)
                    yield member, chunks[member.id]


def _groups(instances: Sequence[Instance], *, heads: bool = False) -> Iterator[list[Instance]]:
    """Splits a series into groups up to a number of chunks and bytes; a single larger file is a group of its own."""
    group: list[Instance] = []
    chunks = size_bytes = 0
    for member in instances:
        own_bytes = min(member.size_bytes, _CHUNK_BYTES) if heads else member.size_bytes
        own_chunks = max(1, -(-own_bytes // _CHUNK_BYTES))
        if group and (chunks + own_chunks > GROUP_CHUNKS or size_bytes + own_bytes > GROUP_BYTES):
            yield group
            group, chunks, size_bytes = [], 0, 0
        group.append(member)
        chunks += own_chunks
        size_bytes += own_bytes
    if group:
        yield group


def _name(member: Instance) -> str:
    return f"the instance {member.sop_instance_uid or member.id}"


def _gone(member: Instance) -> StoredFileNotFoundError:
    return StoredFileNotFoundError(f"the file of {_name(member)} is no longer stored; was the session cleaned up?")


def _content(member: Instance, chunks: list[Document]) -> bytes:
    if not chunks:
        raise _gone(member)
    content = b"".join(chunk["data"] for chunk in chunks)
    if [chunk["n"] for chunk in chunks] != list(range(len(chunks))) or len(content) != (
        member.size_bytes or len(content)
    ):
        raise StoredValueError(
            f"the file of {_name(member)} is not complete: {len(content)} bytes in {counted(len(chunks), 'chunk')}, of "
            f"{member.size_bytes} bytes; send the series to the platform again"
        )
    return content
