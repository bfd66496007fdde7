"""Places the slices of an array: on the planes of the source's frames if it lies on them, or else by its affine.

A volume that was read from the source names the frame of each slice, and is placed on the planes of these frames, even
if the gantry was tilted. Voxels with an affine on the grid of one of the source's stacks are turned to the axes of that
stack, so that slice k of both shows the same plane and viewers scroll them together. All other voxels keep their axes.
DICOM stacks slices along their normal, so a sheared affine of such voxels is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.frames.frame import frame_of_reference_uid
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.series.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.inputs import PlacedArray
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["Placement", "has_no_place", "place"]

_MATCH_VOXELS = 0.02
_SAME_PLACE_MM = 1e-2
_SHEAR = 1e-4
_SAME_STEP = 0.05
_ALWAYS_IN_SPACE = frozenset({"CT", "MR", "PT", "NM"})


@dataclass(frozen=True)
class Placement:
    """An array with the geometry of its slices, which ascend along their normal; slices of a source may be uneven."""

    array: NDArray[Any]
    """Shape (columns, rows, slices, volumes)."""

    affine_lps: NDArray[np.float64]
    """Maps (i, j, k, 1) of this array to LPS mm. For uneven slices, k is not mapped correctly: use the matrix's first
    two columns with the slice's own origin."""

    orientation: tuple[float, ...]
    """ImageOrientationPatient of every slice."""

    pixel_spacing: tuple[float, float]
    """PixelSpacing in mm: between rows, between columns."""

    step_mm: float
    """Distance between slices along the normal."""

    origins: NDArray[np.float64]
    """Shape (slices, 3): ImagePositionPatient of each slice, LPS mm."""

    slices: tuple[tuple[FrameInfo, ...], ...] | None = None
    """For each slice the frames of the source on the same plane; None if the array does not lie on the source's
    planes."""

    frame_of_reference_uid: str = ""
    """The frame of reference of the positions; empty if it is not known."""

    def corners(self, index: int) -> NDArray[np.float64]:
        """Returns the centres of the corner voxels of a slice: shape (4, 3), LPS mm."""
        columns, rows = (size - 1 for size in self.array.shape[:2])
        along_row, along_column = self.affine_lps[:3, 0] * columns, self.affine_lps[:3, 1] * rows
        steps = (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
        return np.array([self.origins[index] + i * along_row + j * along_column for i, j in steps])

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """Shape (slices,): height of each slice along the normal, up to halfway to each of its neighbours."""
        if len(self.origins) == 1:
            return np.array([self.step_mm])
        gaps = np.abs(np.diff(self.origins @ slice_normal(self.orientation)))
        heights: NDArray[np.float64] = (np.r_[gaps[:1], gaps] + np.r_[gaps, gaps[-1:]]) / 2
        return heights

    @property
    def has_one_step(self) -> bool:
        """Whether all neighbouring slices are ``step_mm`` apart."""
        return bool(np.allclose(self.heights_mm, self.step_mm, rtol=_SAME_STEP, atol=_SAME_PLACE_MM))

    @property
    def is_projection(self) -> bool:
        """Whether the source has no place in space; projections and ultrasound have none."""
        return not self.orientation

    @property
    def on_source_grid(self) -> bool:
        """Whether every voxel is a voxel of the source."""
        return self.slices is not None


def place(voxels: PlacedArray, source: Source) -> Placement:
    """Finds the planes on which the slices of an array lie.

    Args:
        voxels: Shape (i, j), (i, j, k) or (i, j, k, t): column, row, slice, volume. Without an affine they have the
            axes and the shape of a stack of the source.
        source: Source on whose frames the voxels may lie.

    Raises:
        DerivedObjectError: The shape does not fit, the affine is not invertible, or it is sheared and the voxels do not
            lie on a stack of the source.
    """
    array = _four_axes(voxels.array)
    series = source if isinstance(source, SourceSeries) else None
    if series is not None and voxels.affine_lps is None and voxels.sources:
        return _on_own_frames(array, voxels, series)
    if series is not None and voxels.affine_lps is None and has_no_place(series):
        return _on_projections(array, series)
    own, others = _own_grid(voxels, series), _grids(voxels, series)
    affine = _checked_affine(_implied_affine(array, others) if voxels.affine_lps is None else voxels.affine_lps)
    found = _matches(array, affine, own) or _matches(array, affine, others)
    if not found:
        return _on_own_planes(array, affine, voxels.frame_of_reference_uid)
    slices = _shared_planes(found)
    if series is not None and own and array.shape[3] == 1:  # such as one mask for all volumes of a 4D series
        slices = tuple(tuple(one for frame in frames for one in series.in_all_volumes(frame)) for frames in slices)
    known = voxels.frame_of_reference_uid or frame_of_reference_uid(frame for frames in slices for frame in frames)
    return replace(found[0], slices=slices, frame_of_reference_uid=known)


def _on_own_frames(array: NDArray[Any], voxels: PlacedArray, series: SourceSeries) -> Placement:
    """Places slices on the frames that they name, which may be unevenly spaced.

    Raises:
        DerivedObjectError: The source has no such frame.
    """
    found = [series.frame(each.sop_instance_uid, each.frame_number) for each in voxels.sources[0]]
    frames = tuple(frame for frame in found if frame is not None)
    sizes = {(frame.pixel_format.columns, frame.pixel_format.rows) for frame in frames}
    if len(frames) != array.shape[2] or sizes != {array.shape[:2]}:
        raise DerivedObjectError(
            "the slices belong to another series than the source: move the result to the source, series.to_source()"
        )
    stack = Stack((frames,), "")
    spacing = stack.first.pixel_spacing or (1.0, 1.0)
    affine = stack.affine_lps()
    return Placement(
        array=array,
        affine_lps=affine,
        orientation=stack.first.orientation or (),
        pixel_spacing=(spacing[0], spacing[1]),
        step_mm=_along_normal(affine),
        origins=stack.origins,
        slices=tuple(series.in_all_volumes(frame) for frame in frames),
        frame_of_reference_uid=voxels.frame_of_reference_uid or frame_of_reference_uid(frames),
    )


def has_no_place(series: SourceSeries) -> bool:
    """Returns whether the images have no place in space and are of a modality that need not have one."""
    placed = any(frame.orientation is not None or frame.position is not None for frame in series.frames)
    return not placed and series.modality not in _ALWAYS_IN_SPACE


def _on_projections(array: NDArray[Any], series: SourceSeries) -> Placement:
    """Places each slice of an array on one image of a source without places in space.

    Raises:
        DerivedObjectError: The images differ from the slices in number or size.
    """
    shape = (array.shape[1], array.shape[0])
    sizes = [(frame.pixel_format.rows, frame.pixel_format.columns) for frame in series.frames]
    if array.shape[2] != len(sizes) or any(size != shape for size in sizes):
        found = ", ".join(sorted({f"{columns} x {rows}" for rows, columns in sizes})) or "none"
        raise DerivedObjectError(
            f"an array of shape {array.shape[:3]} does not lie on the source, which has no place in space and "
            f"{len(sizes)} images of columns x rows {found}: give (column, row) for one image, (column, row, image) "
            "for all of them in their order, or the header of a single image as like"
        )
    return Placement(
        array=array,
        affine_lps=np.eye(4),
        orientation=(),
        pixel_spacing=(1.0, 1.0),
        step_mm=1.0,
        origins=np.zeros((array.shape[2], 3)),
        slices=tuple((frame,) for frame in series.frames),
    )


def _four_axes(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim not in {2, 3, 4} or 0 in array.shape:
        raise DerivedObjectError(
            f"an array of shape {array.shape} is not an image: give (column, row), (column, row, slice) or "
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


def _own_grid(voxels: PlacedArray, series: SourceSeries | None) -> list[Stack]:
    """Returns the stack of the frames that the voxels were read from, if these are frames of the source."""
    lines: list[tuple[FrameInfo, ...]] = []
    if series is None:
        return []
    for line in voxels.sources:
        frames = [series.frame(each.sop_instance_uid, each.frame_number) for each in line]
        lines.append(tuple(frame for frame in frames if frame is not None))
    if not lines or any(len(line) != len(voxels.sources[0]) for line in lines):
        return []
    stack = Stack(tuple(lines), "")
    if stack.geometry.step_mm < 0:  # the volume was flipped along its slices
        stack = replace(stack, grid=tuple(line[::-1] for line in lines))
    return [stack]


def _grids(voxels: PlacedArray, series: SourceSeries | None) -> list[Stack]:
    """Returns the stacks of the source in whose frame of reference the voxels may be."""
    own = voxels.frame_of_reference_uid
    known = [(grid, frame_of_reference_uid(grid.grid[0])) for grid in (series.grids if series is not None else ())]
    return [grid for grid, uid in known if not own or not uid or uid == own]


def _implied_affine(array: NDArray[Any], grids: Sequence[Stack]) -> NDArray[np.float64]:
    """Returns the affine of the stack of the source that has the shape of the array."""
    fitting = [grid.affine_lps() for grid in grids if grid.shape == array.shape[:3]]
    if fitting and all(np.allclose(affine, fitting[0], atol=_SAME_PLACE_MM) for affine in fitting):
        return fitting[0]
    shapes = " and ".join(sorted({str(grid.shape) for grid in grids}))
    has = f"has the grid {shapes}" if shapes else "has no regular grid"
    which = " in several places" if fitting else ""
    raise DerivedObjectError(
        f"the array of shape {array.shape[:3]} comes without an affine and the source {has}{which}: give what "
        "volume.like(array) returns, or affine_lps, which maps (column, row, slice, 1) to LPS mm"
    )


def _matches(array: NDArray[Any], affine: NDArray[np.float64], grids: Sequence[Stack]) -> list[Placement]:
    return [found for grid in grids if (found := _on_grid(array, affine, grid)) is not None]


def _shared_planes(found: Sequence[Placement]) -> tuple[tuple[FrameInfo, ...], ...]:
    """Returns the frames of each slice, from all stacks on the same planes; two echoes are such stacks."""
    ends = found[0].origins[[0, -1]]
    alike = [each.slices or () for each in found if np.allclose(each.origins[[0, -1]], ends, atol=_SAME_PLACE_MM)]
    return tuple(tuple(frame for frames in column for frame in frames) for column in zip(*alike, strict=True))


def _on_grid(array: NDArray[Any], affine: NDArray[np.float64], grid: Stack) -> Placement | None:
    """Turns the array to a stack's axes; returns None unless each of its voxels is a voxel of the stack."""
    grid_affine = grid.affine_lps()
    to_grid = np.linalg.inv(grid_affine) @ affine
    axes = np.rint(to_grid[:3, :3])
    if not (np.abs(axes).sum(axis=0) == 1).all() or not (np.abs(axes).sum(axis=1) == 1).all():
        return None
    last = np.array(array.shape[:3]) - 1
    corners = np.array([(*(np.array(corner) * last), 1) for corner in product((0, 1), repeat=3)]).T
    lands = (to_grid @ corners)[:3]
    # Where the corners would lie if the voxels were exactly as large as the stack's. Otherwise corners could lie on
    # voxels of the stack although the voxels between them do not.
    whole = np.column_stack([axes, np.rint(to_grid[:3, 3])]) @ corners
    inside = (whole >= 0).all() and (whole.max(axis=1) < grid.shape).all()
    if np.abs(lands - whole).max() > _MATCH_VOXELS or not inside:
        return None
    own_axis_of = [int(np.flatnonzero(axes[axis])[0]) for axis in range(3)]
    turned = array.transpose(*own_axis_of, 3)
    for axis in range(3):
        if axes[axis, own_axis_of[axis]] < 0:
            turned = np.flip(turned, axis)
    column, row, lowest = whole.min(axis=1).astype(int).tolist()
    lines = [line[lowest : lowest + turned.shape[2]] for line in grid.grid]
    placed_affine = grid_affine.copy()
    placed_affine[:3, 3] += grid_affine[:3, :3] @ (column, row, lowest)
    in_plane = grid_affine[:3, 0] * column + grid_affine[:3, 1] * row
    spacing = grid.first.pixel_spacing or (1.0, 1.0)
    return Placement(
        array=turned,
        affine_lps=placed_affine,
        orientation=grid.first.orientation or (),
        pixel_spacing=(spacing[0], spacing[1]),
        step_mm=_along_normal(placed_affine),
        origins=np.array([frame.position for frame in lines[0]], dtype=np.float64) + in_plane,
        slices=tuple(zip(*lines, strict=True)),
    )


def _along_normal(affine: NDArray[np.float64]) -> float:
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return float(abs(affine[:3, 2] @ normal) / np.linalg.norm(normal))


def _on_own_planes(stack: NDArray[Any], affine: NDArray[np.float64], frame_of_reference: str) -> Placement:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    units = affine[:3, :3] / lengths
    shear = np.abs(units.T @ units - np.eye(3)).max()
    if shear > _SHEAR:
        angle = np.degrees(np.arcsin(min(1.0, float(shear))))
        raise DerivedObjectError(
            f"the affine is sheared by {angle:.2f} degrees, but DICOM stacks rectangles along their normal: "
            "give the series that its slices come from as the source, or resample the array to perpendicular axes"
        )
    if np.cross(units[:, 0], units[:, 1]) @ units[:, 2] < 0:  # slices have to ascend along the normal
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
        frame_of_reference_uid=frame_of_reference,
    )
