"""One series of the job: its headers, its datasets, its files, its volume."""

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
from dcm_processor_service.errors import DicomError, InvalidSeriesError, SeriesNotFoundError
from dcm_processor_service.hypertext import element, notebook, picture
from dcm_processor_service.models import SeriesRecord, SubjectLevel
from dcm_processor_service.models.images.series_report import series_html
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.ports import require_scan
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.finding import Finding
    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.imaging.series.heads import SeriesHeads
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import Instance, SeriesReport
    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles, Policy, Sidecar
    from dcm_processor_service.ports import DicomRepository, NiftiConverter, Offload
    from dcm_processor_service.session.functions import ImagingFunctions, ReadingFunctions
    from dcm_processor_service.session.scratch import Scratch

__all__ = ["AsyncDicomSeries", "DicomSeries", "SeriesTools"]

T = TypeVar("T")


@dataclass(frozen=True)
class SeriesTools:
    """What a series needs besides its store; functions and converter are made at their first use."""

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
        """Reads the beginnings of the files, where these tell everything; else returns the files, in any order."""
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
        """Brings every file of the series to this machine's disk, when it is not there already."""
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

    async def segments(self, like: Volume | AsyncDicomSeries | DicomSeries | None = None) -> tuple[StructureMask, ...]:
        """Reads SEG and RTSTRUCT; see :meth:`DicomSeries.segments`."""
        paths = await self.paths()
        images: Sequence[Path] = ()
        if like is None and (uid := await self._tools.offload(lambda: self._tools.reading().images_needed(paths))):
            images = await self._images(uid)
        place = await _paths_of(like) if isinstance(like, (AsyncDicomSeries, DicomSeries)) else like
        return await self._tools.offload(lambda: self._tools.reading().segments(paths, place, images))

    async def _images(self, uid: str) -> list[Path]:
        """Returns the files of the images that a structure set was drawn on."""
        found = await self._repository.find(SubjectLevel.SERIES, uid)
        if not isinstance(found, SeriesRecord):
            raise SeriesNotFoundError(
                f"the structure set {self.series_instance_uid} was drawn on the series {uid}, which is not stored, and "
                "contours without images are no masks: give its images, or a volume on their grid, as like="
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


async def _paths_of(series: AsyncDicomSeries | DicomSeries) -> list[Path]:
    return await series.paths() if isinstance(series, AsyncDicomSeries) else series.paths()


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
        """The platform's record of the series."""
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
        """Reads every instance up to its pixel data, in slice order; of a stored file the beginning, if that will do.

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
        """Describes the series before anything is converted: kind, shape, spacing, orientation, findings.

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

    def volume(self, policy: Policy = "strict", *, max_gap_mm: float | None = None, verify: bool = False) -> Volume:
        """Reads the series as one volume: its voxels, rescaled, with their place in the patient (LPS).

        Args:
            policy: What to do when it is not one uniform volume or clean 4D stack: ``strict`` refuses it,
                ``largest`` takes the largest part, ``resample`` fills gaps and sets a tilted stack upright.
            max_gap_mm: The widest gap between slices that ``resample`` fills, with slices that ``volume.invented``
                names; None for two median steps.
            verify: Read only what dcm2niix reads alike, every voxel at its place in the patient.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            NiftiConversionError: With ``verify``: the two readings differ; says in what.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here; the message names the remedy.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> volume = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().volume()
            >>> volume.shape, volume.spacing_mm, str(volume.array.dtype)
            ((16, 16, 3), (1.0, 1.0, 2.0), 'int16')
        """
        return run_inline(self._async.volume(policy, max_gap_mm=max_gap_mm, verify=verify))

    def volumes(self, policy: Policy = "split", *, max_gap_mm: float | None = None) -> tuple[Volume, ...]:
        """Reads all volumes of the series, named, in stable order; errors are those of :meth:`volume`."""
        return run_inline(self._async.volumes(policy, max_gap_mm=max_gap_mm))

    def to_source(self, voxels: Voxels) -> SourceSlices:
        """Brings a mask or label map from another grid to the scanner's own slices, where ``derive`` takes it.

        For what was found on a volume that was resampled, split, or read with policy ``resample``: each voxel of a
        slice gets the value of the voxel in which its centre lies in the patient (LPS mm), and 0 beyond the grid. A
        part of the series (policy ``split``) goes to its own slices alone. What lies between two slices alone is lost,
        and the log tells of labels that are.

        Args:
            voxels: Shape (i, j, k): a Volume (``volume.like(array)``), a NIfTI image or file, or an image of SimpleITK.

        Returns:
            All slices of the series, each where its header says, also where they are uneven or tilted.

        Raises:
            DerivedObjectError: The voxels do not say where they lie, or lie elsewhere; or the series has no slices in
                space, or several stacks of slices and nothing says which.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=3))
            >>> series = ctx.session.dicom.get_series()
            >>> fine = series.volume().resample(0.5)
            >>> mask = series.to_source(fine.like(fine.array > 0))
            >>> ctx.session.dicom.derive.rtstruct({"bone": mask}, like=series).Modality
            'RTSTRUCT'
        """
        return run_inline(self._async.to_source(voxels))

    def to_nifti(
        self,
        path: str | os.PathLike[str],
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
        verify: bool = False,
    ) -> NiftiFiles:
        """Writes the series as ``.nii`` or ``.nii.gz``, in RAS as NIfTI has it, with a JSON sidecar.

        The series is inspected first; the result says which engine ran and why.

        Args:
            path: The file; several volumes get names of their own beside it.
            engine: ``auto``, or one by name.
            policy: As in :meth:`volume`, and ``split``: every part in a file of its own.
            sidecar: ``bids`` (no patient attributes), ``simplified`` (the whole header) or ``none``.
            max_gap_mm: As in :meth:`volume`.
            verify: As in :meth:`volume`.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            NiftiConversionError: The engine gave no usable result.
            UnsupportedTransferSyntaxError: No engine here can decode its pixels.
        """
        return run_inline(
            self._async.to_nifti(
                path, engine=engine, policy=policy, sidecar=sidecar, max_gap_mm=max_gap_mm, verify=verify
            )
        )

    def segments(self, like: Volume | AsyncDicomSeries | DicomSeries | None = None) -> tuple[StructureMask, ...]:
        """Reads the segments of a SEG, or the structures of an RTSTRUCT, of any vendor, each with its mask.

        A segment is where its own frames say: segments may overlap or be empty. Contours are filled by the even-odd
        rule, so that one within another is a hole. What cannot be placed without guessing is refused: another frame of
        reference, contours between slices, across them or over each other, frames on no regular grid.

        Args:
            like: The images or the volume on whose grid masks are put: voxel by voxel where they lie on it, else the
                nearest of a SEG's voxels; contours lie on its slices. None: a SEG's masks have a grid of its own, in
                which empty slices may be left out at both ends, and contours that of the images they were drawn on.

        Raises:
            InvalidSeriesError: The series holds no segments, contradicts itself, or cannot be placed.
            SeriesNotFoundError: The images that contours were drawn on are not stored.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.

        Example:
            >>> import numpy as np
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> images = synthetic_series(slices=3)
            >>> mask = np.zeros((16, 16, 3), bool)
            >>> mask[4:8, 4:8, 1] = True
            >>> made = fake_context(series=images).session.dicom.derive.segmentation({"liver": mask}, like=images)
            >>> dicom = fake_context(series=[*images, made]).session.dicom
            >>> ct, seg = dicom.series()
            >>> (liver,) = seg.segments(like=ct)
            >>> liver.code.meaning, bool((liver.mask().array == mask).all())
            ('Liver', True)
        """
        return run_inline(self._async.segments(like))

    def measurements(self) -> dict[str, Finding]:
        """Reads the findings of measurement reports after TID 1500, of any vendor, by their tracking identifier.

        They are what ``dicom.derive.measurement_report`` takes. Of another vendor's report a quantity with modifiers
        is called after both, such as ``Attenuation Coefficient, Mean``; regions and time points are not read.

        Raises:
            InvalidSeriesError: The series holds no such report, or is damaged.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> images = synthetic_series(slices=3)
            >>> derive = fake_context(series=images).session.dicom.derive
            >>> report = derive.measurement_report({"liver": {"Volume": (1520.5, "ml")}}, like=images)
            >>> findings = fake_context(series=[report]).session.dicom.get_series().measurements()
            >>> findings["liver"].finding.meaning, findings["liver"].measurements
            ('Liver', {'Volume': (1520.5, 'ml')})
        """
        return run_inline(self._async.measurements())

    def text(self) -> str:
        """Reads structured reports as text: the content tree, an item a line, indented by its depth.

        It is what the report says, and may name persons.

        Raises:
            InvalidSeriesError: The series holds no structured report, or is damaged; a PDF is read by
                :meth:`documents`.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> images = synthetic_series(slices=3)
            >>> report = fake_context(series=images).session.dicom.derive.text_report("No nodules.", like=images)
            >>> print(fake_context(series=[report]).session.dicom.get_series().text())
            Diagnostic imaging report
            ...
              Findings
                Finding: No nodules.
        """
        return run_inline(self._async.text())

    def documents(self) -> tuple[bytes, ...]:
        """Returns the bytes of encapsulated documents such as PDF, one for each instance, in slice order.

        What is in them is not read: text in a PDF takes a library of your own.

        Raises:
            InvalidSeriesError: The series wraps no documents, or is damaged.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> images = synthetic_series(slices=3)
            >>> made = fake_context(series=images).session.dicom.derive.pdf(b"%PDF-1.4 ...", like=images)
            >>> fake_context(series=[made]).session.dicom.get_series().documents()
            (b'%PDF-1.4 ...',)
        """
        return run_inline(self._async.documents())

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
