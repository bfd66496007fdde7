"""One series of the job: its headers, its datasets, its files, its volume."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.disk import file_faults, file_sha256, write_whole
from dcm_processor_service.errors import DicomError, InvalidSeriesError, SeriesNotFoundError
from dcm_processor_service.hypertext import element, notebook, picture
from dcm_processor_service.models.imaging import series_html
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.ports import require_scan
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import Instance, SeriesRecord, SeriesReport
    from dcm_processor_service.models.nifti import Engine, NiftiFiles, Policy, Sidecar
    from dcm_processor_service.ports import DicomRepository, NiftiConverter, Offload
    from dcm_processor_service.session.functions import ImagingFunctions
    from dcm_processor_service.session.scratch import Scratch

__all__ = ["AsyncDicomSeries", "DicomSeries", "SeriesTools"]


@dataclass(frozen=True)
class SeriesTools:
    """What a series needs besides its store; functions and converter are made at their first use."""

    imaging: Callable[[], ImagingFunctions]
    converter: Callable[[], NiftiConverter]
    scratch: Scratch
    offload: Offload


class AsyncDicomSeries:
    """One series, for asynchronous callbacks; :class:`DicomSeries` explains it.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context, synthetic_series
        >>> async def numbers(ctx):
        ...     series = await ctx.session.dicom.get_series()
        ...     return [int(dataset.InstanceNumber) async for dataset in series.datasets()]
        >>> asyncio.run(numbers(fake_async_context(series=synthetic_series(slices=3))))
        [1, 2, 3]
    """

    def __init__(self, info: SeriesRecord, repository: DicomRepository, tools: SeriesTools) -> None:
        self.info = info
        self._repository = repository
        self._tools = tools
        self._paths: list[Path] | None = None
        self._turns = tools.offload.turns()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.series_instance_uid})"

    @property
    def id(self) -> str:
        """The platform's id of the series."""
        return self.info.id

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return self.info.series_instance_uid

    async def instances(self) -> list[Instance]:
        """Lists the stored files; see :meth:`DicomSeries.instances`."""
        return await self._repository.instances(self.info)

    async def instance_count(self) -> int:
        """Counts the stored files; see :meth:`DicomSeries.instance_count`."""
        return len(await self.instances())

    async def checksum(self) -> str:
        """Returns a digest of the series; see :meth:`DicomSeries.checksum`."""
        lines = []
        async for instance, content in self._repository.fetch(await self.instances()):
            digest = await self._tools.offload(partial(_digest, content))
            lines.append(f"{instance.sop_instance_uid} {digest}")
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    async def headers(self) -> list[Dataset]:
        """Reads everything but pixels; see :meth:`DicomSeries.headers`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: [self._tools.imaging().header(path) for path in paths])

    async def datasets(self) -> AsyncIterator[Dataset]:
        """Reads one dataset after the other; see :meth:`DicomSeries.datasets`."""
        for path in await self.paths():
            yield await self._tools.offload(partial(self._tools.imaging().dataset, path))

    async def paths(self) -> list[Path]:
        """Returns the series as files in slice order; see :meth:`DicomSeries.paths`."""
        if self._paths is not None:
            await self._tools.offload(partial(_require_scans, self._paths))
            return list(self._paths)
        async with self._turns.turn():
            if self._paths is None:
                unordered = await self._materialise()
                self._paths = await self._tools.offload(lambda: self._tools.imaging().order(unordered))
        return list(self._paths)

    async def _materialise(self) -> list[Path]:
        """Brings every file of the series to this machine's disk, when it is not there already."""
        return await materialise(self.info, await self.instances(), self._repository, self._tools)

    async def export(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Copies the series into a folder; see :meth:`DicomSeries.export`."""
        target = Path(directory)
        paths = await self.paths()
        width = max(4, len(str(len(paths))))
        names = [f"{position:0{width}}.dcm" for position in range(1, len(paths) + 1)]

        def copy() -> list[Path]:
            return [_copy_complete(source, target / name) for source, name in zip(paths, names, strict=True)]

        return await self._tools.offload(copy)

    async def inspect(self) -> SeriesReport:
        """Says what the series is; see :meth:`DicomSeries.inspect`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().inspect(paths))

    async def preview(self) -> bytes:
        """Draws a contact sheet; see :meth:`DicomSeries.preview`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().preview(paths))

    async def volumes(self, policy: Policy = "split", *, max_gap_mm: float | None = None) -> tuple[Volume, ...]:
        """Reads all volumes; see :meth:`DicomSeries.volumes`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().volumes(paths, policy, max_gap_mm))

    async def volume(self, policy: Policy = "strict", *, max_gap_mm: float | None = None) -> Volume:
        """Reads the volume; see :meth:`DicomSeries.volume`."""
        volumes = await self.volumes(policy, max_gap_mm=max_gap_mm)
        if len(volumes) == 1:
            return volumes[0]
        names = ", ".join(volume.name for volume in volumes)
        raise InvalidSeriesError(
            f"the series {self.series_instance_uid} holds {len(volumes)} volumes ({names}); read them with "
            "series.volumes(), or take one with policy='largest'"
        )

    async def to_nifti(
        self,
        path: str | os.PathLike[str],
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
    ) -> NiftiFiles:
        """Writes the series as NIfTI; see :meth:`DicomSeries.to_nifti`."""
        target = Path(path)
        paths = await self.paths()
        convert = partial(self._tools.converter().convert, engine=engine, policy=policy, sidecar=sidecar)
        return await self._tools.offload(lambda: convert(paths, target, max_gap_mm=max_gap_mm))


