"""The series that an object is derived from, as far as its headers tell: its frames, and the grid that they lie on.

Frames of multi-frame instances count like single-frame instances: position, orientation and spacing come from their
functional groups (PS3.3, section C.7.6.16).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import cluster_positions, slice_normal, stack_affine, stack_geometry
from dcm_processor_service.imaging.headers.instance_file import contained, read_header
from dcm_processor_service.imaging.headers.values import integer, item, items, number, numbers, text
from dcm_processor_service.imaging.series.slice_order import temporal_key
from dcm_processor_service.models.derived import StudyIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["Source", "SourceFiles", "SourceFrame", "SourceGrid", "SourceSeries", "source_series"]


@dataclass(frozen=True)
class SourceFrame:
    """One image plane of the source."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    """Counts from 1 within a multi-frame instance; None for a single-frame one."""

    origin: tuple[float, ...] | None
    """ImagePositionPatient, LPS mm."""

    orientation: tuple[float, ...] | None
    """ImageOrientationPatient."""

    pixel_spacing: tuple[float, ...] | None
    """PixelSpacing in mm: between rows, between columns."""

    header: Dataset = field(repr=False)


@dataclass(frozen=True)
class SourceGrid:
    """The regular grid of a source whose slices are one stack."""

    shape: tuple[int, int, int]
    """Columns, rows, slices."""

    affine_lps: NDArray[np.float64]
    """(i, j, k, 1) to LPS mm; slices ascend along the normal. Sheared where the source is tilted."""

    slices: tuple[tuple[SourceFrame, ...], ...]
    """For each slice its frames, in the order of time."""

    is_tilted: bool


@dataclass(frozen=True)
class SourceSeries:
    """What an object is derived from: the headers of one series, and of further instances that were used.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> header = dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True)
        >>> source = SourceSeries.from_headers([header])
        >>> source.modality, source.grid.shape
        ('CT', (128, 128, 1))
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    further: tuple[Dataset, ...] = field(default=(), repr=False)

    @classmethod
    def from_headers(cls, headers: Iterable[Dataset], further: Iterable[Dataset] = ()) -> SourceSeries:
        """Takes the headers of a series (``dcmread(..., stop_before_pixels=True)``), in any order.

        Args:
            headers: One for each instance of the series that the object is like.
            further: Headers of other instances that were used, such as a second sequence; referenced as sources.

        Raises:
            DerivedObjectError: There is no header, one has no UID, or they belong to several studies or series.
        """
        own, others = tuple(headers), tuple(further)
        if not own:
            raise DerivedObjectError("a source needs the header of one instance at least: none was given")
        for header in (*own, *others):
            if not text(header, "SOPInstanceUID") or not text(header, "SOPClassUID"):
                raise DerivedObjectError(
                    "a header of the source has no SOPInstanceUID or SOPClassUID, so nothing can refer to it: omit it"
                )
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            found = {text(header, keyword) for header in own}
            if len(found) > 1 or not all(found):
                raise DerivedObjectError(
                    f"the headers of the source have {len(found)} values of {keyword}: give those of one series, "
                    "and other instances that were used as 'further'"
                )
        return cls(own, others)

    @property
    def first(self) -> Dataset:
        """The header that patient and study are taken from."""
        return self.headers[0]

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return text(self.first, "Modality")

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016) of the first instance."""
        return text(self.first, "SOPClassUID")

    @property
    def frame_of_reference_uid(self) -> str:
        """FrameOfReferenceUID (0020,0052); empty where the series has none or several."""
        found = {text(header, "FrameOfReferenceUID") for header in self.headers}
        return found.pop() if len(found) == 1 else ""

    @cached_property
    def uids(self) -> tuple[str, ...]:
        """SOPInstanceUIDs of all sources."""
        return tuple(text(header, "SOPInstanceUID") for header in (*self.headers, *self.further))

    @cached_property
    def frames(self) -> tuple[SourceFrame, ...]:
        """The image planes of the series, in the order of its headers; instances without pixels have none."""
        with contained():
            return tuple(frame for header in self.headers for frame in _frames(header))

    @cached_property
    def grid(self) -> SourceGrid | None:
        """The grid of the series; None when its frames are not one regular stack."""
        return _grid(self.frames)


Source: TypeAlias = SourceSeries | StudyIdentity
"""What an object is derived from, or whose it is where there is no DICOM source."""

SourceFiles: TypeAlias = "Sequence[Path] | Sequence[Dataset] | StudyIdentity"
"""The files of a series or their headers, in any order; or whose the object is where there is no DICOM source."""


def _frames(header: Dataset) -> list[SourceFrame]:
    sop_class, sop_instance = text(header, "SOPClassUID"), text(header, "SOPInstanceUID")
    if integer(header, "Rows") is None or integer(header, "Columns") is None:
        return []
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        count = integer(header, "NumberOfFrames") or 1
        plane = (
            numbers(header, "ImagePositionPatient", count=3),
            numbers(header, "ImageOrientationPatient", count=6),
            numbers(header, "PixelSpacing", count=2),
        )
        if count == 1:
            return [SourceFrame(sop_class, sop_instance, None, *plane, header)]
        return [SourceFrame(sop_class, sop_instance, frame, None, *plane[1:], header) for frame in range(1, count + 1)]
    shared = item(header, "SharedFunctionalGroupsSequence")
    return [
        SourceFrame(
            sop_class,
            sop_instance,
            index,
            _group_value(groups, shared, "PlanePositionSequence", "ImagePositionPatient", 3),
            _group_value(groups, shared, "PlaneOrientationSequence", "ImageOrientationPatient", 6),
            _group_value(groups, shared, "PixelMeasuresSequence", "PixelSpacing", 2),
            header,
        )
        for index, groups in enumerate(per_frame, start=1)
    ]


def _group_value(
    groups: Dataset, shared: Dataset | None, macro: str, keyword: str, count: int
) -> tuple[float, ...] | None:
    for place in (groups, shared):
        found = item(place, macro) if place is not None else None
        if found is not None:
            return numbers(found, keyword, count=count)
    return None


def _grid(frames: Sequence[SourceFrame]) -> SourceGrid | None:
    first = frames[0] if frames else None
    if first is None or first.orientation is None or first.pixel_spacing is None:
        return None
    size = (integer(first.header, "Columns") or 0, integer(first.header, "Rows") or 0)
    for frame in frames:
        same_plane = (
            frame.origin is not None
            and frame.orientation is not None
            and frame.pixel_spacing is not None
            and np.allclose(frame.orientation, first.orientation, atol=1e-4)
            and np.allclose(frame.pixel_spacing, first.pixel_spacing, rtol=1e-4)
            and (integer(frame.header, "Columns"), integer(frame.header, "Rows")) == size
        )
        if not same_plane:
            return None
    origins = np.array([frame.origin for frame in frames], dtype=np.float64)
    labels, positions = cluster_positions(origins @ slice_normal(first.orientation))
    members = [np.flatnonzero(labels == label) for label in range(len(positions))]
    stacks = tuple(_in_time([frames[int(i)] for i in indices]) for indices in members)
    if len({len(stack) for stack in stacks}) != 1:
        return None
    return _stacked(stacks, size)


def _in_time(frames: list[SourceFrame]) -> tuple[SourceFrame, ...]:
    return tuple(sorted(frames, key=lambda frame: (temporal_key(frame.header), frame.frame_number or 0)))


def _stacked(stacks: tuple[tuple[SourceFrame, ...], ...], size: tuple[int, int]) -> SourceGrid | None:
    first = stacks[0][0]
    orientation, spacing = first.orientation or (), first.pixel_spacing or ()
    origins = np.array([stack[0].origin for stack in stacks], dtype=np.float64)
    stack = stack_geometry(orientation, origins)
    step = np.asarray(stack.step_vector)
    deviations = np.linalg.norm(origins - origins[0] - np.arange(len(origins))[:, np.newaxis] * step, axis=1)
    if stack.outliers or deviations.max() > max(0.02, 0.05 * stack.step_mm):
        return None
    if len(stacks) == 1:
        thickness = number(first.header, "SpacingBetweenSlices") or number(first.header, "SliceThickness") or 1.0
        step = slice_normal(orientation) * abs(thickness)
    affine = stack_affine(orientation, spacing, origins[0], step)
    return SourceGrid((*size, len(stacks)), affine, stacks, is_tilted=stack.tilt_deg > 0.05)  # noqa: PLR2004 degrees


def source_series(like: SourceFiles) -> Source:
    """Returns the series that an object is derived from.

    Raises:
        DerivedObjectError: There is no file, or they belong to several series.
        InvalidSeriesError: A file is no DICOM file or ends inside its header.
    """
    if isinstance(like, StudyIdentity):
        return like
    return SourceSeries.from_headers([read_header(each) if isinstance(each, Path) else each for each in like])
