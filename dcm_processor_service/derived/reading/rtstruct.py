"""Reads structures of an RTSTRUCT as masks on images (PS3.3, sections A.19.3 and C.8.8.5 to C.8.8.8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.derived.reading.grids import refuse_large
from dcm_processor_service.derived.reading.names import code_in, side_in
from dcm_processor_service.derived.reading.polygons import filled, overlap
from dcm_processor_service.derived.reading.structure_mask import StructureMask
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as
from dcm_processor_service.imaging.headers.values import integer, item, items, numbers, text
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.reading.grids import MaskGrid
    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models.images.limits import Limits

__all__ = ["drawn_on", "read_rtstruct"]

_AREAS = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_FEWEST_POINTS = 3
_OFF_SLICE = 0.15
"""How far the points of a contour may lie off their slice, in parts of a step: coordinates are often rounded to 0.1
mm."""

_SEVERAL_PLANES = 3
_HELP = "give a volume as like= whose slices are those that the contours were drawn on"


def drawn_on(instance: InstanceFile) -> tuple[str, ...]:
    """Lists the series that a structure set refers to as its images (PS3.3, section C.8.8.5)."""
    found = [
        text(series, "SeriesInstanceUID")
        for frame in items(instance.header, "ReferencedFrameOfReferenceSequence")
        for study in items(frame, "RTReferencedStudySequence")
        for series in items(study, "RTReferencedSeriesSequence")
    ]
    return tuple(dict.fromkeys(uid for uid in found if uid))


def read_rtstruct(instance: InstanceFile, grid: MaskGrid, limits: Limits, *, may_cut: bool) -> list[StructureMask]:
    """Reads the regions of interest of a structure set.

    Args:
        instance: The structure set.
        grid: The grid of the masks.
        limits: Limits of size for masks.
        may_cut: Whether the grid may contain only a part of a structure, as a cropped volume does.

    Raises:
        InvalidSeriesError: The structure set contradicts itself.
    """
    message = f"{instance.label} is not a structure set that can be read, its header is damaged: get it again"
    with foreign_errors_as(lambda: InvalidSeriesError(message)), contained():
        header = instance.header
        contours = _by_number(header, "ROIContourSequence", "ReferencedROINumber")
        observed = _by_number(header, "RTROIObservationsSequence", "ReferencedROINumber")
        regions = [(integer(each, "ROINumber"), each) for each in items(header, "StructureSetROISequence")]
        numbers_given = [number for number, _ in regions]
        unknown = [number for number in contours if number not in numbers_given]
        is_lost = len(contours) != len(items(header, "ROIContourSequence"))
        if len(set(numbers_given)) != len(regions) or None in numbers_given or unknown or is_lost:
            raise InvalidSeriesError(
                f"{instance.label} has regions without a number, two of one number, or contours of a region that it "
                "does not describe: get it again"
            )
        planes = _Planes(tuple(contours.values()), grid)
        frames_of_reference = [
            text(each, "FrameOfReferenceUID") for each in items(header, "ReferencedFrameOfReferenceSequence")
        ]
        only = frames_of_reference[0] if len(set(frames_of_reference)) == 1 else ""
        found = []
        for number, region in regions:
            assert number is not None
            space = text(region, "ReferencedFrameOfReferenceUID") or only
            drawing = _Drawing(instance, number, contours.get(number), space, planes, limits, may_cut=may_cut)
            found.append(_structure(instance, drawing, region, observed.get(number)))
    return found


def _by_number(header: Header, sequence: str, keyword: str) -> dict[int, Dataset]:
    found = [(integer(each, keyword), each) for each in items(header, sequence)]
    return {number: each for number, each in found if number is not None}


def _structure(instance: InstanceFile, drawing: _Drawing, region: Dataset, observed: Dataset | None) -> StructureMask:
    name = text(region, "ROIName")
    kind = None if observed is None else item(observed, "RTROIIdentificationCodeSequence")
    color = None if drawing.contours is None else numbers(drawing.contours, "ROIDisplayColor", count=3)
    return StructureMask(
        drawing.number,
        name,
        partial(drawing.mask, name),
        code=code_in(observed, "RTROIIdentificationCodeSequence"),
        laterality=side_in(kind, "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionModifierSequence"),
        algorithm_type=text(region, "ROIGenerationAlgorithm"),
        algorithm_name=text(region, "ROIGenerationDescription"),
        color_rgb=None if color is None else (int(color[0]), int(color[1]), int(color[2])),
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=text(instance.header, "SeriesInstanceUID"),
        referenced_series_uids=drawn_on(instance),
        frame_of_reference_uid=drawing.frame_of_reference_uid,
    )


@dataclass(frozen=True)
class _Contour:
    slice: int
    """Index of the slice in the grid, along the axis normal to the contours."""

    points: FloatArray
    """Shape (points, 2): coordinates along the grid's other two axes, in voxels."""

    is_xor: bool


