"""A stack: frames in a grid of volumes and slices, with the affine that the headers define."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.imaging.geometry import (
    LARGEST_NOISE_MM,
    allowed_difference_mm,
    slice_normal,
    stack_affine,
    stack_geometry,
)
from dcm_processor_service.imaging.headers.values import item, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray, StackGeometry

__all__ = ["Stack", "uneven_by_mm", "uniform_runs"]

_STEP_TOLERANCE = 0.02
_ALONG_PART = 0.05
_LATERAL_PART = 0.25
_ROUNDINGS_MM = (1.0, 0.1, 0.01)
# a rounded position may be wrong by at most this fraction of a step
_ROUNDED_PART = 0.1
_FEWEST_FOR_A_LINE = 3
_ALONG_AXIS = 0.01
# part of a rounding by which a difference may be off because the header has six digits, of which three are whole mm
_WHOLE = 0.01


@dataclass(frozen=True)
class Stack:
    """Frames in a grid of volumes and slices; the slices ascend along their normal."""

    grid: tuple[tuple[FrameInfo, ...], ...]
    """The frame of volume t and slice k is ``grid[t][k]``; all volumes have the same number of slices."""

    name: str
    """The name that tells it apart from other stacks of the series, such as ``echo-2``; empty if there are none."""

    kind_marks: tuple[str, ...] = ()
    """The attributes in which it differs from stacks at the same place."""

    time_mark: str = ""
    """The attribute that separates the volumes; empty for a single volume."""

    ordered_by: str = ""
    """The attribute that orders the volumes; empty for a single volume."""

    moved_by: str = ""
    """The attribute that separates it from other volumes, which are shifted along the normal; empty if there are none.
    """

    doubt: str = ""
    """The reason why its slices may belong to several volumes; empty if there is no doubt that they are one volume."""

    passes_by: str = ""
    """The attribute whose values repeat along the slices, which are assumed to be one volume that was scanned in
    several passes; empty if there is none."""

    duplicated: tuple[int, ...] = ()
    """Indices k of slices for which there are several frames that no attribute separates."""

    incomplete: tuple[float, ...] = ()
    """Positions along the normal, mm, at which some volume lacks its slice."""

    spare: tuple[FrameInfo, ...] = ()
    """Frames that are left over: they have no place in the grid."""

    @property
    def first(self) -> FrameInfo:
        """The first slice of the first volume."""
        return self.grid[0][0]

    @property
    def origins(self) -> FloatArray:
        """ImagePositionPatient of the slices of the first volume, LPS mm, shape (slices, 3)."""
        return np.array([frame.position for frame in self.grid[0]], dtype=np.float64)

    @cached_property
    def geometry(self) -> StackGeometry:
        """Step, tilt and deviations of the slices; cached, because an inspection uses it a dozen times."""
        return stack_geometry(self.first.orientation or (), self.origins)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of columns, rows and slices."""
        pixels = self.first.pixel_format
        return pixels.columns, pixels.rows, len(self.grid[0])

    @property
    def is_uneven(self) -> bool:
        """Whether slices are unevenly spaced along their normal by more than noise and rounding can explain."""
        return self._exceeds_noise and not self.rounded_to_mm

    @property
    def _exceeds_noise(self) -> bool:
        geometry = self.geometry
        allowed = max(_ALONG_PART * geometry.step_mm, LARGEST_NOISE_MM / 2)
        return bool(geometry.outliers) or geometry.along_deviation_mm > allowed

    @property
    def rounded_to_mm(self) -> float:
        """The mm to which the header rounds positions, if this rounding alone makes even steps look uneven; else 0.

        Some scanners round the position of a slice's middle, and state that of its corner. So it is the differences
        between positions that must be multiples of the rounding.
        """
        if len(self.grid[0]) <= _FEWEST_FOR_A_LINE or not self._exceeds_noise:
            return 0.0
        origins, normal = self.origins, np.abs(slice_normal(self.first.orientation or ()))
        along = origins @ slice_normal(self.first.orientation or ())
        index = np.arange(len(along))
        step, start = np.polyfit(index, along, 1)
        off_mm = float(np.abs(along - (start + step * index)).max())
        for rounded_to in _ROUNDINGS_MM:
            allowed = min(rounded_to / 2 * float(normal.sum()) * 1.2, _ROUNDED_PART * float(step))
            if off_mm <= allowed and _differ_by_multiples(origins[:, normal > _ALONG_AXIS], rounded_to):
                return rounded_to
        return 0.0

    @property
    def written_to_mm(self) -> float:
        """The mm to which differences between positions are rounded, if that is at most a tenth of the step; else 0.

        Rounding to it may look like a tilt, even if it leaves the steps even.
        """
        for rounded_to in _ROUNDINGS_MM[1:]:
            if rounded_to <= _ROUNDED_PART * self.geometry.step_mm and _differ_by_multiples(self.origins, rounded_to):
                return rounded_to
        return 0.0

    @property
    def shift_mm(self) -> float:
        """The largest distance of a slice from its place in a straight stack, mm."""
        return max(self.geometry.lateral_deviation_mm, self.drift_mm)

    @property
    def is_straight(self) -> bool:
        """Whether all slices lie on one straight line, with a deviation of at most a quarter of a voxel."""
        smallest = min(*(self.first.pixel_spacing or (1.0,)), self.geometry.step_mm or 1.0)
        return self.shift_mm <= _LATERAL_PART * smallest

    @property
    def drift_mm(self) -> float:
        """The largest distance, mm, of a slice from the same slice of the first volume."""
        if len(self.grid) == 1:
            return 0.0
        positions = np.array([[frame.position for frame in line] for line in self.grid], dtype=np.float64)
        return float(np.linalg.norm(positions - positions[0], axis=2).max())

    def affine_lps(self) -> FloatArray:
        """Returns the affine from (i, j, k, 1) to LPS mm.

        A single slice has the thickness that its header states, or 1 mm.
        """
        first = self.first
        step: Sequence[float] | FloatArray = self.geometry.step_vector
        if len(self.grid[0]) == 1:
            step = slice_normal(first.orientation or ()) * single_slice_step_mm(first)
        return stack_affine(first.orientation or (), first.pixel_spacing or (), first.position or (), step)


