"""Where the slices of an array go: the grid of the source when the array lies on it, else the planes of its affine.

An array that lies on the source's grid, with its axes in whatever order and direction, is turned to the source's own
axes, so that slice k shows what slice k of the source shows and viewers scroll them together. Any other array keeps its
axes. A DICOM slice is a rectangle of rows and columns, and slices of a volume are stacked along their normal, so a
sheared affine is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import DerivedObjectError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.derived.source import SourceFrame, SourceGrid

__all__ = ["Placement", "place"]

_MATCH_VOXELS = 0.02
_SHEAR = 1e-4


@dataclass(frozen=True)
class Placement:
    """An array on its planes, slices ascending along their normal."""

    array: NDArray[Any]
    """Shape (columns, rows, slices, volumes)."""

    affine_lps: NDArray[np.float64]
    """(i, j, k, 1) of this array to LPS mm."""

    orientation: tuple[float, ...]
    """ImageOrientationPatient of every slice."""

    pixel_spacing: tuple[float, float]
    """PixelSpacing in mm: between rows, between columns."""

    step_mm: float
    """Between slices, along the normal."""

    origins: NDArray[np.float64]
    """Shape (slices, 3): ImagePositionPatient of each slice, LPS mm."""

    slices: tuple[tuple[SourceFrame, ...], ...] | None
    """For each slice the frames of the source that show the same plane; None when the array is not on its grid."""

    def corners(self, index: int) -> NDArray[np.float64]:
        """Shape (4, 3): the corners of a slice, LPS mm."""
        columns, rows = (size - 1 for size in self.array.shape[:2])
        along_row, along_column = self.affine_lps[:3, 0] * columns, self.affine_lps[:3, 1] * rows
        steps = (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
        return np.array([self.origins[index] + i * along_row + j * along_column for i, j in steps])

    @property
    def on_source_grid(self) -> bool:
        """Whether every voxel is a voxel of the source."""
        return self.slices is not None


def place(array: NDArray[Any], affine_lps: NDArray[np.float64] | None, grid: SourceGrid | None) -> Placement:
    """Finds the planes of an array.

    Args:
        array: Shape (i, j), (i, j, k) or (i, j, k, t): column, row, slice, volume.
        affine_lps: Shape (4, 4): (i, j, k, 1) to LPS mm. None when the array has the source's own axes and shape.
        grid: The grid of the source, where it has one.

    Raises:
        DerivedObjectError: The shape does not fit, the affine is not invertible, or it is sheared.
    """
    stack = _four_axes(array)
    if affine_lps is None:
        if grid is None or stack.shape[:3] != grid.shape:
            has = "has no regular grid" if grid is None else f"has the grid {grid.shape}"
            raise DerivedObjectError(
                f"the array of shape {array.shape} comes without an affine and the source {has}: give affine_lps, "
                "which maps (column, row, slice, 1) to LPS mm"
            )
        affine_lps = grid.affine_lps
    affine = _checked_affine(affine_lps)
    found = _on_grid(stack, affine, grid) if grid is not None else None
    return found if found is not None else _on_own_planes(stack, affine)


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim not in {2, 3, 4} or 0 in array.shape:
        raise DerivedObjectError(
            f"an array of shape {array.shape} is no image: give (column, row), (column, row, slice) or "
            "(column, row, slice, volume), each at least 1"
        )
    return array.reshape(array.shape + (1,) * (4 - array.ndim))


def _checked_affine(affine_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.asarray(affine_lps, dtype=np.float64)
    usable = affine.shape == (4, 4) and bool(np.isfinite(affine).all()) and np.allclose(affine[3], (0, 0, 0, 1))
    if not usable or np.linalg.norm(affine[:3, :3], axis=0).min() < 1e-6:  # noqa: PLR2004 mm
        raise DerivedObjectError(
            "affine_lps is not a 4 x 4 matrix that gives every voxel a size: check how it was made"
        )
    return affine


def _on_grid(stack: NDArray[Any], affine: NDArray[np.float64], grid: SourceGrid) -> Placement | None:
    """The array on the source's axes, when each of its voxels is a voxel of the source."""
    to_grid = np.linalg.inv(grid.affine_lps) @ affine
    axes = np.rint(to_grid[:3, :3])
    if not (np.abs(axes).sum(axis=0) == 1).all() or not (np.abs(axes).sum(axis=1) == 1).all():
        return None
    last = np.array(stack.shape[:3]) - 1
    corners = np.array([(*(np.array(corner) * last), 1) for corner in product((0, 1), repeat=3)]).T
    lands = (to_grid @ corners)[:3]
    whole = np.rint(lands)
    inside = (whole >= 0).all() and (whole.max(axis=1) < grid.shape).all()
    if np.abs(lands - whole).max() > _MATCH_VOXELS or not inside:
        return None
    own_axis_of = [int(np.flatnonzero(axes[axis])[0]) for axis in range(3)]
    turned = stack.transpose(*own_axis_of, 3)
    for axis in range(3):
        if axes[axis, own_axis_of[axis]] < 0:
            turned = np.flip(turned, axis)
    first = whole.min(axis=1).astype(int)
    return _grid_placement(turned, grid, first)


def _grid_placement(turned: NDArray[Any], grid: SourceGrid, first: NDArray[np.int_]) -> Placement:
    slices = grid.slices[first[2] : first[2] + turned.shape[2]]
    in_plane = grid.affine_lps[:3, 0] * first[0] + grid.affine_lps[:3, 1] * first[1]
    affine = grid.affine_lps.copy()
    affine[:3, 3] = grid.affine_lps[:3, :3] @ first + grid.affine_lps[:3, 3]
    orientation, spacing = slices[0][0].orientation or (), slices[0][0].pixel_spacing or (1.0, 1.0)
    return Placement(
        array=turned,
        affine_lps=affine,
        orientation=orientation,
        pixel_spacing=(spacing[0], spacing[1]),
        step_mm=_along_normal(affine),
        origins=np.array([frames[0].origin for frames in slices], dtype=np.float64) + in_plane,
        slices=slices,
    )


def _along_normal(affine: NDArray[np.float64]) -> float:
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return float(abs(affine[:3, 2] @ normal) / np.linalg.norm(normal))


def _on_own_planes(stack: NDArray[Any], affine: NDArray[np.float64]) -> Placement:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    units = affine[:3, :3] / lengths
    shear = np.abs(units.T @ units - np.eye(3)).max()
    if shear > _SHEAR:
        angle = np.degrees(np.arcsin(min(1.0, float(shear))))
        raise DerivedObjectError(
            f"the affine is sheared by {angle:.2f} degrees, but DICOM stacks rectangles along their normal: "
            "resample the array to perpendicular axes first"
        )
    if np.cross(units[:, 0], units[:, 1]) @ units[:, 2] < 0:  # slices ascend along the normal, so does InstanceNumber
        stack = stack[:, :, ::-1]
        affine = affine.copy()
        affine[:3, 3] += affine[:3, 2] * (stack.shape[2] - 1)
        affine[:3, 2] *= -1
    steps = np.arange(stack.shape[2])[:, np.newaxis]
    return Placement(
        array=stack,
        affine_lps=affine,
        orientation=tuple(float(cosine) for cosine in (*units[:, 0], *units[:, 1])),
        pixel_spacing=(float(lengths[1]), float(lengths[0])),
        step_mm=float(lengths[2]),
        origins=affine[:3, 3] + steps * affine[:3, 2],
        slices=None,
    )
