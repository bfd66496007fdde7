"""The repositories of the embedded store."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from dcm_processor_service.backends.copies import COPIES_SHOWN, refuse_copies
from dcm_processor_service.backends.sqlite.encoding import decode, dump, encode, load
from dcm_processor_service.backends.sqlite.files import SqliteFileRepository
from dcm_processor_service.backends.sqlite.sessions import SqliteSessionRepository
from dcm_processor_service.backends.sqlite.store import SqliteStore, folder_of
from dcm_processor_service.codec import INT64_MAX, INT64_MIN, check_text, equal
from dcm_processor_service.errors import StoredFileNotFoundError, StoredValueError, UnsupportedValueError
from dcm_processor_service.models import Instance, Job, JobOutput, Patient, Peer, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.ports import ABSENT, ANY, Backend, Found, Sentinel, is_gone, is_lost, require_scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.ports import JobKey, NormalValue, Offload, StoreLocation

__all__ = ["open_sqlite"]

M = TypeVar("M", bound=BaseModel)

_MODELS: dict[SubjectLevel, type[Patient | Study | SeriesRecord]] = {
    SubjectLevel.PATIENT: Patient,
    SubjectLevel.STUDY: Study,
    SubjectLevel.SERIES: SeriesRecord,
}
_UPSERT_DATA = (
    "INSERT INTO data VALUES (?, ?, ?, ?) ON CONFLICT (session_id, job_id, name) DO UPDATE SET value = excluded.value"
)
_FIND_DATA = "SELECT value FROM data WHERE session_id = ? AND job_id = ? AND name = ?"


@contextmanager
def open_sqlite(location: StoreLocation, offload: Offload) -> Iterator[Backend]:
    """Opens the workspace folder that ``location.url`` names; the folder is made by the first write."""
    store = SqliteStore(folder_of(location.url), location.timeout_s, offload, location.durability)

    async def warnings() -> list[str]:
        await store.compute(store.require_existing)
        return []

    try:
        yield Backend(
            data=SqliteDataRepository(store),
            files=SqliteFileRepository(store),
            jobs=SqliteJobRepository(store),
            peers=SqlitePeerRepository(store),
            dicom=SqliteDicomRepository(store),
            sessions=SqliteSessionRepository(store),
            workspace=SqliteWorkspaceRepository(store),
            warnings=warnings,
        )
    finally:
        store.close()


class SqliteDataRepository:
    """Named values in a table."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns the value."""
        rows = await self._store.read(_FIND_DATA, key.session_id, key.job_id, check_text(name, "name"))
        return Found(decode(rows[0][0])) if rows else None

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores the value, if the stored value equals ``expected``."""
        row = (key.session_id, key.job_id, check_text(name, "name"))
        text = encode(value)

        def work(connection: sqlite3.Connection) -> bool:
            if expected is not ANY:
                stored = connection.execute(_FIND_DATA, row).fetchone()
                if not equal(decode(stored[0]) if stored else ABSENT, expected):
                    return False
            connection.execute(_UPSERT_DATA, (*row, text))
            return True

        return await self._store.run(work, len(text))

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a number."""
        row = (key.session_id, key.job_id, check_text(name, "name"))

        def work(connection: sqlite3.Connection) -> NormalValue | None:
            found = connection.execute(_FIND_DATA, row).fetchone()
            stored = decode(found[0]) if found else 0
            if isinstance(stored, bool) or not isinstance(stored, (int, float)):
                return None
            total = stored + by
            if isinstance(total, int) and not INT64_MIN <= total <= INT64_MAX:
                raise UnsupportedValueError(f"adding to the data {name!r} goes beyond 64 bits")
            connection.execute(_UPSERT_DATA, (*row, encode(total)))
            return total

        return await self._store.run(work)

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value."""
        row = (key.session_id, key.job_id, check_text(name, "name"))
        statement = "DELETE FROM data WHERE session_id = ? AND job_id = ? AND name = ?"
        return await self._store.run(lambda connection: connection.execute(statement, row).rowcount > 0)

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists names in order."""
        column = "value" if values else "'null'"
        statement = f"SELECT name, {column} FROM data WHERE session_id = ? AND job_id = ? ORDER BY name"  # noqa: S608  no user's text is in it
        rows = await self._store.read(statement, key.session_id, key.job_id)
        return [(name, decode(text)) for name, text in rows]


