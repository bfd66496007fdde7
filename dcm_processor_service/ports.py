"""What stands between the facades and the world: one small Protocol for each kind of store or tool.

Repositories store, fetch and list; they decide nothing. Absence is ``None`` or ``False``, never an exception. Methods
of repositories are ``async def``: in the blocking world they never suspend, in the asynchronous world they await a
driver or a thread (see :class:`Offload`). Tools that compute (reader, converter) are ordinary functions, and the facade
offloads them.

Write an own backend by implementing the repositories and returning a :class:`Backend` from a context manager; name it
in the entry-point group ``dcm_processor_service.backends``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from dcm_processor_service._blocking import run_inline

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

    from pydicom import Dataset

    from dcm_processor_service.imaging.volume import Volume
    from dcm_processor_service.models import (
        AcceptedContext,
        EchoResult,
        Instance,
        InstanceRecord,
        Job,
        JobOutput,
        Patient,
        Peer,
        SendOptions,
        SendReport,
        Series,
        SeriesReport,
        StoredFile,
        Study,
        SubjectLevel,
    )

__all__ = [
    "ABSENT",
    "ANY",
    "MISSING",
    "Backend",
    "BackendOpener",
    "Colour",
    "DataRepository",
    "DicomReader",
    "DicomRepository",
    "DicomSender",
    "Engine",
    "FileFormats",
    "FileRepository",
    "Found",
    "JobKey",
    "JobRepository",
    "NewFile",
    "NiftiConverter",
    "NiftiFiles",
    "NiftiVolume",
    "NormalValue",
    "Offload",
    "PeerRepository",
    "Policy",
    "Sendable",
    "Sentinel",
    "Sidecar",
    "StoreLocation",
    "VolumeReader",
    "WorkspaceRepository",
    "in_thread",
    "inline",
]

T = TypeVar("T")

NormalValue: TypeAlias = Any
"""A value in the normal form of :mod:`dcm_processor_service.codec`."""

Colour: TypeAlias = Literal["blocking", "async"]


class Sentinel:
    """A value that stands for itself alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ANY = Sentinel("ANY")
"""As an expected value: whatever is stored, or nothing."""

ABSENT = Sentinel("ABSENT")
"""As an expected value: nothing is stored."""

MISSING = Sentinel("MISSING")
"""As a default: there is none."""


class Offload(Protocol):
    """Runs blocking work: in place in the blocking world, in a thread in the asynchronous one."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Runs ``work`` and gives its result."""

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        """Gives a function by which offloaded work runs a coroutine of the session, and waits for it."""


class _Inline:
    async def __call__(self, work: Callable[[], T], /) -> T:
        return work()

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        return run_inline


class _InThread:
    async def __call__(self, work: Callable[[], T], /) -> T:
        return await asyncio.to_thread(work)

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        loop = asyncio.get_running_loop()
        return lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()


inline: Offload = _Inline()
"""Runs blocking work where it is called; never suspends."""

in_thread: Offload = _InThread()
"""Runs blocking work in a thread of the event loop's pool."""


@dataclass(frozen=True)
class JobKey:
    """The drawer that data and files of one job lie in."""

    session_id: str
    job_id: str


@dataclass(frozen=True)
class Found:
    """A stored value; told apart from nothing stored, since None is a value too."""

    value: NormalValue


@dataclass(frozen=True)
class NewFile:
    """What accompanies the content of a file that is put."""

    content_type: str
    metadata: Mapping[str, NormalValue]


