"""Places the frames of a SEG on a grid: on the grid that the frames themselves form, or on that of given images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.geometry import cluster_positions, slice_normal, stack_affine
from dcm_processor_service.imaging.headers.values import in_groups, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.reading.grids import MaskGrid
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["Lattice", "frame_places_on", "own_lattice", "require_one_plane"]

_SAME_COSINE = 1e-4
_SAME_SPACING_PART = 1e-3
_WHOLE_STEPS = 0.1
_ASIDE_PIXELS = 0.1
_CONTRADICTS = 1.5
_SAME_STEP_PART = 0.02
_MATCH_VOXELS = 0.02
_GIVE_LIKE = "give the images that it was made of as like="


@dataclass(frozen=True)
class Lattice:
    """A regular grid, and for each frame the index of its slice in it."""

    shape: tuple[int, int, int]
    affine_lps: FloatArray
    slices: tuple[int, ...]

    def has_step_of(self, grid: MaskGrid) -> bool:
        """Returns whether the slices of another grid, parallel to the slices of this one, are equally far apart."""
        normal = np.cross(self.affine_lps[:3, 0], self.affine_lps[:3, 1])
        steps = np.abs(normal @ grid.affine_lps[:3, :3])
        own = abs(float(normal @ self.affine_lps[:3, 2]))
        return bool(abs(float(steps.max()) - own) <= _SAME_STEP_PART * own)


def require_one_plane(frames: Sequence[FrameInfo]) -> None:
    """Refuses frames that do not all have a place, or that are turned or scaled against each other.

    Raises:
        InvalidSeriesError: A frame has no place, or is turned or scaled against the first.
    """
    first, label = frames[0], frames[0].instance.label
    if not all(frame.has_geometry for frame in frames):
        raise InvalidSeriesError(
            f"{label} does not say of every frame where in the patient it lies (position, orientation, pixel spacing), "
            "so its masks cannot be placed: ask for one that does"
        )
    for frame in frames:
        turned = not np.allclose(frame.orientation or (), first.orientation or (), atol=_SAME_COSINE)
        scaled = not np.allclose(frame.pixel_spacing or (), first.pixel_spacing or (), rtol=_SAME_SPACING_PART)
        if turned or scaled:
            raise InvalidSeriesError(
                f"the frames of {label} are turned or scaled against each other, so no one grid holds them: ask for "
                "one segmentation for each orientation"
            )


def own_lattice(frames: Sequence[FrameInfo]) -> Lattice:
    """Returns the regular grid of frames, including the slices that the SEG left out because they are empty.

    Raises:
        InvalidSeriesError: The frames lie on no regular grid, or it is not clear how far apart its slices are.
    """
    require_one_plane(frames)
    first = frames[0]
    normal = slice_normal(first.orientation or ())
    origins = np.array([frame.position for frame in frames], dtype=np.float64)
    which, positions = cluster_positions(origins @ normal)
    spacing = first.pixel_spacing or (1.0, 1.0)
    step = _step_mm(first, positions)
    steps = np.rint((positions - positions[0]) / step).astype(int)
    slices = steps[which]
    if len(positions) == 1:
        vector = normal * step
    else:
        # along the line through the frames' corners, which is not the normal if the gantry was tilted
        vector = (origins[np.argmax(slices)] - origins[np.argmin(slices)]) / steps[-1]
    start = origins[np.argmin(slices)]
    off = origins - (start + slices[:, np.newaxis] * vector)
    if np.linalg.norm(off - np.outer(off @ normal, normal), axis=1).max() > _ASIDE_PIXELS * min(spacing):
        raise InvalidSeriesError(
            f"the frames of {first.instance.label} lie beside each other, so no regular grid holds them: {_GIVE_LIKE}"
        )
    pixels = first.pixel_format
    return Lattice(
        (pixels.columns, pixels.rows, int(steps[-1]) + 1),
        stack_affine(first.orientation or (), spacing, start, vector),
        tuple(int(k) for k in slices),
    )


def _step_mm(frame: FrameInfo, positions: FloatArray) -> float:
    """Returns the distance between slices: as the header states it if the frames agree, or else the smallest gap.

    Raises:
        InvalidSeriesError: Frames do not lie at multiples of one distance, or contradict the stated distance.
    """
    label = frame.instance.label
    stated = _measure(frame, "SpacingBetweenSlices")
    gaps = np.diff(positions)
    if not len(gaps):
        step = stated or _measure(frame, "SliceThickness")
        if step is None:
            raise InvalidSeriesError(
                f"{label} has one slice and does not say how thick it is, so its volume is unknown: {_GIVE_LIKE}"
            )
        return step
    least = float(gaps.min())
    if stated is not None and len(gaps) > 1 and least > _CONTRADICTS * stated:
        raise InvalidSeriesError(
            f"{label} says that its slices are {stated:g} mm apart, and they lie {least:g} mm and more apart, so it is "
            f"not clear whether slices between them are empty or do not exist: {_GIVE_LIKE}"
        )
    for step in (stated, least):
        whole = np.rint(gaps / step) if step is not None else np.zeros(1)
        if step is not None and (whole >= 1).all():
            even = float(positions[-1] - positions[0]) / float(whole.sum())
            off = (positions - positions[0]) / even - np.concatenate([[0], np.cumsum(whole)])
            if np.abs(off).max() <= _WHOLE_STEPS:
                return even
    listed = ", ".join(f"{gap:g}" for gap in sorted({round(float(gap), 3) for gap in gaps})[:5])
    raise InvalidSeriesError(
        f"the slices of {label} lie {listed} mm apart, so no regular grid holds them: {_GIVE_LIKE}, a volume of a "
        "regular grid"
    )


def _measure(frame: FrameInfo, keyword: str) -> float | None:
    found = in_groups(frame.places, "PixelMeasuresSequence", number, keyword)
    return float(found) if found is not None and found > 0 else None


@dataclass(frozen=True)
class FramePlaces:
    """The places of frames on a grid whose voxels match their pixels."""

    axes: tuple[int, int]
    """The axes of the grid along which the frames' columns and rows are counted."""

    signs: tuple[int, int]
    starts: tuple[tuple[int, int, int], ...]
    """For each frame the voxel of its first pixel, which may lie outside of the grid."""

    def put(self, array: NDArray[Any], index: int, mask: NDArray[Any]) -> None:
        """Writes the part of a frame's mask, shape (rows, columns), that lies inside of the array."""
        start = self.starts[index]
        across = ({*range(3)} - {*self.axes}).pop()
        if not 0 <= start[across] < array.shape[across]:
            return
        plane = np.moveaxis(array, (*self.axes, across), (0, 1, 2))[:, :, start[across]]
        taken, placed = [], []
        for axis, sign, size, most in zip(self.axes, self.signs, mask.T.shape, plane.shape, strict=True):
            lands = start[axis] + sign * np.arange(size)
            inside = (lands >= 0) & (lands < most)
            taken.append(np.flatnonzero(inside))
            placed.append(lands[inside])
        plane[np.ix_(*placed)] = mask.T[np.ix_(*taken)]


