"""One series of the job, for asynchronous callbacks; :mod:`.series`, for blocking ones, explains it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dcm_processor_service.disk import file_faults, file_sha256, write_whole
from dcm_processor_service.errors import InvalidSeriesError, SeriesNotFoundError
from dcm_processor_service.models import SeriesRecord, SubjectLevel
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.ports import require_scan

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.reports.finding import Finding
    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.imaging.series.heads import SeriesHeads
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import Instance, SeriesReport
    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles, Policy, Sidecar
    from dcm_processor_service.ports import DicomRepository, NiftiConverter, Offload
    from dcm_processor_service.session.functions import ImagingFunctions, ReadingFunctions
    from dcm_processor_service.session.scratch import Scratch

__all__ = ["AsyncDicomSeries", "SeriesTools", "materialise"]

T = TypeVar("T")


@dataclass(frozen=True)
class SeriesTools:
    """The tools that a series uses besides its store; functions and converter are made at first use."""

    imaging: Callable[[], ImagingFunctions]
    reading: Callable[[], ReadingFunctions]
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
        found = await self._beginnings(keeps_datasets=True)
        if isinstance(found, list):
            return list(await self._tools.offload(lambda: self._tools.imaging().headers(found)))
        return list(await self._tools.offload(found.headers))

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

    async def _beginnings(self, *, keeps_datasets: bool) -> SeriesHeads | list[Path]:
        """Reads the first bytes of the files if these are enough; otherwise returns the files, in any order."""
        if self._paths is not None:
            return await self.paths()
        instances = await self._stored()
        heads = self._tools.imaging().heads(keeps_datasets)
        on_disk: list[Path] = []
        begun = 0
        async with _closing(self._repository.fetch_heads(instances)) as beginnings:
            async for instance, content in beginnings:
                if isinstance(content, Path):
                    on_disk.append(content)
                    continue
                name, size_bytes = Path(f"{file_stem(instance.id)}.dcm"), instance.size_bytes or len(content)
                if not await self._tools.offload(partial(heads.add, name, content, size_bytes)):
                    break
                begun += 1
        if len(on_disk) == len(instances):
            return on_disk
        return heads if begun == len(instances) else await self.paths()

    async def _stored(self) -> list[Instance]:
        instances = await self.instances()
        if not instances:
            raise SeriesNotFoundError(f"the series {self.series_instance_uid} has no stored instances")
        return instances

    async def _materialise(self) -> list[Path]:
        """Copies every file of the series to this machine's disk, unless it is there already."""
        return await materialise(self.info, await self._stored(), self._repository, self._tools)

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
        """Describes the series; see :meth:`DicomSeries.inspect`."""
        found = await self._beginnings(keeps_datasets=False)
        if not isinstance(found, list):
            report = await self._tools.offload(found.report)
            if report is not None:
                return report
            found = await self.paths()
        paths = found
        return await self._tools.offload(lambda: self._tools.imaging().inspect(paths))

    async def preview(self) -> bytes:
        """Draws a contact sheet; see :meth:`DicomSeries.preview`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().preview(paths))

    async def volumes(self, policy: Policy = "split", *, max_gap_mm: float | None = None) -> tuple[Volume, ...]:
        """Reads all volumes; see :meth:`DicomSeries.volumes`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().volumes(paths, policy, max_gap_mm))

    async def volume(
        self, policy: Policy = "strict", *, max_gap_mm: float | None = None, verify: bool = False
    ) -> Volume:
        """Reads the volume; see :meth:`DicomSeries.volume`."""
        if verify:
            paths = await self.paths()
            with self._tools.scratch.temporary() as folder:
                await self._tools.offload(lambda: self._tools.imaging().verify(paths, policy, folder))
        volumes = await self.volumes(policy, max_gap_mm=max_gap_mm)
        if len(volumes) == 1:
            return volumes[0]
        names = ", ".join(volume.name for volume in volumes)
        raise InvalidSeriesError(
            f"the series {self.series_instance_uid} holds {len(volumes)} volumes ({names}); read them with "
            "series.volumes(), or take one with policy='largest'"
        )

    async def to_source(self, voxels: Voxels) -> SourceSlices:
        """Brings voxels to the scanner's own slices; see :meth:`DicomSeries.to_source`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.imaging().to_source(voxels, paths))

    async def to_nifti(
        self,
        path: str | os.PathLike[str],
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
        verify: bool = False,
    ) -> NiftiFiles:
        """Writes the series as NIfTI; see :meth:`DicomSeries.to_nifti`."""
        target = Path(path)
        paths = await self.paths()
        convert = partial(self._tools.converter().convert, engine=engine, policy=policy, sidecar=sidecar)
        return await self._tools.offload(lambda: convert(paths, target, max_gap_mm=max_gap_mm, verify=verify))

    async def segments(self, like: Volume | AsyncDicomSeries | None = None) -> tuple[StructureMask, ...]:
        """Reads SEG and RTSTRUCT; see :meth:`DicomSeries.segments`."""
        paths = await self.paths()
        images: Sequence[Path] = ()
        if like is None and (uid := await self._tools.offload(lambda: self._tools.reading().images_needed(paths))):
            images = await self._images(uid)
        place = await like.paths() if isinstance(like, AsyncDicomSeries) else like
        return await self._tools.offload(lambda: self._tools.reading().segments(paths, place, images))

    async def _images(self, uid: str) -> list[Path]:
        """Returns the files of the images that a structure set was drawn on."""
        found = await self._repository.find(SubjectLevel.SERIES, uid)
        if not isinstance(found, SeriesRecord):
            raise SeriesNotFoundError(
                f"the structure set {self.series_instance_uid} was drawn on the series {uid}, which is not stored, and "
                "without them contours cannot become masks: give its images, or a volume on their grid, as like="
            )
        return await AsyncDicomSeries(found, self._repository, self._tools).paths()

    async def measurements(self) -> dict[str, Finding]:
        """Reads measurement reports; see :meth:`DicomSeries.measurements`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.reading().measurements(paths))

    async def text(self) -> str:
        """Reads structured reports as text; see :meth:`DicomSeries.text`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.reading().text(paths))

    async def documents(self) -> tuple[bytes, ...]:
        """Reads encapsulated documents; see :meth:`DicomSeries.documents`."""
        paths = await self.paths()
        return await self._tools.offload(lambda: self._tools.reading().documents(paths))


@asynccontextmanager
async def _closing(found: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Closes an iterator that was not read to its end, so that reads under way are cancelled."""
    try:
        yield found
    finally:
        if isinstance(found, AsyncGenerator):
            await found.aclose()


async def materialise(
    info: SeriesRecord, instances: Sequence[Instance], repository: DicomRepository, tools: SeriesTools
) -> list[Path]:
    """Copies instances of a series to this machine's disk, unless they are there already; keeps their order.

    Raises:
        SeriesNotFoundError: No instances are given.
        InvalidSeriesError: The store no longer has some of them.
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
    """Raises if a file no longer exists: a scan may have been moved, and copies are removed when their job ends."""
    for path in paths:
        require_scan(path)


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, because another object for the same series may be reading it."""
    with write_whole(path, private=True) as file:
        file.write(content)


def _copy_complete(source: Path, target: Path) -> Path:
    """Copies a file unless the target has the same content already; the target appears when the copy is complete."""
    with file_faults(target, "written"):
        if target.is_file() and target.read_bytes() == source.read_bytes():
            return target
    with write_whole(target) as sink, source.open("rb") as content:
        shutil.copyfileobj(content, sink)
    return target


def _digest(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