class DataRepository(Protocol):
    """Named values of a job."""

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Gives the value, in one round trip."""

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores the value atomically, when what is stored equals ``expected``; says whether it did."""

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a stored number, starting from 0, atomically; gives the sum, or None when no number is stored."""

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value; says whether there was one."""

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists names in order; with their values, or with None for each."""


class FileRepository(Protocol):
    """Named files of a job. Replacing is atomic: a reader sees the old content or the new."""

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Stores all that is left in ``source`` under the name."""

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Gives what is known of the file."""

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink`` (seekable, at its start), following a replacement that happens meanwhile."""

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the file; says whether there was one."""

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""


class JobRepository(Protocol):
    """Jobs of the queue."""

    async def find(self, job_id: str) -> Job | None:
        """Gives one job."""

    async def collect(self, session_id: str, job_name: str, data_name: str) -> list[JobOutput]:
        """Gives every job of the name with its value under ``data_name``, in one round trip."""

    async def list(self, session_id: str) -> list[Job]:
        """Lists all jobs of a session, oldest first."""


class PeerRepository(Protocol):
    """DICOM nodes."""

    async def get(self, peer_id: str) -> Peer | None:
        """Gives the node that sent images, by the platform's id."""

    async def find(self, name: str) -> Peer | None:
        """Gives a node by name: of those that results are sent to first, then of those that send."""

    async def list(self) -> list[Peer]:
        """Lists all nodes by name."""


