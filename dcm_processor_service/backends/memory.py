"""A store in memory, for unit tests and fetched files; it passes the same contract tests as the other stores."""

from __future__ import annotations

import copy
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.copies import COPIES_SHOWN, refuse_copies
from dcm_processor_service.codec import INT64_MAX, INT64_MIN, check_text, equal, to_normal
from dcm_processor_service.errors import StoredFileNotFoundError, UnsupportedValueError
from dcm_processor_service.models import (
    JobOutput,
    Patient,
    RemovedImages,
    SeriesRecord,
    StoredFile,
    Study,
    SubjectLevel,
)
from dcm_processor_service.models.subjects import contradicts
from dcm_processor_service.ports import ABSENT, ANY, Backend, Found, JobKey, Sentinel, is_gone, is_lost, require_scan
from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from dcm_processor_service.models import Instance, Job, Peer, SessionPart, SessionRecord
    from dcm_processor_service.ports import NewFile, NormalValue, Offload, StoreLocation

__all__ = [
    "MemoryDataRepository",
    "MemoryDicomRepository",
    "MemoryFileRepository",
    "MemoryJobRepository",
    "MemoryPeerRepository",
    "MemorySessionRepository",
    "MemoryStore",
    "MemoryWorkspaceRepository",
    "open_memory",
]


