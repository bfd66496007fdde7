"""Places one volume of voxels, such as a mask or a map, and checks that it lies at the source and not elsewhere."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.derived.placement import place
from dcm_processor_service.errors import DerivedObjectError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.derived.inputs import PlacedArray
    from dcm_processor_service.derived.placement import Placement
    from dcm_processor_service.derived.source import SourceSeries

__all__ = ["place_one_volume"]

_FAR_MM = 1000.0
"""The farthest that voxels may lie from the source if they name a frame of reference: they may show another part of the
patient in it. Voxels that name none must touch the source."""


def place_one_volume(voxels: PlacedArray, source: SourceSeries) -> Placement:
    """Places an array of three axes.

    Raises:
        DerivedObjectError: The array has several volumes, cannot be placed (see :func:`.placement.place`), or lies away
            from the source.
    """
    shape = voxels.array.shape
    if len(shape) > 3 and shape[3] != 1:  # noqa: PLR2004 columns, rows, slices
        raise DerivedObjectError(
            f"an array of shape {shape} has several volumes: make one object for each, with a role of its own, or "
            "a segmentation of each time point with derive.segmentations"
        )
    placement = place(voxels, source)
    if placement.is_projection and len(placement.origins) > 1:
        raise DerivedObjectError(
            "an object made of images that have no place in space (projections, ultrasound) is about one of them: make "
            "one for each image, with that image's header as like, and a role of its own; the frames of a multi-frame "
            "loop have no headers of their own, so this is not possible for them"
        )
    _require_nearness(placement, source, 0 if not voxels.frame_of_reference_uid else _FAR_MM)
    return placement


def _require_nearness(placement: Placement, source: SourceSeries, farthest_mm: float) -> None:
    """Refuses voxels that lie away from the source's images, perhaps because their affine is wrong.

    Raises:
        DerivedObjectError: The box around the voxels is farther than ``farthest_mm`` from the box around the source's
            frames.
    """
    stacks = [stack.affine_lps() @ _corners(stack.shape) for stack in source.grids]
    if placement.is_projection or placement.on_source_grid or not stacks:
        return
    own = (placement.affine_lps @ _corners(placement.array.shape[:3]))[:3]
    theirs = np.concatenate(stacks, axis=1)[:3]
    gap = np.maximum(own.min(axis=1) - theirs.max(axis=1), theirs.min(axis=1) - own.max(axis=1)).max()
    if gap > farthest_mm:
        raise DerivedObjectError(
            f"the voxels lie {gap:.0f} mm away from all that the source shows: check the affine, its unit and "
            "its frame: LPS mm for affine_lps, RAS mm in NIfTI"
        )


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns the corners of a grid as columns (i, j, k, 1), at the outer edges of its voxels."""
    ends = [(-0.5, size - 0.5) for size in shape]
    corners: NDArray[np.float64] = np.array([(*corner, 1.0) for corner in product(*ends)]).T
    return corners