class DicomRepository(Protocol):
    """Patients, studies, series and their files."""

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | Series | None:
        """Gives one object by the platform's id, or by its ``uid``."""

    async def children(self, parent: Patient | Study) -> list[Study] | list[Series]:
        """Lists the studies of a patient or the series of a study, in the order in which they arrived."""

    async def instances(self, series: Series) -> list[Instance]:
        """Lists the files of a series, in the order in which they arrived."""

    def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Gives each file in the order asked for: its content, or the path where it lies and must not be changed.

        Reads many at a time, in few round trips, with bounded memory.
        """


class WorkspaceRepository(Protocol):
    """What the platform does for its own store, for stores without one: a laptop's workspace, a test's memory."""

    async def add_subject(self, subject: Patient | Study | Series, peer_id: str = "") -> None:
        """Files a patient, study or series, in place of the one with its id."""

    async def add_instance(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        """Files one DICOM file of a series that was added."""

    async def add_job(self, job: Job) -> None:
        """Files a job, in place of the one with its id."""

    async def add_peer(self, peer: Peer) -> None:
        """Files a node, in place of the one with its name."""


class FileFormats(Protocol):
    """Turns values into files and back, by the extension of the name; ordinary functions, which the facade offloads."""

    def write(self, value: object, path: Path) -> None:
        """Writes a value.

        Raises:
            UnsupportedValueError: The extension is none of those known, or the value does not fit it.
        """

    def read(self, path: Path) -> Any:
        """Reads a value that does not depend on the file afterwards.

        Raises:
            UnsupportedValueError: The extension is none of those known.
            StoredValueError: The content is not what the extension says.
        """


class DicomReader(Protocol):
    """Reads DICOM files; ordinary functions, which the facade offloads."""

    def header(self, path: Path) -> Dataset:
        """Reads a file up to its pixel data.

        Raises:
            InvalidSeriesError: The file is no DICOM file or is cut off.
        """

    def order(self, paths: Sequence[Path]) -> list[Path]:
        """Gives the files of one series in slice order: along the normal, then by time, then by InstanceNumber."""

    def datasets(self, paths: Sequence[Path]) -> Iterator[Dataset]:
        """Reads whole files, one at a time."""


@dataclass(frozen=True)
class NiftiVolume:
    """One image that a conversion wrote."""

    path: Path
    name: str
    """What tells it apart from the others, such as ``echo-2``; empty when it is the only one."""

    shape: tuple[int, ...]
    """(i, j, k) or (i, j, k, t)."""

    affine_ras: tuple[tuple[float, ...], ...]
    """Four rows of four: (i, j, k, 1) to mm in RAS."""


@dataclass(frozen=True)
class NiftiFiles:
    """What a conversion wrote."""

    paths: tuple[Path, ...]
    """The images, in stable order; the first is, or stands for, the destination that was asked for."""

    engine: str
    reason: str
    sidecars: tuple[Path, ...] = ()
    """What lies beside them: ``.json``, and for diffusion ``.bval`` and ``.bvec``."""

    volumes: tuple[NiftiVolume, ...] = ()
    report: SeriesReport | None = None


Engine: TypeAlias = Literal["auto", "native", "dcm2niix", "dicom2nifti"]
"""Who converts DICOM to NIfTI; ``auto`` chooses by what the series is, and says why."""

Policy: TypeAlias = Literal["strict", "split", "largest", "resample"]
"""What to do with a series that is not one clean volume: refuse it, give every part, the largest, or resample."""

Sidecar: TypeAlias = Literal["bids", "simplified", "none"]
"""The JSON beside a NIfTI file: BIDS names without patient attributes, the whole header, or nothing."""


class NiftiConverter(Protocol):
    """Turns the files of one series into NIfTI; an ordinary function, which the facade offloads."""

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
    ) -> NiftiFiles:
        """Writes ``destination`` (``.nii`` or ``.nii.gz``).

        Raises:
            InvalidSeriesError: The series is not one volume; carries the report.
            NiftiConversionError: The converter gave no usable result.
        """


class VolumeReader(Protocol):
    """Says what a series is, and reads its voxels; ordinary functions, which the facade offloads."""

    def inspect(self, paths: Sequence[Path]) -> SeriesReport:
        """Says what the files of one series are, from their headers."""

    def read(self, paths: Sequence[Path], policy: Policy) -> tuple[Volume, ...]:
        """Reads the volumes that the policy finds, in stable order.

        Raises:
            InvalidSeriesError: The policy refuses the series; carries the report.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.
        """


Sendable: TypeAlias = "Dataset | str | os.PathLike[str]"
"""Something to send: a dataset, a DICOM file, a DICOMDIR, or a folder with DICOM files somewhere below."""


class DicomSender(Protocol):
    """Sends instances to DICOM nodes; ordinary functions, which the facade offloads."""

    def send(
        self,
        items: Sendable | Iterable[Sendable],
        peer: Peer,
        *,
        options: SendOptions = ...,
        acknowledged: Mapping[str, InstanceRecord] = ...,
        on_record: Callable[[InstanceRecord], None] | None = None,
        cancelled: Callable[[], bool] = ...,
    ) -> SendReport:
        """Sends what is not acknowledged yet; tells ``on_record`` of each instance, asks ``cancelled`` before each.

        Raises:
            SendRejectedError: Not everything was stored, and ``options.check`` is set.
            PeerUnreachableError: No association, or none any more.
            ConfigurationError: A certificate file of the peer is unusable.
        """

    def identify(self, items: Sendable | Iterable[Sendable]) -> list[str]:
        """Gives the SOPInstanceUIDs of what would be sent."""

    def echo(self, peer: Peer, *, options: SendOptions = ...) -> EchoResult:
        """Asks a node whether it is there."""

    def probe(self, peer: Peer, *, options: SendOptions = ...) -> list[AcceptedContext]:
        """Asks a node which kinds of objects it takes."""

    def check(self, peer: Peer) -> None:
        """Reads the certificate files of a node.

        Raises:
            ConfigurationError: One of them is unusable.
        """


@dataclass(frozen=True)
class StoreLocation:
    """Where a backend finds its store, and how patient it is."""

    url: str
    database: str
    timeout_s: float
    colour: Colour

    def __repr__(self) -> str:
        return f"StoreLocation(database={self.database!r}, colour={self.colour!r})"  # the URL may hold a password


@dataclass(frozen=True)
class Backend:
    """The repositories of one store."""

    data: DataRepository
    files: FileRepository
    jobs: JobRepository
    peers: PeerRepository
    dicom: DicomRepository
    workspace: WorkspaceRepository | None = None


BackendOpener: TypeAlias = "Callable[[StoreLocation, Offload], AbstractContextManager[Backend]]"
"""Opens a store; leaving the context manager closes it. Must not connect before the first use."""
