"""Compares images of another program with the headers and pixels of the series, in the patient's space.

Another program may reverse the order of slices, scale values in another way, or mix volumes, and still end without an
error. So its images are compared with the stacks that the inspection found: each voxel must lie at the same place in
millimetres, and have the same value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.series.policies import split_stacks
from dcm_processor_service.imaging.volumes.mosaic import mosaic_stack, untiled
from dcm_processor_service.imaging.volumes.read import read_stack, values_of
from dcm_processor_service.models import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["GridPlacement", "difference_from_series", "difference_of_values", "placement"]

_CORNER_VOXELS = 0.1
_AXIS_PART = 0.05
_VALUE_PART = 1e-4
_SPATIAL_AXES = 3


class GridPlacement(NamedTuple):
    """The order and direction of one grid's axes relative to another grid with the same voxels."""

    order: tuple[int, ...]
    """For each axis of the other grid, the parallel axis of this grid."""

    flipped: tuple[bool, ...]
    """For each axis of the other grid, whether the axis of this grid runs the other way."""

    def turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Reorders and flips voxels of this grid, shape (i, j, k, t), to the axes of the other grid."""
        turned: NDArray[Any] = values.transpose(*self.order, _SPATIAL_AXES)
        for axis, is_flipped in enumerate(self.flipped):
            turned = np.flip(turned, axis) if is_flipped else turned
        return turned


def placement(
    affine: FloatArray, shape: Sequence[int], other: FloatArray, other_shape: Sequence[int]
) -> GridPlacement | None:
    """Finds how the axes of one grid correspond to those of another; None if the grids do not have the same voxels.

    Args:
        affine: Affine of the grid, shape (4, 4), voxel to mm.
        shape: Shape of the grid; only the first three numbers are used.
        other: Affine of the other grid, in the same frame.
        other_shape: Shape of the other grid; only the first three numbers are used.
    """
    sizes, other_sizes = [*shape, 1][:_SPATIAL_AXES], [*other_shape, 1][:_SPATIAL_AXES]
    change = np.linalg.inv(_with_normal(other, other_sizes)) @ _with_normal(affine, sizes)
    turn = np.rint(change[:3, :3])
    if np.abs(change[:3, :3] - turn).max() > _AXIS_PART:
        return None
    if (np.abs(turn).sum(axis=0) != 1).any() or (np.abs(turn).sum(axis=1) != 1).any():
        return None
    order = tuple(int(np.argmax(np.abs(turn[axis]))) for axis in range(3))
    if [sizes[axis] for axis in order] != other_sizes:
        return None
    corners = np.array(np.meshgrid(*([0, size - 1] for size in sizes), indexing="ij")).reshape(3, -1)
    ends = (change @ np.vstack([corners, np.ones(corners.shape[1])]))[:3]
    far = np.array(other_sizes) - 1
    if np.abs(ends.min(axis=1)).max() > _CORNER_VOXELS or np.abs(ends.max(axis=1) - far).max() > _CORNER_VOXELS:
        return None
    return GridPlacement(order, tuple(bool(turn[axis, order[axis]] < 0) for axis in range(3)))


def _with_normal(affine: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Returns the affine; the arbitrary step of an axis with only one voxel becomes 1 mm along the normal."""
    if 1 not in sizes:
        return affine
    thin = sizes.index(1)
    first, second = (affine[:3, axis] for axis in range(3) if axis != thin)
    normal = np.cross(first, second)
    result: FloatArray = affine.copy()
    result[:3, thin] = normal / np.linalg.norm(normal)
    return result