class SqliteJobRepository:
    """Jobs in a table."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def find(self, job_id: str) -> Job | None:
        """Returns one job."""
        rows = await self._store.read("SELECT document FROM jobs WHERE id = ?", check_text(job_id, "id"))
        return load(Job, rows[0][0]) if rows else None

    async def collect(self, session_id: str, job_name: str, data_name: str) -> list[JobOutput]:
        """Returns every job of the name with its value."""
        rows = await self._store.read(
            "SELECT jobs.id, jobs.document, data.value FROM jobs LEFT JOIN data ON data.session_id = jobs.session_id "
            "AND data.job_id = jobs.id AND data.name = ? WHERE jobs.session_id = ? AND jobs.name = ? ORDER BY position",
            check_text(data_name, "name"),
            check_text(session_id, "id"),
            check_text(job_name, "name"),
        )
        return [_output(Job(id=job_id, session_id=session_id, name=job_name), *stored) for job_id, *stored in rows]

    async def list(
        self,
        session_id: str,
        name: str | None = None,
        ids: Sequence[str] | None = None,
        *,
        near: Patient | Study | SeriesRecord | None = None,
        most: int | None = None,
    ) -> list[Job]:
        """Lists jobs of a session, in the order in which they were added."""
        statement, values = "SELECT document FROM jobs WHERE session_id = ?", [check_text(session_id, "id")]
        if name is not None:
            statement += " AND name = ?"
            values = [*values, check_text(name, "name")]
        if ids is not None:
            statement += " AND id IN (SELECT value FROM json_each(?))"
            values = [*values, encode([check_text(one, "id") for one in ids])]
        if near is not None:  # at the subject's level, only jobs of the same subject
            level, subject_id = (f"json_extract(document, '$.subject.{field}')" for field in ("level", "id"))
            statement += f" AND ({level} IS NOT ? OR {subject_id} = ?)"
            values = [*values, near.level, near.id]
        limit = -1 if most is None else most
        rows = await self._store.read(f"{statement} ORDER BY position LIMIT ?", *values, limit)
        return [load(Job, text) for (text,) in rows]

    async def set_progress(self, job_id: str, percent: int, message: str) -> None:
        """Writes a job's progress."""
        check_text(job_id, "id")

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT document FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row:
                update = {"progress_percent": percent, "progress_message": message}
                document = dump(load(Job, row[0]).model_copy(update=update))
                connection.execute("UPDATE jobs SET document = ? WHERE id = ?", (document, job_id))

        await self._store.run(work)


def _output(about: Job, document: str, text: str | None) -> JobOutput:
    """Returns a job with its value; if one of the two is damaged, ``problem`` says so."""
    problem, value, found = "", None, False
    try:
        about = load(Job, document)
    except StoredValueError as error:
        problem = str(error)
    try:
        value, found = (None, False) if text is None else (decode(text), True)
    except StoredValueError as error:
        problem = str(error)
    return JobOutput(job=about, found=found, value=value, problem=problem)


