"""Resamples voxels of any grid to the slices of their source, such as the mask that a model made on a regular grid.

Each voxel of a source slice gets the value of the nearest voxel: the voxel of the other grid that contains its centre.
If the ``sources`` of a volume name slices of the series, for instance of a part of it, only these slices are written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.placement import place
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.frames.frame import frame_of_reference_uid
from dcm_processor_service.imaging.geometry import slice_normal, stack_affine
from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.imaging.volumes.voxel_grid import SliceSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.derived.inputs import PlacedArray, Voxels
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["to_source"]

_LOG = logging.getLogger(__name__)

_TIE = 1e-6  # of a voxel
_SAME_PLACE_MM = 1e-2
_MOST_LABELS = 1 << 16


def to_source(voxels: Voxels, source: Source) -> SourceSlices:
    """Resamples a mask or a label map to the slices of a series; voxels outside of its grid become 0.

    Args:
        voxels: A Volume, a NIfTI image or file, or an image of SimpleITK, of three axes, which has an affine.
        source: The series.

    Returns:
        All slices of the series, with an array of the same dtype.

    Raises:
        DerivedObjectError: The voxels have no affine, or meet no slice of the series; or the series has no slices in
            space, or has several stacks of slices and the volume has the name of none of them.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> ct = dcmread(get_testdata_file("CT_small.dcm"))
        >>> coarse = stack_affine(ct.ImageOrientationPatient, (6.0, 6.0), ct.ImagePositionPatient, (0, 0, 5.0))
        >>> mask = Volume(np.ones((4, 4, 1), bool), coarse)
        >>> found = to_source(mask, SourceSeries.from_headers([ct]))
        >>> found.shape, bool(found.array[0, 0, 0]), bool(found.array[100, 0, 0])
        ((128, 128, 1), True, False)
    """
    given = voxels_of(voxels)
    if given.affine_lps is None:
        raise DerivedObjectError(
            "an array does not say where it lies: give what volume.like(array) returns, a NIfTI or a SimpleITK image"
        )
    if given.array.ndim != 3:  # noqa: PLR2004 columns, rows, slices
        raise DerivedObjectError(
            f"an array of shape {given.array.shape} is not a single volume: give one volume in each call"
        )
    own = _own_slices(given, source) if isinstance(source, SourceSeries) and given.sources else None
    name = voxels.name if isinstance(voxels, Volume) else ""
    stack = own.stack if own is not None else _stack(source, given.frame_of_reference_uid, name)
    affines = np.array([_affine(stack, index) for index in range(stack.shape[2])])
    found = np.zeros(stack.shape, given.array.dtype, order="F")
    if own is not None:
        found[:, :, own.indices] = own.array
    else:
        _fill_all(found, given.array, np.linalg.inv(np.asarray(given.affine_lps, np.float64)) @ affines)
    return SourceSlices(
        found,
        tuple(SliceSource(frame.instance.sop_instance_uid, frame.number) for frame in stack.grid[0]),
        affines,
        given.frame_of_reference_uid or frame_of_reference_uid(stack.grid[0]),
    )


@dataclass(frozen=True)
class _OwnSlices:
    """Voxels whose slices are slices of a stack, with the indices of these slices in the stack."""

    array: NDArray[Any]
    """Shape (columns, rows, slices), on the axes of the stack."""

    stack: Stack
    indices: list[int]


def _own_slices(given: PlacedArray, source: SourceSeries) -> _OwnSlices | None:
    """Returns the slices of a volume by the frames that it names; None if the series does not have all of them."""
    if any(source.frame(each.sop_instance_uid, each.frame_number) is None for each in given.sources[0]):
        return None
    placement = place(given, source)
    for stack in source.stacks if placement.slices is not None else ():
        at = {_key(frame): index for line in stack.grid for index, frame in enumerate(line)}
        keys = [_key(frames[0]) for frames in placement.slices or ()]
        if placement.array.shape[:2] == stack.shape[:2] and at.keys() >= set(keys):
            return _OwnSlices(placement.array[..., 0], stack, [at[key] for key in keys])
    return None


def _key(frame: FrameInfo) -> tuple[str, int]:
    return frame.instance.sop_instance_uid, frame.number


def _stack(source: Source, frame_of_reference: str, name: str) -> Stack:
    """Returns the stack to resample to: the only one, or the one with the volume's name.

    Raises:
        DerivedObjectError: There is no stack in that frame of reference, or there are several.
    """
    stacks = source.stacks if isinstance(source, SourceSeries) else ()
    if not stacks:
        raise DerivedObjectError("the series has no slices that lie in space (projections, ultrasound)")
    known = {"", frame_of_reference} if frame_of_reference else None
    near = [stack for stack in stacks if known is None or frame_of_reference_uid(stack.grid[0]) in known]
    if not near:
        raise DerivedObjectError(
            "the voxels lie in another frame of reference than the series: register them to the series, and give the "
            "result as an image that names no frame of reference, such as NIfTI"
        )
    found = _one_at_each_place(near)
    if len(found) > 1:
        found = [stack for stack in found if name == stack.name or name.startswith(f"{stack.name}_run-")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(stack.name for stack in _one_at_each_place(near))
    raise DerivedObjectError(
        f"the series has several stacks of slices ({names}): give volume.like(result) with the volume of one"
    )


def _one_at_each_place(stacks: list[Stack]) -> list[Stack]:
    """Returns one stack for each place, such as the first of several echoes."""
    found: list[Stack] = []
    for stack in stacks:
        if not any(_at_one_place(stack, other) for other in found):
            found.append(stack)
    return found


def _at_one_place(stack: Stack, other: Stack) -> bool:
    return (
        stack.shape == other.shape
        and np.allclose(stack.origins, other.origins, atol=_SAME_PLACE_MM)
        and np.allclose(stack.affine_lps()[:3, :2], other.affine_lps()[:3, :2], atol=_SAME_PLACE_MM)
    )


def _affine(stack: Stack, index: int) -> NDArray[np.float64]:
    frame = stack.grid[0][index]
    orientation = frame.orientation or ()
    return stack_affine(orientation, frame.pixel_spacing or (), frame.position or (), slice_normal(orientation))


def _fill_all(found: NDArray[Any], array: NDArray[Any], to_grid: NDArray[np.float64]) -> None:
    """Fills all slices; ``to_grid`` holds for each slice the matrix from (i, j, 0, 1) to indices of the array.

    Raises:
        DerivedObjectError: The grid reaches no slice.
    """
    touched = [_fill(found[:, :, index], array, each) for index, each in enumerate(to_grid)]
    if not any(touched):
        raise DerivedObjectError(
            "no slice of the series goes through the voxels: check the affine, its unit and its frame, or give the "
            "series that they were computed from"
        )
    _warn_of_lost_labels(array, found)


def _fill(plane: NDArray[Any], array: NDArray[Any], to_grid: NDArray[np.float64]) -> bool:
    """Writes the nearest voxels into a plane of shape (columns, rows); returns whether the grid reaches it."""
    columns, rows = np.arange(plane.shape[0])[:, np.newaxis], np.arange(plane.shape[1])[np.newaxis]
    inside = np.ones(plane.shape, np.bool_)
    nearest = []
    for axis, size in enumerate(array.shape):
        at = to_grid[axis, 0] * columns + to_grid[axis, 1] * rows + to_grid[axis, 3]
        inside &= (at >= -0.5 - _TIE) & (at <= size - 0.5 + _TIE)
        nearest.append(np.floor(at + (0.5 - _TIE)).astype(np.intp).clip(0, size - 1))
    if inside.any():
        plane[inside] = array[tuple(index[inside] for index in nearest)]
        return True
    return False


def _warn_of_lost_labels(array: NDArray[Any], found: NDArray[Any]) -> None:
    if array.dtype.kind not in "bui" or array.min() < 0 or array.max() >= _MOST_LABELS:
        return
    before, after = (np.flatnonzero(np.bincount(each.ravel(order="K"))) for each in (array, found))
    lost = sorted({*before.tolist()} - {*after.tolist()} - {0})
    if lost:
        _LOG.warning("no slice of the series goes through a voxel of the labels %s, which lie between them", lost[:10])
