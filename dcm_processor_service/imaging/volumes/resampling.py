"""Reorders the axes of volumes, resamples them to another spacing, and maps values to a display window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.geometry import axis_codes
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["Interpolation", "apply_window", "percentile_window", "reorient", "resample"]

V = TypeVar("V", bound=VoxelGrid)

Interpolation: TypeAlias = Literal["nearest", "linear", "cubic"]
"""The interpolation between voxels: the nearest voxel (for labels), or a spline of order 1 (linear) or 3 (cubic)."""

_SIXTEEN_BITS = 1 << 16
_SPLINE_ORDER = {"nearest": 0, "linear": 1, "cubic": 3}
_PATIENT_AXIS = {"L": "LR", "R": "LR", "P": "PA", "A": "PA", "S": "SI", "I": "SI"}


def reorient(volume: V, axes: str) -> V:
    """Implements :meth:`Volume.reorient`."""
    wanted = str(axes).upper()
    if sorted(_PATIENT_AXIS.get(letter, "") for letter in wanted) != ["LR", "PA", "SI"]:
        raise UnsupportedValueError(
            f"axes are one of L/R, one of P/A and one of S/I in any order, such as RAS or LPS, not {axes!r}"
        )
    have = axis_codes(volume.affine_lps)
    order = [next(i for i, own in enumerate(have) if _PATIENT_AXIS[own] == _PATIENT_AXIS[want]) for want in wanted]
    flipped = [have[source] != want for source, want in zip(order, wanted, strict=True)]
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for target, (source, flip) in enumerate(zip(order, flipped, strict=True)):
        change[source, target] = -1 if flip else 1
        change[source, 3] = volume.shape[source] - 1 if flip else 0
    array = volume.array.transpose(*order, *range(3, volume.array.ndim))
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    slice_axis = order.index(volume.slice_axis)
    sources, invented = volume.sources, volume.invented
    if flipped[slice_axis]:
        sources, invented = tuple(line[::-1] for line in sources), invented[::-1]
    placed = replace(volume, array=array, affine_lps=volume.affine_lps @ change)
    return replace(placed, slice_axis=slice_axis, sources=sources, invented=invented)


def resample(volume: V, spacing_mm: tuple[float, ...], interpolation: Interpolation) -> V:
    """Implements :meth:`Volume.resample`."""
    try:
        steps = np.asarray(spacing_mm, dtype=np.float64)
    except (TypeError, ValueError):
        steps = np.empty(0)
    if steps.shape != (3,) or not (np.isfinite(steps) & (steps > 0)).all():
        raise UnsupportedValueError(f"spacing is one or three positive numbers in mm, not {spacing_mm!r}")
    if interpolation not in _SPLINE_ORDER:
        raise UnsupportedValueError(f"interpolation is nearest, linear or cubic, not {interpolation!r}")
    old = np.asarray(volume.spacing_mm)
    zoom = steps / old
    shape = tuple(max(1, round(size / factor)) for size, factor in zip(volume.shape[:3], zoom, strict=True))
    # The outer faces of the outermost voxels must not move, so their centres move by half the difference in size.
    offset = (zoom - 1) / 2
    change = np.eye(4)
    change[:3, :3] = np.diag(zoom)
    change[:3, 3] = offset
    array = resample_grid(volume.array, np.diag(zoom), offset, shape, _SPLINE_ORDER[interpolation])
    return replace(volume, array=array, affine_lps=volume.affine_lps @ change, sources=(), slice_axis=2, invented=())


def resample_grid(
    array: NDArray[Any], matrix: FloatArray, offset: FloatArray, shape: tuple[int, ...], order: int
) -> NDArray[Any]:
    """Interpolates an array (i, j, k[, t]) at ``matrix @ index + offset`` for every index of a grid of ``shape``.

    Beyond the outermost voxel centres, the value of the nearest voxel is used. Results for an integer array are rounded
    and clipped to its type.
    """
    from scipy import ndimage  # imported here, because it takes a third of a second and is rarely needed

    volumes = array.shape[3:]
    result = np.empty((*shape, *volumes), dtype=array.dtype, order="F")
    for t in np.ndindex(*volumes):
        source = array[(slice(None),) * 3 + t]
        computed = ndimage.affine_transform(
            source if order == 0 else source.astype(np.float32 if source.dtype.itemsize < 4 else np.float64),  # noqa: PLR2004 float32 is exact for up to 24 bits
            matrix,
            offset,
            output_shape=shape,
            order=order,
            mode="nearest",
        )
        if array.dtype.kind in "iu" and order > 0:
            limits = np.iinfo(array.dtype)
            computed = np.clip(np.rint(computed), limits.min, limits.max)
        result[(slice(None),) * 3 + t] = computed
    return result


def percentile_window(array: NDArray[Any]) -> DisplayWindow:
    """Returns the window from the 1st to the 99th percentile of a sample of the voxels."""
    stride = max(1, round((array.size / 1_000_000) ** (1 / array.ndim)))
    sample = array[tuple(slice(None, None, stride) for _ in array.shape)]
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample.ravel()
    if finite.size == 0:
        return DisplayWindow(0.5, 1.0)
    low, high = (float(value) for value in np.percentile(finite, (1, 99)))
    return DisplayWindow((low + high) / 2, max(high - low, 1e-6))


def apply_window(array: NDArray[Any], window: DisplayWindow, *, is_monochrome1: bool = False) -> NDArray[np.uint8]:
    """Maps the values in a window linearly to 0..255 (PS3.3, section C.11.2.1.2.1); NaN becomes 0.

    Args:
        array: Any shape.
        window: Window in the units of the array.
        is_monochrome1: Whether the least value is shown white (PS3.3, section C.7.6.3.1.2).
    """
    if array.dtype.kind in "iu" and array.dtype.itemsize == 2 and array.dtype.isnative and array.size > _SIXTEEN_BITS:  # noqa: PLR2004 bytes
        # a table of all possible values takes less time than arithmetic with each voxel
        table = apply_window(
            np.arange(_SIXTEEN_BITS, dtype=np.uint16).view(array.dtype), window, is_monochrome1=is_monochrome1
        )
        looked_up: NDArray[np.uint8] = table[array.view(np.uint16)]
        return looked_up
    width = max(window.width, 1e-6)
    scaled = (array.astype(np.float32) - (window.center - width / 2)) * (255.0 / width)
    if is_monochrome1:
        scaled = 255.0 - scaled
    shown: NDArray[np.uint8] = np.nan_to_num(np.clip(scaled, 0, 255), nan=0.0).astype(np.uint8)
    return shown