@dataclass(frozen=True)
class _Planes:
    """The contours of all regions, and the grid of the masks."""

    contours: tuple[Dataset, ...]
    """Items of ROIContourSequence."""

    grid: MaskGrid

    def to_grid(self, points: FloatArray) -> FloatArray:
        """Converts points, shape (points, 3), from LPS mm to voxels of the grid."""
        inverse = np.linalg.inv(self.grid.affine_lps)
        result: FloatArray = points @ inverse[:3, :3].T + inverse[:3, 3]
        return result

    @cached_property
    def _starts(self) -> FloatArray:
        found = [_coordinates(one)[:3] for each in self.contours for one in items(each, "ContourSequence")]
        return self.to_grid(np.array([point for point in found if len(point) == 3]).reshape(-1, 3))  # noqa: PLR2004

    def slices(self, across: int) -> list[int]:
        """Returns the slices of the grid that are nearest to the contours of any region."""
        return sorted({int(place) for place in np.rint(self._starts[:, across])})


class _Drawing:
    """The contours of one region, and the making of its mask on the grid."""

    def __init__(
        self,
        instance: InstanceFile,
        number: int,
        contours: Dataset | None,
        frame_of_reference_uid: str,
        planes: _Planes,
        limits: Limits,
        *,
        may_cut: bool,
    ) -> None:
        self.number = number
        self.contours = contours
        self.frame_of_reference_uid = frame_of_reference_uid
        self._what = f"region {number} of {instance.label}"
        self._referenced = drawn_on(instance)
        self._planes = planes
        self._grid = planes.grid
        self._limits = limits
        self._may_cut = may_cut

    def mask(self, name: str) -> Volume:
        """Returns the mask of the region."""
        message = f"{self._what} cannot be read: its contours are damaged, or it needs too much memory"
        with foreign_errors_as(lambda: InvalidSeriesError(message)), contained():
            self._grid.require_same_space(self.frame_of_reference_uid, self._referenced)
            refuse_large(self._grid.shape, 1, self._limits)
            return self._grid.volume_of(self._filled(), name, "RTSTRUCT")

    def _filled(self) -> NDArray[np.bool_]:
        array = np.zeros(self._grid.shape, np.bool_, order="F")
        in_voxels = [(self._planes.to_grid(points), is_xor) for points, is_xor in self._polygons()]
        if not in_voxels:
            return array
        spread = np.max([np.ptp(points, axis=0) for points, _ in in_voxels], axis=0)
        across = int(np.argmin(spread / np.array(self._grid.shape)))
        if self._grid.slice_axis is not None:
            across = self._grid.slice_axis
        contours = [self._on_slice(points, across, is_xor=is_xor) for points, is_xor in in_voxels]
        self._refuse_gaps(sorted({contour.slice for contour in contours}), across)
        slices = np.moveaxis(array, across, 2)
        inside = [contour for contour in contours if 0 <= contour.slice < slices.shape[2]]
        if len(inside) < len(contours) and not (self._may_cut and inside):
            raise InvalidSeriesError(
                f"{len(contours) - len(inside)} of the {len(contours)} contours of {self._what} lie outside of the "
                "images that they are to be put on: give all images that they were drawn on as like="
            )
        for k in sorted({contour.slice for contour in inside}):
            slices[:, :, k] = self._slice([one for one in inside if one.slice == k], (slices.shape[0], slices.shape[1]))
        return array

    def _polygons(self) -> Iterator[tuple[FloatArray, bool]]:
        """Yields the contours, shape (points, 3), LPS mm, and whether each is combined with the others by XOR."""
        for contour in () if self.contours is None else items(self.contours, "ContourSequence"):
            kind = text(contour, "ContourGeometricType").upper()
            if kind not in _AREAS:
                raise InvalidSeriesError(
                    f"{self._what} has contours of the type {kind or 'unknown'}, such as points or lines, "
                    "which enclose no area, so no mask can be made of it"
                )
            values = _coordinates(contour)
            if len(values) % 3 or len(values) < 3 * _FEWEST_POINTS or not np.isfinite(values).all():
                raise InvalidSeriesError(
                    f"{self._what} has a contour of {counted(len(values), 'coordinate')}, and one that encloses an "
                    "area has three finite ones for each of three points at least: get it again"
                )
            yield values.reshape(-1, 3), kind != "CLOSED_PLANAR"

    def _on_slice(self, points: FloatArray, across: int, *, is_xor: bool) -> _Contour:
        """Finds the slice of a contour.

        Raises:
            InvalidSeriesError: The contour lies between slices, or across them.
        """
        place = points[:, across]
        k = int(np.rint(np.median(place)))
        if np.ptp(place) > 2 * _OFF_SLICE:
            raise InvalidSeriesError(
                f"a contour of {self._what} is not parallel to the slices that it is to be put on, it reaches over "
                f"{np.ptp(place):.1f} of them: {_HELP}"
            )
        if np.abs(place - k).max() > _OFF_SLICE:
            raise InvalidSeriesError(
                f"a contour of {self._what} lies between slices, {np.abs(place - k).max():.2f} of a step off the "
                f"nearest: {_HELP}"
            )
        return _Contour(k, np.delete(points, across, axis=1), is_xor)

    def _refuse_gaps(self, slices: Sequence[int], across: int) -> None:
        """Refuses contours on only every second slice, or every third and so on: the slices between would be guessed.

        On the images that the set was drawn on, only the contours of this region count, if they lie on three slices or
        more. On another grid, the contours of all regions count: these show whether they were drawn on its slices.
        """
        is_own = self._grid.has_real_slices and self._grid.series_instance_uid in self._referenced
        known = slices if is_own else self._planes.slices(across)
        every = gcd(*(after - before for before, after in pairwise(known)), 0)
        if len(known) >= (_SEVERAL_PLANES if is_own else 2) and every > 1:
            raise InvalidSeriesError(
                f"{self._what} has contours on only one of every {every} slices of the images, so nothing says what "
                f"lies between them: {_HELP}"
            )

    def _slice(self, contours: Sequence[_Contour], shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Returns the mask of one slice.

        Raises:
            InvalidSeriesError: Contours cross, so that it is not clear whether their common part belongs to the region.
        """
        by_points = {contour.points.round(3).tobytes(): contour for contour in contours if not contour.is_xor}
        kept = [
            *by_points.values(),
            *(contour for contour in contours if contour.is_xor),
        ]  # a contour that is there twice counts once
        if by_points and _cross([contour.points for contour in kept], shape):
            raise InvalidSeriesError(
                f"contours of {self._what} cross in slice {kept[0].slice + 1}, so it is not clear whether their "
                "common part belongs to it: have it corrected where it was drawn"
            )
        return filled([contour.points for contour in kept], shape)


def _coordinates(contour: Dataset) -> FloatArray:
    """Returns ContourData (3006,0050), which has the VR UN in the file if it exceeds 64 KiB (PS3.5, section 6.2.2)."""
    value = contour.get_item("ContourData").value if "ContourData" in contour else None
    if isinstance(value, bytes):
        value = value.decode("latin-1").strip(" \0").split("\\")
    found: FloatArray = np.array([] if value is None else value, dtype=np.float64).ravel()
    return found


def _cross(contours: Sequence[FloatArray], shape: tuple[int, int]) -> bool:
    """Returns whether any two contours cross; only pairs whose bounding boxes meet are compared."""
    low, high = (np.array([edge(points, axis=0) for points in contours]) for edge in (np.min, np.max))
    meet = ((low[:, np.newaxis] <= high) & (high[:, np.newaxis] >= low)).all(axis=2)
    alone: dict[int, NDArray[np.bool_]] = {}
    for pair in np.argwhere(np.triu(meet, 1)).tolist():
        for each in pair:
            if each not in alone:
                alone[each] = filled([contours[each]], shape)
        if overlap(alone[pair[0]], alone[pair[1]]):
            return True
    return False
