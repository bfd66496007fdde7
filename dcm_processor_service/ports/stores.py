"""Repositories: named values, files, jobs, peers and images of one store."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from dcm_processor_service.codec import check_text
from dcm_processor_service.errors import ConfigurationError, StoredFileNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from dcm_processor_service.models import (
        Instance,
        Job,
        JobOutput,
        Patient,
        Peer,
        RemovedImages,
        SeriesRecord,
        SessionPart,
        SessionRecord,
        StoredFile,
        Study,
        SubjectLevel,
    )
    from dcm_processor_service.ports.concurrency import Mode, Offload

__all__ = [
    "ABSENT",
    "ANY",
    "MISSING",
    "Backend",
    "BackendOpener",
    "DataRepository",
    "DicomRepository",
    "Durability",
    "FileRepository",
    "Found",
    "JobKey",
    "JobRepository",
    "NewFile",
    "NormalValue",
    "PeerRepository",
    "PlatformDocuments",
    "Sentinel",
    "SessionRepository",
    "StoreLocation",
    "WorkspaceRepository",
    "is_gone",
    "is_lost",
    "require_scan",
]

Durability: TypeAlias = Literal["full", "fast"]
"""How safe an acknowledged write is; see :class:`StoreLocation`."""

NormalValue: TypeAlias = Any
"""A value in the normal form of :mod:`dcm_processor_service.codec`."""


class Sentinel:
    """A marker that equals nothing but itself.

    Example:
        >>> ABSENT, ABSENT == Sentinel("ABSENT")
        (ABSENT, False)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ANY = Sentinel("ANY")
"""As ``expected`` of :meth:`DataRepository.put`: any stored value, or none, may be replaced."""

ABSENT = Sentinel("ABSENT")
"""As ``expected`` of :meth:`DataRepository.put`: the value is stored only if none is stored yet."""

MISSING = Sentinel("MISSING")
"""As ``default`` of ``session.data.get``: there is no default, so a missing value is an error."""


@dataclass(frozen=True)
class JobKey:
    """The key that data and files of one job are stored under.

    Example:
        >>> JobKey(session_id="5" * 24, job_id="1" * 24) == JobKey("5" * 24, "1" * 24)
        True
    """

    session_id: str
    job_id: str

    def __post_init__(self) -> None:
        check_text(self.session_id, "id of a session")
        check_text(self.job_id, "id of a job")


@dataclass(frozen=True)
class Found:
    """A stored value. This wrapper tells a stored None from a value that is missing.

    Example:
        >>> Found(None) is None
        False
    """

    value: NormalValue


@dataclass(frozen=True)
class NewFile:
    """The content type, metadata and extension of a file that is to be stored.

    Example:
        >>> NewFile("application/pdf", {"pages": 2}).content_type
        'application/pdf'
    """

    content_type: str
    metadata: Mapping[str, NormalValue]
    extension: str = ""
    """The extension of the name under which the store keeps the content; if empty, the extension of the file's name."""


def require_scan(path: Path) -> None:
    """Raises if a DICOM file that a store refers to, or a copy of one, is no longer at its path.

    Raises:
        StoredFileNotFoundError: The file was moved or removed; the message names it, without its folder.

    Example:
        >>> from pathlib import Path
        >>> require_scan(Path("moved.dcm"))
        Traceback (most recent call last):
        dcm_processor_service.errors.StoredFileNotFoundError: the DICOM file moved.dcm is ...
    """
    if not path.is_file():
        raise StoredFileNotFoundError(
            f"the DICOM file {path.name} is no longer where it was found; put it back, or run again over the folder "
            "where it is now"
        )


def is_gone(path: Path) -> bool:
    """Returns whether there is certainly no file at a path; False if the path cannot be examined.

    Example:
        >>> from pathlib import Path
        >>> is_gone(Path("gone.dcm")), is_gone(Path())
        (True, False)
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_lost(path: Path, folders: Iterable[Path]) -> bool:
    """Returns whether a path lies below one of the folders, and there is no file at it any more.

    Example:
        >>> from pathlib import Path
        >>> is_lost(Path("gone.dcm"), [Path()]), is_lost(Path("gone.dcm"), [Path("elsewhere")])
        (True, False)
    """
    place = os.path.abspath(path)  # noqa: PTH100  follows no links
    is_below = any(place.startswith(os.path.join(os.path.abspath(one), "")) for one in folders)  # noqa: PTH100, PTH118
    return is_below and is_gone(path)


class DataRepository(Protocol):
    """Named values of a job."""

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns the value in one round trip, or None if there is none."""

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores the value atomically if the stored value equals ``expected``; returns whether it did."""

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a stored number, or to 0, atomically; returns the sum; None if the stored value is not a number."""

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value; returns whether there was one."""

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists the names in order, each with its value, or with None if ``values`` is False."""