def frame_places_on(frames: Sequence[FrameInfo], grid: MaskGrid) -> FramePlaces | None:
    """Returns the places of frames on a grid; None if their pixels do not match its voxels.

    Raises:
        InvalidSeriesError: The frames are turned or scaled against each other.
    """
    require_one_plane(frames)
    first = frames[0]
    to_grid = np.linalg.inv(grid.affine_lps)
    plane = stack_affine(first.orientation or (), first.pixel_spacing or (), first.position or (), (0.0, 0.0, 0.0))
    steps = to_grid[:3, :3] @ plane[:3, :2]
    whole = np.rint(steps)
    extent = np.array([first.pixel_format.columns, first.pixel_format.rows])
    is_pixel_grid = (np.abs(whole).sum(axis=0) == 1).all() and (np.abs(whole).sum(axis=1) <= 1).all()
    if not is_pixel_grid or (np.abs(steps - whole) * extent).max() > _MATCH_VOXELS * 2:
        return None
    origins = np.array([(*(frame.position or ()), 1.0) for frame in frames])
    lands = (origins @ to_grid.T)[:, :3]
    if np.abs(lands - np.rint(lands)).max() > _MATCH_VOXELS:
        return None
    axes = np.abs(whole).argmax(axis=0)
    starts = tuple((int(i), int(j), int(k)) for i, j, k in np.rint(lands))
    return FramePlaces((int(axes[0]), int(axes[1])), (int(whole[axes[0], 0]), int(whole[axes[1], 1])), starts)
