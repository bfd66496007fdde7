"""One series of the job: its headers, its datasets, its files, its volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import DicomError
from dcm_processor_service.hypertext import element, notebook, picture
from dcm_processor_service.models.images.series_report import series_html
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.reports.finding import Finding
    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import Instance, SeriesRecord, SeriesReport
    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles, Policy, Sidecar
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries

__all__ = ["DicomSeries"]


class DicomSeries:
    """One series of the job.

    Its files are copied to this machine once, all together, when they are first needed.

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
        """Reads every instance up to its pixel data, in slice order; reads only the first bytes where these are enough.

        Raises:
            InvalidSeriesError: A file is not a DICOM file or is cut off; the message names the instance.
        """
        return run_inline(self._async.headers())

    def datasets(self) -> Iterator[Dataset]:
        """Reads one whole dataset after the other, in slice order; one is in memory at a time."""
        return iterate_inline(self._async.datasets())

    def paths(self) -> list[Path]:
        """Returns the series as files in slice order, for reading only; copies are removed when the job ends.

        Slices are ordered along the normal of the image plane (PS3.3, section C.7.6.2.1.1), then by time, then by
        InstanceNumber.

        Every method that reads files raises the same errors.

        Raises:
            SeriesNotFoundError: No instance of the series is stored.
            StoredFileNotFoundError: A file was moved or removed since it was stored; the message names it.
            InvalidSeriesError: A file is not a DICOM file, or ends inside its header.
        """
        return run_inline(self._async.paths())

    def export(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Copies the series into a folder, as ``0001.dcm``, ``0002.dcm``… in slice order; returns the paths.

        Files that are there already with the same content are kept, so that a second call continues an interrupted
        export.

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
            policy: What to do if the series is neither one regular volume nor one regular 4D stack: ``strict`` refuses
                it, ``largest`` takes the largest part, ``resample`` fills gaps and sets a tilted stack upright.
            max_gap_mm: The widest gap between slices that ``resample`` fills; ``volume.invented`` lists the slices that
                fill it. None: twice the median distance between slices.
            verify: Whether to read the series with dcm2niix as well, and to raise unless every voxel has the same value
                at the same place.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            NiftiConversionError: ``verify`` found a difference; the message says which.
            UnsupportedTransferSyntaxError: Its pixels cannot be decoded here; the message names the remedy.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> volume = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().volume()
            >>> volume.shape, volume.spacing_mm, str(volume.array.dtype)
            ((16, 16, 3), (1.0, 1.0, 2.0), 'int16')
        """
        return run_inline(self._async.volume(policy, max_gap_mm=max_gap_mm, verify=verify))

    def volumes(self, policy: Policy = "split", *, max_gap_mm: float | None = None) -> tuple[Volume, ...]:
        """Reads all volumes of the series, each with a name, always in the same order.

        Raises the errors that :meth:`volume` raises.
        """
        return run_inline(self._async.volumes(policy, max_gap_mm=max_gap_mm))

    def to_source(self, voxels: Voxels) -> SourceSlices:
        """Moves a mask or label map from another grid onto the scanner's own slices, which ``derive`` accepts.

        Use it for results on a volume that was resampled, split, or read with policy ``resample``. Each voxel of a
        slice gets the value of the input voxel that contains its centre in the patient (LPS mm), and 0 outside the
        input's grid. Voxels of one part of the series (policy ``split``) fill only the slices of that part. A region
        that lies wholly between two slices is lost; the log names labels that are lost.

        Args:
            voxels: Shape (i, j, k): a Volume (``volume.like(array)``), a NIfTI image or file, or an image of SimpleITK.

        Returns:
            All slices of the series, each at the position in its header, even if they are uneven or tilted.

        Raises:
            DerivedObjectError: The voxels have no position, or lie outside the series; or the slices of the series have
                no positions; or the series has several stacks of slices, and the voxels do not say to which of them
                they belong.

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
        """Writes the series as ``.nii`` or ``.nii.gz``, in RAS coordinates as NIfTI requires, with a JSON sidecar.

        The series is inspected first; the result says which engine ran and why.

        Args:
            path: The file. If there are several volumes, each gets a file beside it, with a name of its own.
            engine: ``auto``, or the name of an engine.
            policy: As in :meth:`volume`, or ``split``, which writes every part to a file of its own.
            sidecar: The JSON file: ``bids`` (no patient attributes), ``simplified`` (the whole header) or ``none``.
            max_gap_mm: As in :meth:`volume`.
            verify: As in :meth:`volume`.

        Raises:
            InvalidSeriesError: The policy refuses the series; ``report`` says why.
            NiftiConversionError: The engine made no usable result.
            UnsupportedTransferSyntaxError: No engine here can decode its pixels.
        """
        return run_inline(
            self._async.to_nifti(
                path, engine=engine, policy=policy, sidecar=sidecar, max_gap_mm=max_gap_mm, verify=verify
            )
        )

    def segments(self, like: Volume | DicomSeries | None = None) -> tuple[StructureMask, ...]:
        """Reads the segments of a SEG, or the structures of an RTSTRUCT, of any vendor, each with its mask.

        Each segment is placed by its own frames; segments may overlap or be empty. Contours are filled by the even-odd
        rule, so that one within another is a hole. An object is refused if it cannot be placed without guessing: if it
        is in another frame of reference, if its contours lie between slices, cross the slices or cross each other, or
        if its frames lie on no regular grid.

        Args:
            like: The images or the volume whose grid the masks get. A SEG on that grid is copied voxel by voxel; from a
                SEG on another grid the nearest voxels are taken. Contours must lie on the slices of that grid. None:
                the masks of a SEG get the SEG's own grid, which may lack empty slices at both ends; those of contours
                get the grid of the images that the contours were drawn on.

        Raises:
            InvalidSeriesError: The series holds no segments, contradicts itself, or cannot be placed.
            SeriesNotFoundError: The images that contours were drawn on are not stored.
            UnsupportedTransferSyntaxError: The pixels of the SEG cannot be decoded here.

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
        place = like._async if isinstance(like, DicomSeries) else like  # noqa: SLF001 of this class
        return run_inline(self._async.segments(place))

    def measurements(self) -> dict[str, Finding]:
        """Reads the findings of TID 1500 measurement reports, of any vendor, by their tracking identifier.

        The result has the form that ``dicom.derive.measurement_report`` takes. In another vendor's report, a quantity
        with modifiers is named after both, such as ``Attenuation Coefficient, Mean``; time points are not read.

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
        """Reads structured reports as text: each item of the content tree on a line, indented by its depth.

        Nothing is removed from the text, so that it may name persons.

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

        The documents are not parsed: to read the text of a PDF, use a PDF library.

        Raises:
            InvalidSeriesError: The series holds no documents, or is damaged.

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
