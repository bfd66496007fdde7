"""Finds the slice of a source that is nearest to a place in the patient, and the pixel on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.series.stack import single_slice_step_mm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.source import SourceSeries
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["nearest_slice", "pixels_of"]


def nearest_slice(place_lps: Sequence[float], source: SourceSeries) -> FrameInfo | None:
    """Returns the frame of the slice that is nearest to a place; None if the place lies outside of all slices.

    Args:
        place_lps: Coordinates of the place, mm in LPS, shape (3,).
        source: Series whose slices are searched.
    """
    try:
        place = np.array(place_lps, np.float64)
    except (TypeError, ValueError):  # the coordinates are not numbers
        return None
    best: tuple[float, FrameInfo] | None = None
    for stack in source.stacks if place.shape == (3,) and np.isfinite(place).all() else ():
        along = np.abs((stack.origins - place) @ slice_normal(stack.first.orientation or ()))
        index = int(along.argmin())
        frame = stack.grid[0][index]
        size = np.array([frame.pixel_format.columns, frame.pixel_format.rows])
        is_inside = bool((np.abs(pixels_of(place, frame) - (size - 1) / 2) <= size / 2).all())
        if is_inside and along[index] <= _reach_mm(stack, index) and (best is None or along[index] < best[0]):
            best = float(along[index]), frame
    return None if best is None else best[1]


def pixels_of(points: NDArray[np.float64], frame: FrameInfo) -> NDArray[np.float64]:
    """Converts places in LPS mm to column and row of a frame; whole numbers are the centres of pixels."""
    between_rows, between_columns = frame.pixel_spacing or (1.0, 1.0)
    axes = np.array(frame.orientation).reshape(2, 3) / np.array([[between_columns], [between_rows]])
    found: NDArray[np.float64] = (points - np.array(frame.position)) @ axes.T
    return found


def _reach_mm(stack: Stack, index: int) -> float:
    """Returns how far a slice reaches along the normal, to each side: halfway to the farther of its neighbours."""
    if len(stack.grid[0]) == 1:
        return single_slice_step_mm(stack.first) / 2
    gaps = np.diff(stack.origins @ slice_normal(stack.first.orientation or ()))
    return float(gaps[max(0, index - 1) : index + 1].max()) / 2