async def materialise(
    info: SeriesRecord, instances: Sequence[Instance], repository: DicomRepository, tools: SeriesTools
) -> list[Path]:
    """Brings instances of a series to this machine's disk, where they are not there already; in the order given.

    Raises:
        SeriesNotFoundError: There are none.
        InvalidSeriesError: Some went meanwhile.
    """
    if not instances:
        raise SeriesNotFoundError(f"the series {info.series_instance_uid} has no stored instances")
    need_bytes = sum(instance.size_bytes for instance in instances)
    folder: Path | None = None
    paths = []
    async for instance, content in repository.fetch(instances):
        if isinstance(content, Path):
            paths.append(content)
            continue
        if folder is None:
            folder = tools.scratch.folder(file_stem(info.id), need_bytes)
        path = folder / f"{file_stem(instance.id)}.dcm"
        await tools.offload(partial(_write, path, content))
        paths.append(path)
    if len(paths) != len(instances):
        raise InvalidSeriesError(
            f"the store gave {len(paths)} of {len(instances)} instances of the series {info.series_instance_uid}; "
            "is the session being cleaned up?"
        )
    return paths


def _require_scans(paths: Iterable[Path]) -> None:
    """Refuses files that went since they were looked at: a scan that was moved, a copy that ended with its job."""
    for path in paths:
        require_scan(path)


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole: another object for the same series may be reading it."""
    with write_whole(path, private=True) as file:
        file.write(content)


def _copy_complete(source: Path, target: Path) -> Path:
    """Copies unless the same content is there already; the name appears when the copy is complete."""
    with file_faults(target, "written"):
        if target.is_file() and target.read_bytes() == source.read_bytes():
            return target
    with write_whole(target) as sink, source.open("rb") as content:
        shutil.copyfileobj(content, sink)
    return target


class DicomSeries:
    """One series of the job.

    Its files are brought to this machine once, in bulk, when they are first needed.

    Example:
        >>> import tempfile
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> series = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series()
        >>> [int(header.InstanceNumber) for header in series.headers()]
        [1, 2, 3]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in series.export(folder)]
        ['0001.dcm', '0002.dcm', '0003.dcm']
    """

    def __init__(self, series: AsyncDicomSeries) -> None:
        self._async = series

    def __repr__(self) -> str:
        return f"DicomSeries({self.series_instance_uid})"

    @property
    def info(self) -> SeriesRecord:
        """What the platform knows of the series."""
        return self._async.info

    @property
    def id(self) -> str:
        """The platform's id of the series."""
        return self._async.id

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return self._async.series_instance_uid

    def instances(self) -> list[Instance]:
        """Lists the stored files in the order in which they arrived."""
        return run_inline(self._async.instances())

    def instance_count(self) -> int:
        """Counts the stored files."""
        return run_inline(self._async.instance_count())

    def checksum(self) -> str:
        """Returns the SHA-256 of the UIDs and contents of all instances, in hexadecimal, whatever their order.

        Raises:
            StoredFileNotFoundError: A file is gone.
        """
        return run_inline(self._async.checksum())

    def headers(self) -> list[Dataset]:
        """Reads every instance up to its pixel data, in slice order.

        Raises:
            InvalidSeriesError: A file is no DICOM file or is cut off; the message names the instance.
        """
        return run_inline(self._async.headers())

    def datasets(self) -> Iterator[Dataset]:
        """Reads one whole dataset after the other, in slice order; one is in memory at a time."""
        return iterate_inline(self._async.datasets())

    def paths(self) -> list[Path]:
        """Returns the series as files in slice order, to be read and not changed; they go when the job ends.

        Slice order is along the normal of the image plane (PS3.3, section C.7.6.2.1.1), then by time, then by
        InstanceNumber.

        Every method that reads files raises the same errors.

        Raises:
            SeriesNotFoundError: No instance of it is stored.
            StoredFileNotFoundError: A file was moved or removed since it was stored; the message names it.
            InvalidSeriesError: A file is no DICOM file, or ends inside its header.
        """
        return run_inline(self._async.paths())

    def export(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Copies the series into a folder, as ``0001.dcm``, ``0002.dcm``… in slice order; gives the paths.

        Files that are there already with the same content are kept, so an interrupted export goes on where it was.

        Raises:
            LocalFileError: The folder cannot be written.
        """
        return run_inline(self._async.export(directory))

    def inspect(self) -> SeriesReport:
        """Says what the series is, before anything is converted: kind, shape, spacing, orientation, findings.

        Readable as text (``print(report)``), as a pydantic model and as JSON (``report.model_dump_json()``).
        """
        return run_inline(self._async.inspect())

    def preview(self) -> bytes:
        """Draws a contact sheet as PNG: three planes and a grid of slices, with no patient text on it.

        Raises:
            InvalidSeriesError: The series holds no image that can be shown.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> sheet = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().preview()
            >>> sheet[1:4]
            b'PNG'
        """
        return run_inline(self._async.preview())

    def volume(self, policy: Policy = "strict", *, max_gap_mm: float | None = None) -> Volume:
        """Reads the series as one volume: its voxels, rescaled, with their place in the patient (LPS).

        Args:
            policy: What to do when it is not one uniform volume or clean 4D stack: ``strict`` refuses it,
                ``largest`` takes the largest part, ``resample`` fills gaps and sets a tilted stack upright.
            max_gap_mm: The widest gap between slices that ``resample`` fills, with slices that ``volume.invented``
                names; None for two median steps.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here; the message names the remedy.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> volume = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().volume()
            >>> volume.shape, volume.spacing_mm, str(volume.array.dtype)
            ((16, 16, 3), (1.0, 1.0, 2.0), 'int16')
        """
        return run_inline(self._async.volume(policy, max_gap_mm=max_gap_mm))

    def volumes(self, policy: Policy = "split", *, max_gap_mm: float | None = None) -> tuple[Volume, ...]:
        """Reads all volumes of the series, named, in stable order; errors are those of :meth:`volume`."""
        return run_inline(self._async.volumes(policy, max_gap_mm=max_gap_mm))

    def to_nifti(
        self,
        path: str | os.PathLike[str],
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
    ) -> NiftiFiles:
        """Writes the series as ``.nii`` or ``.nii.gz``, in RAS as NIfTI has it, with a JSON sidecar.

        The series is inspected first; the result says which engine ran and why.

        Args:
            path: The file; several volumes get names of their own beside it.
            engine: ``auto``, or one by name.
            policy: As in :meth:`volume`, and ``split``: every part in a file of its own.
            sidecar: ``bids`` (no patient attributes), ``simplified`` (the whole header) or ``none``.
            max_gap_mm: As in :meth:`volume`.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            NiftiConversionError: The engine gave no usable result.
            UnsupportedTransferSyntaxError: No engine here can decode its pixels.
        """
        return run_inline(
            self._async.to_nifti(path, engine=engine, policy=policy, sidecar=sidecar, max_gap_mm=max_gap_mm)
        )

    def _repr_png_(self) -> bytes | None:
        try:
            return self.preview()
        except DicomError:  # the report says why there is nothing to show
            return None

    def _repr_html_(self) -> str:
        sheet = self._repr_png_()
        shown = [] if sheet is None else [element("figure", picture(sheet, "contact sheet"))]
        return notebook(series_html(self.inspect()), *shown)


def _digest(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