def _differ_by_multiples(positions: FloatArray, unit: float) -> bool:
    """Returns whether positions differ from the first one by multiples of a unit, but for the header's six digits."""
    multiples = (positions - positions[0]) / unit
    return bool(np.abs(multiples - np.rint(multiples)).max() < _WHOLE)


def single_slice_step_mm(frame: FrameInfo) -> float:
    """Returns the step, mm, of a slice without neighbours: SpacingBetweenSlices, SliceThickness, or 1 mm."""
    for place in frame.places:
        measures = item(place, "PixelMeasuresSequence")
        for dataset in (place,) if measures is None else (measures, place):
            for keyword in ("SpacingBetweenSlices", "SliceThickness"):
                found = number(dataset, keyword)
                if found is not None and found > 0:
                    return found
    return 1.0


def uneven_by_mm(along: FloatArray) -> float:
    """Returns the largest distance of a slice from its place in an evenly spaced stack with the same ends, mm.

    Example:
        >>> uneven_by_mm(np.array([0.0, 1.0, 2.5, 3.0]))
        0.5
    """
    return float(np.abs(along - np.linspace(along[0], along[-1], len(along))).max())


def uniform_runs(stack: Stack) -> list[Stack]:
    """Splits a stack wherever the distance between slices changes, so that each part has one step.

    If the distance changes little by little, a part ends as soon as one more slice would make it uneven.
    """
    if not stack.is_uneven:
        return [stack]
    along = stack.origins @ slice_normal(stack.first.orientation or ())
    gaps = np.diff(along)
    runs: list[list[int]] = [[0]]
    for k, gap in enumerate(gaps, start=1):
        run = runs[-1]
        if len(run) == 1:
            following = gaps[k] if k < len(gaps) else gap
            # the first slice of a part joins the next slice unless that is much nearer to the slice after it
            joins = gap - following <= allowed_difference_mm(following, _STEP_TOLERANCE)
        else:
            step = gaps[run[0]]
            joins = abs(gap - step) <= allowed_difference_mm(step, _STEP_TOLERANCE) and (
                uneven_by_mm(along[run[0] : k + 1]) <= allowed_difference_mm(step, _STEP_TOLERANCE)
            )
        if joins:
            run.append(k)
        else:
            runs.append([k])
    if len(runs) == 1:
        return [stack]
    return [
        replace(
            stack,
            grid=tuple(tuple(line[k] for k in run) for line in stack.grid),
            name="_".join(filter(None, [stack.name, f"run-{index}"])),
            duplicated=(),
            incomplete=(),
        )
        for index, run in enumerate(runs, start=1)
    ]