class SqlitePeerRepository:
    """DICOM peers in a table."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def get(self, peer_id: str) -> Peer | None:
        """Returns a peer by id."""
        rows = await self._store.read("SELECT document FROM peers WHERE id = ?", check_text(peer_id, "id"))
        return load(Peer, rows[0][0]) if rows else None

    async def find(self, name: str) -> Peer | None:
        """Returns a peer by name."""
        rows = await self._store.read("SELECT document FROM peers WHERE name = ?", check_text(name, "name"))
        return load(Peer, rows[0][0]) if rows else None

    async def list(self) -> list[Peer]:
        """Lists all peers by name."""
        return [load(Peer, text) for (text,) in await self._store.read("SELECT document FROM peers ORDER BY name")]


class SqliteDicomRepository:
    """Patients, studies, series; their files stay where they were found."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one record by id or instance UID.

        Raises:
            AmbiguousSeriesError: Several records have the UID.
        """
        check_text(id_or_uid, "id or UID")
        rows = await self._store.read(
            "SELECT document FROM subjects WHERE level = ? AND (id = ? OR (uid = ? AND uid <> '')) "
            "ORDER BY id = ? DESC LIMIT ?",
            level.value,
            id_or_uid,
            id_or_uid,
            id_or_uid,
            COPIES_SHOWN,
        )
        found = [load(_MODELS[level], text) for (text,) in rows]
        if found and found[0].id != id_or_uid:
            refuse_copies(level, id_or_uid, [one.id for one in found])
        return found[0] if found else None

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists the studies of a patient or the series of a study."""
        if isinstance(parent, Patient):
            return await self._subjects(Study, parent.study_ids)
        return await self._subjects(SeriesRecord, parent.series_ids)

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns the patient that lists a study, or the study that lists a series."""
        level, members = ("patient", "$.study_ids") if isinstance(child, Study) else ("study", "$.series_ids")
        rows = await self._store.read(
            "SELECT document FROM subjects WHERE level = ? AND EXISTS "
            "(SELECT 1 FROM json_each(subjects.document, ?) AS member WHERE member.value = ?)",
            level,
            members,
            child.id,
        )
        if not rows:
            return None
        return load(Patient, rows[0][0]) if isinstance(child, Study) else load(Study, rows[0][0])

    async def _subjects(self, model: type[M], ids: Sequence[str]) -> list[M]:
        # one JSON parameter holds all ids, because SQLite limits the number of parameters
        rows = await self._store.read(
            "SELECT subjects.document FROM json_each(?) AS wanted JOIN subjects ON subjects.id = wanted.value "
            "ORDER BY wanted.key",
            encode(list(ids)),
        )
        return [load(model, text) for (text,) in rows]

    async def instances(self, series: SeriesRecord) -> list[Instance]:
        """Lists the files of a series."""
        rows = await self._store.read("SELECT document FROM instances WHERE series_id = ? ORDER BY position", series.id)
        return [load(Instance, text) for (text,) in rows]

    async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the path of each file."""
        rows = await self._store.read(
            "SELECT instances.id, instances.path FROM json_each(?) AS wanted "
            "JOIN instances ON instances.id = wanted.value",
            encode([instance.id for instance in instances]),
        )
        paths = {instance_id: self._store.folder.joinpath(path) for instance_id, path in rows}
        for instance in instances:
            if instance.id not in paths:
                raise StoredFileNotFoundError(
                    f"the workspace no longer knows the instance {instance.sop_instance_uid or instance.id}; run again "
                    "over the folder that holds it"
                )
            path = paths[instance.id]
            await self._store.compute(partial(require_scan, path))
            yield instance, path

    def fetch_heads(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the same as :meth:`fetch`."""
        return self.fetch(instances)


class SqliteWorkspaceRepository:
    """Fills a workspace."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def _change(self, statement: str, *values: str) -> None:
        need_bytes = sum(map(len, values))
        await self._store.run(lambda connection: connection.execute(statement, values), need_bytes)

    async def add_subject(self, subject: Patient | Study | SeriesRecord, peer_id: str = "") -> None:
        """Stores a patient, study or series."""
        del peer_id  # no peer sends images to a workspace
        await self._change(
            "INSERT INTO subjects VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document",
            subject.id,
            subject.level,
            subject.uid,
            dump(subject),
        )

    async def add_instance(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        """Stores the path of one DICOM file."""
        if isinstance(content, bytes):
            raise UnsupportedValueError("a workspace refers to DICOM files by path; write the bytes to a file first")
        await self._change(
            "INSERT INTO instances (id, series_id, document, path) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "series_id = excluded.series_id, document = excluded.document, path = excluded.path",
            instance.id,
            series_id,
            dump(instance),
            self._place(content),
        )

    async def paths(self, instances: Sequence[Instance]) -> dict[str, Path]:
        """Returns the paths of the files that are not gone, by the instance's id."""
        known = await self._paths(instances)
        return await self._store.compute(lambda: {one: path for one, path in known.items() if not is_gone(path)})

    async def _paths(self, instances: Sequence[Instance]) -> dict[str, Path]:
        wanted = encode([instance.id for instance in instances])
        rows = await self._store.read(
            "SELECT id, path FROM instances WHERE id IN (SELECT value FROM json_each(?))", wanted
        )
        return {one: self._store.folder.joinpath(path) for one, path in rows}

    async def checksums(self, instances: Sequence[Instance]) -> dict[str, str]:
        """Returns an empty dict: the store holds paths, and no content."""
        del instances
        return {}

    async def forget_lost(self, instances: Sequence[Instance], folders: Sequence[Path]) -> list[str]:
        """Removes instances whose file was below these folders and is gone."""
        lost = [one for one, path in (await self._paths(instances)).items() if is_lost(path, folders)]
        for instance_id in lost:
            await self._change("DELETE FROM instances WHERE id = ?", instance_id)
        return lost

    def _place(self, content: Path) -> str:
        """Returns a file's path, without following links.

        Inside the workspace the path is relative, so that the folder can be moved.
        """
        path, folder = (os.path.abspath(one) for one in (content, self._store.folder))  # noqa: PTH100  follows no links
        inside = path.startswith(os.path.join(folder, ""))  # noqa: PTH118  with the separator at the end
        return path[len(folder) + 1 :] if inside else path

    async def add_job(self, job: Job) -> None:
        """Stores a job."""
        await self._change(
            "INSERT INTO jobs (id, session_id, name, document) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "session_id = excluded.session_id, name = excluded.name, document = excluded.document",
            job.id,
            job.session_id,
            job.name,
            dump(job),
        )

    async def remove_job(self, job_id: str) -> None:
        """Removes a job."""
        await self._change("DELETE FROM jobs WHERE id = ?", job_id)

    async def add_peer(self, peer: Peer) -> None:
        """Stores a peer."""
        await self._change(
            "INSERT INTO peers VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET id = excluded.id, "
            "document = excluded.document",
            peer.name,
            peer.id,
            dump(peer),
        )
