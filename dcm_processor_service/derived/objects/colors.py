"""Tells whether voxels are colours, three bytes each, or values of several volumes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.derived.placement import has_no_place
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError

if TYPE_CHECKING:
    from dcm_processor_service.derived.inputs import PlacedArray
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import ImageOptions

__all__ = ["colors_of"]

_RGB = 3
_RGBA = 4
_FOUR_AXES = 4
_ANY_CLASS = frozenset({"source", "sc"})


def colors_of(given: PlacedArray, source: Source, options: ImageOptions) -> PlacedArray | None:
    """Returns the colours with the axes (column, row, slice, 3), or None if the voxels are values.

    Bytes of shape (i, j, k, 3) are colours unless they are three volumes of the source. If the source has no place in
    space and not exactly three images, bytes of shape (i, j, 3) are colours, too.

    Raises:
        DerivedObjectError: The voxels are colours, and the class or the options do not allow this; or they have four
            bytes each, and are not four volumes of the source.
    """
    given = _with_slices(given, source)
    array = given.array
    of_bytes = array.dtype == np.uint8 and array.ndim == _FOUR_AXES and options.kind in _ANY_CLASS
    last = array.shape[-1] if of_bytes else 0
    if last == _RGBA and _RGBA not in {len(given.sources), *_volumes(source)}:
        raise DerivedObjectError(
            f"bytes of shape {array.shape} are four volumes, which the source does not have, or colours with opacity, "
            "which DICOM images cannot store: give colours without it, array[..., :3], or name the kind of volumes"
        )
    if not given.is_color and not (last == _RGB and len(given.sources) != _RGB):
        return None
    if options.kind not in _ANY_CLASS:
        raise DerivedObjectError(
            f"colours are a Secondary Capture, and cannot be of kind {options.kind!r}: leave it out"
        )
    if options.multi_frame or options.units or options.window:
        raise DerivedObjectError(
            "colours have no units and no window, and one instance per slice: leave these options out"
        )
    return given


def _with_slices(given: PlacedArray, source: Source) -> PlacedArray:
    """Adds an axis of slices to bytes of shape (i, j, 3 or 4) if these are one image without a place in space."""
    array = given.array
    if not isinstance(source, SourceSeries) or not has_no_place(source) or array.ndim != _FOUR_AXES - 1:
        return given
    if array.dtype != np.uint8 or array.shape[2] not in {_RGB, _RGBA} or array.shape[2] == len(source.frames):
        return given
    return replace(given, array=array[:, :, np.newaxis])


def _volumes(source: Source) -> set[int]:
    return {len(grid.grid) for grid in source.grids} if isinstance(source, SourceSeries) else set()
