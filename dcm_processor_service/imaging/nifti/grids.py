"""Compares images that dcm2niix makes of UIH's grids with the series.

A grid is an image in which UIH's scanners place the slices of a volume side by side. This package does not know the
order of the slices in it. But the series states how many slices there are, how large their pixels are, and which values
each volume holds. An image that differs in one of these is wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.frames.vendor import mosaic_count
from dcm_processor_service.imaging.volumes.read import read_frames
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.nifti.task import ConversionTask

__all__ = ["difference_from_grids"]

_SPACING_PART = 0.01
_VALUE_PART = 1e-4


def difference_from_grids(values: ArrayLike, affine_ras: ArrayLike, task: ConversionTask, *, alone: bool = True) -> str:
    """Says how an image differs from a series of grids; empty if no difference is found.

    Args:
        values: Shape (i, j, k[, t]).
        affine_ras: Shape (4, 4), voxel to mm in RAS.
        task: Conversion of the series, each image of which is a grid of slices.
        alone: Whether dcm2niix made only this image of the series, so that the image must hold every grid.

    Raises:
        InvalidSeriesError: The pixels of a grid cannot be read.
    """
    array = np.asanyarray(values)
    array = array.reshape(*array.shape, *(1,) * (4 - array.ndim))
    grids = [frame for instance in task.inspection.instances for frame in frames_of(instance)[:1]]
    if not alone:
        grids = [grid for grid in grids if mosaic_count(grid.instance.header) == array.shape[2]]
    differs = _difference_of_layout(array, np.asarray(affine_ras), grids)
    return differs or _difference_of_values(array, grids, task, alone=alone)


def _difference_of_layout(array: NDArray[Any], affine: NDArray[Any], grids: list[FrameInfo]) -> str:
    counts = {mosaic_count(grid.instance.header) for grid in grids}
    if counts != {float(array.shape[2])}:
        return f"it has {array.shape[2]} slices, but the grids state another number"
    pixels, tiles = grids[0].pixel_format, math.ceil(math.sqrt(array.shape[2]))
    if sorted(array.shape[:2]) != sorted((pixels.columns // tiles, pixels.rows // tiles)):
        return f"its slices are of {array.shape[0]} x {array.shape[1]} pixels, which the grids do not hold"
    spacing = grids[0].pixel_spacing
    lengths = np.linalg.norm(affine[:3, :2], axis=0)
    if spacing is not None and not np.allclose(sorted(lengths), sorted(spacing), rtol=_SPACING_PART):
        return "its pixels are of another size than those of the grids"
    return ""


def _difference_of_values(array: NDArray[Any], grids: list[FrameInfo], task: ConversionTask, *, alone: bool) -> str:
    """Compares the values of each volume in sorted order, without the background, which also fills unused tiles."""
    left = [_sorted(array[..., time], grids[0].intercept) for time in range(array.shape[3])]
    for grid in grids:
        try:
            own = _sorted(read_frames([grid], task.inspection.report, task.limits), grid.intercept)
        except UnsupportedTransferSyntaxError:
            return ""  # the values cannot be compared, because they cannot be decoded here
        allowed = _VALUE_PART * float(np.abs(own).max(initial=0.0))
        same = next((one for one in left if one.shape == own.shape and np.allclose(one, own, 0, allowed)), None)
        if same is None and alone:
            return f"none of its volumes has the values of {grid.instance.label}"
        left = [one for one in left if one is not same]
    return "" if not left else f"it has {counted(len(left), 'volume')} that no grid holds"


def _sorted(values: NDArray[Any], background: float) -> NDArray[np.float64]:
    flat = values.astype(np.float64).ravel()
    return np.sort(flat[flat != background])