def difference_from_series(
    values: ArrayLike, affine_ras: ArrayLike, task: ConversionTask, *, whole: bool, any_order: bool
) -> str:
    """Says how an image differs from the series; empty if it does not differ.

    Args:
        values: Shape (i, j[, k[, t]]).
        affine_ras: Shape (4, 4), voxel to mm in RAS.
        task: Task of the series.
        whole: Whether every voxel is compared; otherwise only a sample is.
        any_order: Whether the image may have its volumes in another order. In diffusion it may, because the gradient
            table has the same order.
    """
    array, affine = np.asanyarray(values), np.asarray(affine_ras, dtype=np.float64)
    array = array.reshape(*array.shape, *(1,) * (4 - array.ndim))
    said = "it lies elsewhere in the patient than any volume of the series"
    is_mosaic = task.inspection.report.kind is SeriesKind.MOSAIC
    stacks = [mosaic_stack(task.inspection, "strict")] if is_mosaic else split_stacks(task.inspection)
    for stack in stacks:
        if is_mosaic:
            volume = untiled(read_stack(stack, task.inspection.report, task.limits), stack.first.instance.label)
            native, affine_lps, shape = volume.array, volume.affine_lps, volume.shape
        else:
            native, affine_lps, shape = None, stack.affine_lps(), stack.shape
        place = placement(affine, array.shape, convert_frame(affine_lps, "LPS", "RAS"), shape)
        if place is None:
            continue
        turned = place.turned(array)
        if native is not None:
            said = difference_of_values(turned, native, any_order=any_order)
        else:
            said = _difference_from_stack(turned, stack, task, whole=whole, any_order=any_order)
        if not said:
            return ""
    return said


def _difference_from_stack(
    turned: NDArray[Any], stack: Stack, task: ConversionTask, *, whole: bool, any_order: bool
) -> str:
    """Says how an image, whose axes are already those of a stack, differs from the stack; empty if it does not."""
    volumes, slices = len(stack.grid), len(stack.grid[0])
    if turned.shape[3] > volumes:
        return f"it has {turned.shape[3]} volumes, and the series {volumes}"
    times = range(volumes) if whole or any_order else sorted({0, volumes // 2, volumes - 1})
    places = range(slices) if whole else sorted({0, slices // 2, slices - 1})
    frames = [[stack.grid[time][place] for place in places] for time in times]
    try:
        native = values_of(frames, task.limits)
    except UnsupportedTransferSyntaxError:
        return ""  # the place is right; the values cannot be compared, because they cannot be decoded here
    except InvalidSeriesError as error:
        return str(error)
    if turned.shape[3] != volumes and not any_order:
        return f"it has {turned.shape[3]} volumes, and the series {volumes}"
    chosen = turned[:, :, list(places)]
    return difference_of_values(chosen if any_order else chosen[..., list(times)], native, any_order=any_order)


def difference_of_values(values: NDArray[Any], native: NDArray[Any], *, any_order: bool = False) -> str:
    """Says how values differ from others on the same grid; empty if they do not differ.

    Args:
        values: Shape (i, j, k, t).
        native: Shape (i, j, k[, t]).
        any_order: See :func:`difference_from_series`.
    """
    native = native.reshape(*native.shape, *(1,) * (4 - native.ndim))
    known = native[np.isfinite(native)] if native.dtype.kind == "f" else native
    greatest = max(float(known.max(initial=0)), -float(known.min(initial=0)))  # negating the least int16 would overflow
    allowed = _VALUE_PART * greatest

    def off(time: int, other: int) -> float:
        return _distance(values[..., time].astype(np.float64), native[..., other].astype(np.float64))

    if not any_order:
        if values.shape != native.shape:
            return f"it has shape {values.shape}, and the series {native.shape}"
        worst = max(((off(time, time), time) for time in range(values.shape[3])), default=(0.0, 0))
        if worst[0] <= allowed:
            return ""
        where = f" in volume {worst[1] + 1}" if values.shape[3] > 1 else ""
        return f"its values differ by up to {worst[0]:.6g}{where}, where the greatest is {greatest:.6g}"
    left = list(range(native.shape[3]))
    for time in range(values.shape[3]):
        # try the volume with the same number first, because volumes are mostly in order
        same = next((other for other in sorted(left, key=lambda n: n != time) if off(time, other) <= allowed), None)
        if same is None:
            return f"the values of its volume {time + 1} are not those of any volume of the series"
        left.remove(same)
    return ""


def _distance(one: FloatArray, other: FloatArray) -> float:
    """Returns the greatest difference between two arrays; infinite if a voxel is finite in only one of them."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(one - other)
    greatest = float(apart.max(initial=0))
    if math.isfinite(greatest):
        return greatest
    apart[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    return float(np.nan_to_num(apart, nan=np.inf, posinf=np.inf).max(initial=0))
