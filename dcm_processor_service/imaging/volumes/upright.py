"""Interpolates uneven and tilted stacks to an even, upright grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.geometry import LARGEST_NOISE_MM, slice_normal, stack_affine
from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models import SeriesReport

__all__ = ["on_even_grid"]

# shifts up to this fraction of a pixel are noise in the positions
_NO_SHIFT_PIXELS = 0.05
_MOST_STEPS = 2
_SAME_PLACE_PART = 0.05

V = TypeVar("V", bound=VoxelGrid)


def refuse_wide_gaps(stack: Stack, report: SeriesReport, max_gap_mm: float | None) -> None:
    """Refuses a stack with gaps that are too wide to be filled by interpolation.

    Args:
        stack: One volume, or several volumes at one place.
        report: Report on the series.
        max_gap_mm: The widest gap between slices that is filled; None for two median steps.

    Raises:
        InvalidSeriesError: A gap is wider; the error has the report.
    """
    if len(stack.grid[0]) == 1:
        return
    along = stack.origins @ slice_normal(np.asarray(stack.first.orientation, dtype=np.float64))
    gaps, step = np.diff(along), stack.geometry.step_mm
    widest = max_gap_mm if max_gap_mm is not None else _MOST_STEPS * step
    wide = np.flatnonzero(gaps > widest + LARGEST_NOISE_MM)
    if not wide.size:
        return
    lacking = sum(round(float(gaps[gap]) / step) - 1 for gap in wide)
    raise InvalidSeriesError(
        f"series {report.series_instance_uid} is refused: the gap after slice {wide[0] + 1} is "
        f"{float(gaps[wide[0]]):.4g} mm wide, slices are {step:.4g} mm apart, and gaps up to {widest:.4g} mm are "
        f"filled; {lacking} slice(s) would be made up. Get the missing instances, convert with policy split, or allow "
        f"it with max_gap_mm={np.ceil(float(gaps.max())):.4g}",
        report,
    )


def on_even_grid(volume: V, stack: Stack) -> V:
    """Interpolates a volume linearly to a grid whose slices are evenly spaced and stacked along their normal.

    The first and the last slice keep their positions along the normal, and the step is as near as possible to the
    median distance between slices. The grid is wide enough for every slice; voxels outside of the slices get the
    volume's least value. If the stack is already even and upright, the volume is returned unchanged. In the result,
    ``invented`` is True for slices at places where no slice was measured.

    Args:
        volume: Volume with array (i, j, k[, t]) that was read from ``stack``.
        stack: Stack with the places of the slices.
    """
    geometry = stack.geometry
    if len(stack.grid[0]) == 1 or not (stack.is_uneven or volume.is_sheared):
        return volume
    orientation = np.asarray(stack.first.orientation, dtype=np.float64)
    normal = slice_normal(orientation)
    row_distance, column_distance = stack.first.pixel_spacing or (1.0, 1.0)
    origins = stack.origins
    along = (origins - origins[0]) @ normal
    lateral = origins - origins[0] - along[:, np.newaxis] * normal
    # by how many columns and rows each slice is shifted against the first slice
    shifts = np.column_stack([lateral @ orientation[:3] / column_distance, lateral @ orientation[3:] / row_distance])
    shifts[:, np.abs(shifts).max(axis=0) < _NO_SHIFT_PIXELS] = 0.0
    low, high = np.floor(shifts.min(axis=0) + 1e-6), np.ceil(shifts.max(axis=0) - 1e-6)
    steps = (max(round(float(along[-1]) / geometry.step_mm), 1) if stack.is_uneven else len(along) - 1) + 1
    step_mm = float(along[-1]) / (steps - 1)
    targets = np.linspace(0.0, float(along[-1]), steps)
    # rounded, because a slice whose shift differs by noise from whole pixels would lose its outermost row
    array = _interpolated(volume.array, along, np.round(shifts - low, 5), targets, (high - low).astype(int))
    origin = origins[0] + low[0] * column_distance * orientation[:3] + low[1] * row_distance * orientation[3:]
    affine = stack_affine(orientation, (row_distance, column_distance), origin, normal * step_mm)
    nearest = np.abs(targets[:, np.newaxis] - along).min(axis=1)
    invented = tuple(bool(distance > _SAME_PLACE_PART * step_mm) for distance in nearest)
    return replace(volume, array=array, affine_lps=affine, sources=(), invented=invented)


def _interpolated(
    array: NDArray[Any], along: FloatArray, shifts: FloatArray, targets: FloatArray, margin: NDArray[Any]
) -> NDArray[Any]:
    """Shifts slices to their places in the wider grid, and interpolates between the two next to each target."""
    columns, rows = array.shape[0] + int(margin[0]), array.shape[1] + int(margin[1])
    result = np.empty((columns, rows, len(targets), *array.shape[3:]), array.dtype, order="F")
    background = float(array.min())
    for t in np.ndindex(*array.shape[3:]):
        at_t = (slice(None),) * 3 + t
        source, target = array[at_t], result[at_t]
        for k, position in enumerate(targets):
            above = max(int(np.searchsorted(along, position)), 1)  # there is one: no target lies after the last slice
            weight = float((position - along[above - 1]) / (along[above] - along[above - 1]))
            mixed = np.zeros((columns, rows))
            for index, part in ((above - 1, 1 - weight), (above, weight)):
                if part > 1e-9:  # noqa: PLR2004 a slice of weight zero is not read
                    mixed += part * _shifted(source[:, :, index], shifts[index], (columns, rows), background)
            target[:, :, k] = np.rint(mixed) if array.dtype.kind in "iu" else mixed
    return result


def _shifted(image: NDArray[Any], shift: FloatArray, shape: tuple[int, int], background: float) -> NDArray[Any]:
    """Places a slice in a larger image, at an offset that need not be a whole number of pixels."""
    from scipy import ndimage

    placed: NDArray[Any] = ndimage.affine_transform(
        image.astype(np.float64), np.eye(2), -shift, output_shape=shape, order=1, mode="constant", cval=background
    )
    return placed