class FileRepository(Protocol):
    """Named files of a job. Replacing is atomic: a reader sees the old content or the new."""

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Stores the rest of ``source``, from its position on, under the name."""

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Returns the file's record, or None."""

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``, which is seekable and at its start.

        If the file is replaced meanwhile, starts again with the new content.
        """

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the file; returns whether there was one."""

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""


class JobRepository(Protocol):
    """Jobs of the queue."""

    async def find(self, job_id: str) -> Job | None:
        """Returns one job."""

    async def collect(self, session_id: str, job_name: str, data_name: str) -> list[JobOutput]:
        """Returns every job of the name with its value under ``data_name``, in few round trips."""

    async def list(
        self,
        session_id: str,
        name: str | None = None,
        ids: Sequence[str] | None = None,
        *,
        near: Patient | Study | SeriesRecord | None = None,
        most: int | None = None,
    ) -> list[Job]:
        """Lists the jobs of a session, oldest first, or only those with this name, these ids, or both.

        Args:
            session_id: The session.
            name: Name of the jobs in the manifest; None for any name.
            ids: Ids of the jobs; None for any id.
            near: A subject. A store should leave out jobs about an unrelated subject, of which there may be thousands
                (:func:`dcm_processor_service.models.subjects.contradicts`).
            most: The largest number of jobs to return.
        """

    async def set_progress(self, job_id: str, percent: int, message: str) -> None:
        """Writes a job's progress, 0 to 100, in one round trip; creates no job that is missing."""


class PeerRepository(Protocol):
    """DICOM peers."""

    async def get(self, peer_id: str) -> Peer | None:
        """Returns the peer with an id of the platform, such as the peer that sent the images."""

    async def find(self, name: str) -> Peer | None:
        """Returns a peer by name. Searches the platform's peers first, then its own listeners."""

    async def list(self) -> list[Peer]:
        """Lists all peers by name."""