@dataclass
class MemoryStore:
    """The state that the repositories of one memory backend share.

    Example:
        >>> from dcm_processor_service.ports import JobKey, run_inline
        >>> store = MemoryStore()
        >>> key = JobKey("5" * 24, "1" * 24)
        >>> run_inline(store.backend().data.put(key, "volume_ml", 12.5))
        True
        >>> store.values[key, "volume_ml"]
        12.5
    """

    values: dict[tuple[JobKey, str], NormalValue] = field(default_factory=dict)
    files: dict[tuple[JobKey, str], tuple[StoredFile, bytes]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    subjects: dict[str, Patient | Study | SeriesRecord] = field(default_factory=dict)
    instances: dict[str, tuple[Instance, Path | bytes]] = field(default_factory=dict)
    series_instances: dict[str, list[str]] = field(default_factory=dict)
    arrived_at: dict[str, datetime] = field(default_factory=dict)
    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    lock: SharedLock = field(default_factory=SharedLock, init=False)

    def backend(self) -> Backend:
        """Returns repositories over this store."""
        return Backend(
            data=MemoryDataRepository(self),
            files=MemoryFileRepository(self),
            jobs=MemoryJobRepository(self),
            peers=MemoryPeerRepository(self),
            dicom=MemoryDicomRepository(self),
            sessions=MemorySessionRepository(self),
            workspace=MemoryWorkspaceRepository(self),
        )


@contextmanager
def open_memory(_location: StoreLocation, _offload: Offload) -> Iterator[Backend]:
    """Opens an empty store that ends with the process."""
    yield MemoryStore().backend()


class MemoryDataRepository:
    """Named values in a dictionary.

    Example:
        >>> from dcm_processor_service.ports import JobKey, run_inline
        >>> run_inline(MemoryDataRepository().increment(JobKey("5" * 24, "1" * 24), "runs", 1))
        1
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns a copy of the value."""
        check_text(name, "name")
        with self._store.lock:
            if (key, name) not in self._store.values:
                return None
            return Found(copy.deepcopy(self._store.values[key, name]))

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores a copy of the value, if the stored value equals ``expected``."""
        check_text(name, "name")
        with self._store.lock:
            stored = self._store.values.get((key, name), ABSENT)
            if expected is not ANY and not equal(stored, expected):
                return False
            self._store.values[key, name] = copy.deepcopy(value)
            return True

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a number."""
        check_text(name, "name")
        with self._store.lock:
            stored = self._store.values.get((key, name), 0)
            if isinstance(stored, bool) or not isinstance(stored, (int, float)):
                return None
            total = stored + by
            if isinstance(total, int) and not INT64_MIN <= total <= INT64_MAX:
                raise UnsupportedValueError(f"adding to the data {name!r} goes beyond 64 bits")
            self._store.values[key, name] = total
            return total

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value."""
        check_text(name, "name")
        with self._store.lock:
            return self._store.values.pop((key, name), ABSENT) is not ABSENT

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists names in order."""
        with self._store.lock:
            rows = {name: value for (owner, name), value in self._store.values.items() if owner == key}
        return [(name, copy.deepcopy(rows[name]) if values else None) for name in sorted(rows)]


class MemoryFileRepository:
    """Named files as bytes.

    Example:
        >>> from dcm_processor_service.ports import JobKey, run_inline
        >>> run_inline(MemoryFileRepository().list(JobKey("5" * 24, "1" * 24)))
        []
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()
        self._versions = 0

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Reads the rest of ``source``, then replaces the file."""
        check_text(name, "name")
        content = source.read()
        with self._store.lock:
            self._versions += 1
            stored = StoredFile(
                id=f"{self._versions:024x}",
                job_id=key.job_id,
                name=name,
                size_bytes=len(content),
                content_type=new.content_type,
                sha256=hashlib.sha256(content).hexdigest(),
                metadata=dict(copy.deepcopy(new.metadata)),
                uploaded_at=to_normal(datetime.now(timezone.utc)),
            )
            self._store.files[key, name] = (stored, content)
        return stored

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Returns the file's record, or None."""
        check_text(name, "name")
        with self._store.lock:
            entry = self._store.files.get((key, name))
            return entry[0] if entry else None

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``."""
        check_text(name, "name")
        with self._store.lock:
            entry = self._store.files.get((key, name))
        if entry is None:
            return None
        sink.write(entry[1])
        return entry[0]

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the file."""
        check_text(name, "name")
        with self._store.lock:
            return self._store.files.pop((key, name), None) is not None

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""
        with self._store.lock:
            rows = [stored for (owner, _name), (stored, _content) in list(self._store.files.items()) if owner == key]
            return sorted(rows, key=lambda stored: stored.name)


class MemoryJobRepository:
    """Jobs in a dictionary.

    Example:
        >>> from dcm_processor_service.ports import run_inline
        >>> run_inline(MemoryJobRepository().find("1" * 24)) is None
        True
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def find(self, job_id: str) -> Job | None:
        """Returns one job."""
        check_text(job_id, "id")
        with self._store.lock:
            return self._store.jobs.get(job_id)

    async def collect(self, session_id: str, job_name: str, data_name: str) -> list[JobOutput]:
        """Returns every job of the name with its value."""
        check_text(job_name, "name")
        check_text(data_name, "name")
        with self._store.lock:
            outputs = []
            for job in await self.list(session_id, job_name):
                key = (JobKey(session_id, job.id), data_name)
                found = key in self._store.values
                value = copy.deepcopy(self._store.values[key]) if found else None
                outputs.append(JobOutput(job=job, found=found, value=value))
            return outputs

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
        for text in (session_id, *([] if name is None else [name]), *(ids or ())):
            check_text(text, "id or name")
        wanted = None if ids is None else set(ids)
        with self._store.lock:
            return [
                job
                for job in self._store.jobs.values()
                if job.session_id == session_id
                and name in {None, job.name}
                and (wanted is None or job.id in wanted)
                and not (near and job.subject and contradicts(near, job.subject))
            ][:most]

    async def set_progress(self, job_id: str, percent: int, message: str) -> None:
        """Writes a job's progress."""
        with self._store.lock:
            job = self._store.jobs.get(check_text(job_id, "id"))
            if job is not None:
                update = {"progress_percent": percent, "progress_message": message}
                self._store.jobs[job_id] = job.model_copy(update=update)


class MemoryPeerRepository:
    """DICOM peers in a dictionary.

    Example:
        >>> from dcm_processor_service.models import Peer
        >>> from dcm_processor_service.testing import fake_context
        >>> pacs = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)
        >>> peers = MemoryPeerRepository(MemoryStore(peers={"PACS": pacs}))
        >>> ctx = fake_context(customise=lambda container: container.peer_repository.override(peers))
        >>> ctx.session.peers.get("PACS").port
        4242
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def get(self, peer_id: str) -> Peer | None:
        """Returns a peer by id."""
        check_text(peer_id, "id")
        with self._store.lock:
            return next((peer for peer in self._store.peers.values() if peer.id == peer_id), None)

    async def find(self, name: str) -> Peer | None:
        """Returns a peer by name."""
        check_text(name, "name")
        with self._store.lock:
            return self._store.peers.get(name)

    async def list(self) -> list[Peer]:
        """Lists all peers by name."""
        with self._store.lock:
            return [peer for _name, peer in sorted(self._store.peers.items())]


class MemoryDicomRepository:
    """Patients, studies, series and their files in dictionaries.

    Example:
        >>> from dcm_processor_service.models import Patient
        >>> from dcm_processor_service.ports import run_inline
        >>> store = MemoryStore(subjects={"4" * 24: Patient(id="4" * 24)})
        >>> run_inline(MemoryDicomRepository(store).find(SubjectLevel.PATIENT, "4" * 24)).child_ids
        ()
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one record by id or instance UID.

        Raises:
            AmbiguousSeriesError: Several records have the UID.
        """
        check_text(id_or_uid, "id or UID")
        with self._store.lock:
            known = self._store.subjects.get(id_or_uid)
            if known is not None and known.level == level.value:
                return known
            found = [one for one in self._store.subjects.values() if one.level == level.value and one.uid == id_or_uid]
        found = found[:COPIES_SHOWN] if id_or_uid else []
        refuse_copies(level, id_or_uid, [one.id for one in found])
        return found[0] if found else None

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists the studies of a patient or the series of a study."""
        with self._store.lock:
            subjects = self._store.subjects
            if isinstance(parent, Patient):
                return [study for child in parent.study_ids if isinstance(study := subjects.get(child), Study)]
            return [series for child in parent.series_ids if isinstance(series := subjects.get(child), SeriesRecord)]

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns the patient that lists a study, or the study that lists a series."""
        with self._store.lock:
            for subject in self._store.subjects.values():
                if isinstance(subject, Patient | Study) and child.id in subject.child_ids:
                    return subject
            return None

    async def instances(self, series: SeriesRecord) -> list[Instance]:
        """Lists the files of a series."""
        with self._store.lock:
            return [
                self._store.instances[instance_id][0] for instance_id in self._store.series_instances.get(series.id, [])
            ]

    async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields each file's content or path."""
        for instance in instances:
            with self._store.lock:
                known = self._store.instances.get(instance.id)
            if known is None:
                raise StoredFileNotFoundError(
                    f"the file of the instance {instance.sop_instance_uid or instance.id} is no longer stored; was the "
                    "session cleaned up?"
                )
            content = known[1]
            if not isinstance(content, bytes):
                require_scan(content)
            yield instance, content

    def fetch_heads(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the same as :meth:`fetch`."""
        return self.fetch(instances)


class MemoryWorkspaceRepository:
    """Fills a memory store.

    Example:
        >>> from dcm_processor_service.models import Patient
        >>> from dcm_processor_service.ports import run_inline
        >>> store = MemoryStore()
        >>> run_inline(MemoryWorkspaceRepository(store).add_subject(Patient(id="4" * 24)))
        >>> list(store.subjects) == ["4" * 24]
        True
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def add_subject(self, subject: Patient | Study | SeriesRecord, peer_id: str = "") -> None:
        """Stores a patient, study or series."""
        with self._store.lock:
            del peer_id  # a memory store does not record who sent an image
            self._store.subjects[subject.id] = subject

    async def add_instance(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        """Stores one DICOM file."""
        with self._store.lock:
            self._store.instances[instance.id] = (instance, content)
            self._store.arrived_at[instance.id] = datetime.now(timezone.utc)
            members = self._store.series_instances.setdefault(series_id, [])
            if instance.id not in members:
                members.append(instance.id)

    async def paths(self, instances: Sequence[Instance]) -> dict[str, Path]:
        """Returns the paths of the files that are not gone, by the instance's id."""
        return {one: path for one, path in self._paths(instances) if not is_gone(path)}

    def _paths(self, instances: Sequence[Instance]) -> list[tuple[str, Path]]:
        with self._store.lock:
            known = [(one.id, self._store.instances[one.id][1]) for one in instances if one.id in self._store.instances]
        return [(one, content) for one, content in known if not isinstance(content, bytes)]

    async def checksums(self, instances: Sequence[Instance]) -> dict[str, str]:
        """Returns by id the SHA-256 of the contents that are held as bytes; an instance held as a path has none."""
        with self._store.lock:
            known = [(one.id, self._store.instances[one.id][1]) for one in instances if one.id in self._store.instances]
        return {one: hashlib.sha256(held).hexdigest() for one, held in known if isinstance(held, bytes)}

    async def forget_lost(self, instances: Sequence[Instance], folders: Sequence[Path]) -> list[str]:
        """Removes instances whose file was below these folders and is gone."""
        lost = [one for one, path in self._paths(instances) if is_lost(path, folders)]
        with self._store.lock:
            for instance_id in lost:
                del self._store.instances[instance_id], self._store.arrived_at[instance_id]
            for members in self._store.series_instances.values():
                members[:] = [one for one in members if one not in lost]
            return lost

    async def add_job(self, job: Job) -> None:
        """Stores a job."""
        with self._store.lock:
            self._store.jobs[job.id] = job

    async def remove_job(self, job_id: str) -> None:
        """Removes a job."""
        with self._store.lock:
            self._store.jobs.pop(job_id, None)

    async def add_peer(self, peer: Peer) -> None:
        """Stores a peer."""
        with self._store.lock:
            self._store.peers[peer.name] = peer


class MemorySessionRepository:
    """Sessions in a dictionary.

    Example:
        >>> from dcm_processor_service.ports import run_inline
        >>> run_inline(MemorySessionRepository(MemoryStore()).remove("5" * 24, "data"))
        0
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def find(self, session_id: str) -> SessionRecord | None:
        """Returns one session."""
        check_text(session_id, "id")
        with self._store.lock:
            return self._store.sessions.get(session_id)

    async def of_patient(self, patient_id: str) -> list[SessionRecord]:
        """Lists the sessions of a patient."""
        check_text(patient_id, "id")
        with self._store.lock:
            rows = [session for session in self._store.sessions.values() if session.patient_id == patient_id]
            return sorted(rows, key=lambda session: session.created_at)

    async def ensure_indexes(self) -> list[str]:
        """Returns an empty list: a dictionary needs no index."""
        return []

    async def remove(self, session_id: str, part: SessionPart) -> int:
        """Removes data, files or the session."""
        check_text(session_id, "id")
        with self._store.lock:
            if part == "session":
                return int(self._store.sessions.pop(session_id, None) is not None)
            rows: dict[tuple[JobKey, str], Any] = self._store.values if part == "data" else self._store.files
            keys = [key for key in rows if key[0].session_id == session_id]
            for key in keys:
                del rows[key]
            return len(keys)

    async def remove_images(self, patient_id: str, since: datetime | None, until: datetime) -> RemovedImages:
        """Removes images by their time of arrival, then series, studies and patients that are empty."""
        check_text(patient_id, "id")
        with self._store.lock:
            subjects = self._store.subjects
            patient = subjects.get(patient_id)
            if not isinstance(patient, Patient):
                return RemovedImages()
            gone = dict.fromkeys(("instances", "series", "studies", "kept_instances"), 0)
            for study_id in patient.study_ids:
                study = subjects.get(study_id)
                series_ids = study.series_ids if isinstance(study, Study) else ()
                for series_id in series_ids:
                    kept = self._remove_instances(series_id, since, until, gone)
                    if not kept and subjects.pop(series_id, None) is not None:
                        gone["series"] += 1
                if not any(series_id in subjects for series_id in series_ids):
                    gone["studies"] += subjects.pop(study_id, None) is not None
            patients = 0
            if not any(study_id in subjects for study_id in patient.study_ids):
                patients = int(subjects.pop(patient_id, None) is not None)
            return RemovedImages(**gone, patients=patients)

    def _remove_instances(
        self, series_id: str, since: datetime | None, until: datetime, gone: dict[str, int]
    ) -> list[str]:
        members = self._store.series_instances.get(series_id, [])
        arrived_at = self._store.arrived_at
        kept = [one for one in members if not (since is None or since <= arrived_at[one]) or arrived_at[one] >= until]
        for instance_id in set(members) - set(kept):
            del self._store.instances[instance_id], arrived_at[instance_id]
            gone["instances"] += 1
        self._store.series_instances[series_id] = kept
        gone["kept_instances"] += len(kept)
        return kept