class DicomRepository(Protocol):
    """Patients, studies, series and their files."""

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one record by the platform's id, or by its ``uid``; None if there is none.

        Raises:
            AmbiguousSeriesError: Several records have the ``uid``.
        """

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists the studies of a patient or the series of a study, in the order in which they arrived."""

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns the patient that lists a study, or the study that lists a series."""

    async def instances(self, series: SeriesRecord) -> list[Instance]:
        """Lists the files of a series, in the order in which they arrived."""

    def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields each file in the given order: its content, or the path of a file that must not be changed.

        Reads many at a time, in few round trips, with bounded memory.

        Raises:
            StoredFileNotFoundError: A file is gone; the message names it and says what to do.
        """

    def fetch_heads(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the same as :meth:`fetch`, but only the first bytes of each content, as many as are cheap to read.

        A store that would not be faster yields the whole content.
        """


class SessionRepository(Protocol):
    """Sessions as a whole. The repository makes indexes before the first job, and removes data after the last one.

    A removal skips documents that are missing, removes many in one command, and can be repeated.
    """

    async def find(self, session_id: str) -> SessionRecord | None:
        """Returns one session that is not closed yet."""

    async def of_patient(self, patient_id: str) -> list[SessionRecord]:
        """Lists the sessions of a patient that are not closed yet, oldest first."""

    async def ensure_indexes(self) -> list[str]:
        """Makes the indexes that reads of a session need, unless they exist; returns the collections' names."""

    async def remove(self, session_id: str, part: SessionPart) -> int:
        """Removes all data or all files of a session, or its own document; returns how many."""

    async def remove_images(self, patient_id: str, since: datetime | None, until: datetime) -> RemovedImages:
        """Removes a patient's images that arrived before ``until``, except those that arrived before ``since``.

        A series, study or patient is removed with its last image.
        """


class PlatformDocuments(Protocol):
    """Documents as the platform's own packages see them, for the functions of the 0.0.1 API."""

    async def set_value(self, key: JobKey, name: str, value: NormalValue) -> str | int:
        """Stores a value in one round trip; returns the id of a new document, else 1 if the value changed, 0 if not."""

    async def file(self, key: JobKey, name: str) -> dict[str, Any] | None:
        """Returns the document of a file."""

    async def peer(self, *, name: str = "", peer_id: str = "") -> dict[str, Any] | None:
        """Returns the document of a peer, by name or by id."""

    def file_id(self, stored: StoredFile) -> Any:
        """Returns the id of a file in the store's own type."""


class WorkspaceRepository(Protocol):
    """Fills a store that the platform does not fill: the workspace of a laptop, or the store in memory of a test."""

    async def add_subject(self, subject: Patient | Study | SeriesRecord, peer_id: str = "") -> None:
        """Stores a patient, study or series; replaces one of the same id."""

    async def add_instance(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        """Stores one DICOM file of a series that was added: its content, or its path."""

    async def paths(self, instances: Sequence[Instance]) -> dict[str, Path]:
        """Returns, by the instance's id, the file on this machine from which each instance was stored.

        Leaves out files that are gone.
        """

    async def checksums(self, instances: Sequence[Instance]) -> dict[str, str]:
        """Returns, by the instance's id, the SHA-256 of each content that the store itself holds.

        Returns an empty dict if the store refers to files.
        """

    async def forget_lost(self, instances: Sequence[Instance], folders: Sequence[Path]) -> list[str]:
        """Removes each instance that was stored on this machine from a file below these folders, if that file is gone.

        Returns:
            Their ids.
        """

    async def add_job(self, job: Job) -> None:
        """Stores a job; replaces one of the same id."""

    async def remove_job(self, job_id: str) -> None:
        """Removes a job, if there is one; its data and files stay, and belong to no job."""

    async def add_peer(self, peer: Peer) -> None:
        """Stores a peer; replaces one of the same name."""


@dataclass(frozen=True)
class StoreLocation:
    """Where a backend finds its store, how long it waits, and how safe an acknowledged write is.

    Attributes:
        url: A connection string, or a folder.
        database: Name of the database, where the store has several.
        timeout_s: Seconds until the backend gives up a store that it cannot reach.
        mode: Blocking or async.
        durability: ``full``: a write that returned survives a crash and a power cut. ``fast``: a crash or a power cut
            may lose it.
        operation_timeout_s: Seconds that one operation may take, including the election of a new primary.
        transfer_timeout_s: Seconds without progress until the transfer of a file's content is given up.

    Example:
        >>> StoreLocation(url="store://user:password@host", database="d", timeout_s=4, mode="blocking")
        StoreLocation(database='d', mode='blocking')
    """

    url: str
    database: str
    timeout_s: float
    mode: Mode
    durability: Durability = "full"
    operation_timeout_s: float = 30.0
    transfer_timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"StoreLocation(database={self.database!r}, mode={self.mode!r})"  # the URL may hold a password


@dataclass(frozen=True)
class Backend:
    """The repositories of one store.

    ``warnings``, if a store has it, returns a sentence for each thing that endangers acknowledged writes in this store;
    it raises an error if the store is not there, and makes none.

    Example:
        >>> from dcm_processor_service.testing import MemoryStore
        >>> backend = MemoryStore().backend()
        >>> backend.fillable() is backend.workspace
        True
    """

    data: DataRepository
    files: FileRepository
    jobs: JobRepository
    peers: PeerRepository
    dicom: DicomRepository
    sessions: SessionRepository
    workspace: WorkspaceRepository | None = None
    documents: PlatformDocuments | None = None
    warnings: Callable[[], Coroutine[Any, Any, list[str]]] | None = None

    def fillable(self) -> WorkspaceRepository:
        """Returns the repository that fills this store.

        Raises:
            ConfigurationError: Only the platform fills this store: it has no such repository.
        """
        if self.workspace is None:
            raise ConfigurationError(
                "this store is filled by the platform alone; a workspace is a store of sqlite, memory or mongodb"
            )
        return self.workspace


BackendOpener: TypeAlias = "Callable[[StoreLocation, Offload], AbstractContextManager[Backend]]"
"""Opens a store; leaving the context manager closes it. Must not connect before the first use."""
