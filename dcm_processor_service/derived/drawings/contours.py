"""Finds the outlines of a mask on one slice: closed polygons halfway between the voxels inside and those outside.

A polygon with holes is one closed line: a channel of zero width leads to each hole and back (the keyhole technique,
PS3.3, section C.8.8.6.3). A reader that tests whether the centre of each voxel lies within the polygons, by the
even-odd rule, gets the mask back exactly. Voxels that touch only at a corner belong to different polygons. Outlines cut
the corners of voxels, so that the area of each outline without holes is half a voxel less than the area of its part of
the mask.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import contourpy
import numpy as np

from dcm_processor_service.errors import DerivedObjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.drawings.named_masks import NamedMasks

__all__ = ["MOST_OUTLINES", "TooManyOutlinesError", "drawn_on", "outlines", "rings"]

MOST_OUTLINES = 5_000
"""The largest number of outlines of a structure on a slice: even the vessels of both lungs have only some hundreds."""


class TooManyOutlinesError(ValueError):
    """A mask has more parts and holes on one slice than any structure has."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} outlines on one slice")
        self.count = count


def drawn_on(
    masks: NamedMasks, index: int, draw: Callable[[NDArray[np.bool_]], list[NDArray[np.float64]]]
) -> Iterator[tuple[int, list[NDArray[np.float64]]]]:
    """Yields the number, from 0, and the lines of each structure that occurs on a slice.

    Args:
        masks: The structures.
        index: Index of the slice, from 0.
        draw: :func:`outlines` or :func:`rings`.

    Raises:
        DerivedObjectError: A structure has more than :data:`MOST_OUTLINES`.
    """
    for number, mask in masks.on_slice(index):
        try:
            lines = draw(mask)
        except TooManyOutlinesError as error:
            name = list(masks.said)[number]
            raise DerivedObjectError(
                f"the mask of {name!r} has {error.count} outlines on slice {index + 1}, and at most {MOST_OUTLINES} "
                "are drawn: it is noise rather than a structure; smooth it, or make a segmentation, which holds any "
                "mask"
            ) from None
        yield number, lines


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Returns the outlines of a mask.

    Args:
        mask: Shape (columns, rows).

    Raises:
        TooManyOutlinesError: The mask has more than :data:`MOST_OUTLINES`, including those of holes.

    Returns:
        For each connected part an array of shape (points, 2): column and row, where whole numbers are the centres of
        voxels. The last point is not the first one again.

    Example:
        >>> [outline.tolist() for outline in outlines(np.ones((1, 1), np.bool_))]
        [[[-0.5, 0.0], [0.0, -0.5], [0.5, 0.0], [0.0, 0.5]]]
    """
    return [_without_midpoints(_joined(part)) for part in _parts(mask)]


def rings(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Returns the outlines of a mask as :func:`outlines` does, but each hole as a closed line of its own.

    Example:
        >>> mask = np.ones((3, 3), np.bool_)
        >>> mask[1, 1] = False
        >>> [len(ring) for ring in rings(mask)]
        [8, 4]
    """
    return [_without_midpoints(ring) for part in _parts(mask) for ring in part]


def _parts(mask: NDArray[np.bool_]) -> list[list[NDArray[np.float64]]]:
    """Returns for each connected part a list of rings: the outer one first, then one for each hole."""
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(columns):
        return []
    left, top = columns[0], rows[0]
    part = mask[left : columns[-1] + 1, top : rows[-1] + 1]
    grid: NDArray[Any] = np.pad(part.T, 1).astype(np.float32)
    generator: Any = contourpy.contour_generator(z=grid, fill_type=contourpy.FillType.OuterOffset)
    points, offsets = generator.filled(0.5, 2.0)
    count = sum(len(ends) - 1 for ends in offsets)
    if count > MOST_OUTLINES:
        raise TooManyOutlinesError(count)
    found = []
    for line, ends in zip(points, offsets, strict=True):
        whole = line + np.array([left - 1, top - 1])
        found.append([whole[start : stop - 1] for start, stop in pairwise(ends)])  # contourpy repeats the first point
    return found


def _joined(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Joins each hole to the ring around it, or to another hole, whichever comes first to its left.

    From the leftmost point of a hole, which lies on a row of voxel centres, the channel goes along that row through
    voxels of the mask, to the point at which the row enters the mask. No other channel ends there.
    """
    if len(rings) == 1:
        return rings[0]
    at = {(x, y): (ring, index) for ring, line in enumerate(rings) for index, (x, y) in enumerate(line.tolist())}
    entries: dict[float, list[float]] = {}
    for x, y in sorted(at):
        entries.setdefault(y, []).append(x)
    holes: dict[tuple[int, int], tuple[int, int]] = {}
    for ring, line in enumerate(rings[1:], start=1):
        start = int(np.argmin(line[:, 0]))
        x, y = line[start].tolist()
        holes[at[entries[y][bisect_left(entries[y], x) - 1], y]] = ring, start
    first = np.cumsum([0, *map(len, rings)])
    return np.concatenate(rings)[[first[ring] + index for ring, index in _walk([*map(len, rings)], holes)]]


def _walk(sizes: Sequence[int], holes: dict[tuple[int, int], tuple[int, int]]) -> list[tuple[int, int]]:
    """Lists the points around the first ring; where a channel starts, goes along it and around its hole first."""
    path = []
    todo = [(0, index) for index in reversed(range(sizes[0]))]
    while todo:
        ring, index = todo.pop()
        path.append((ring, index))
        hole, start = holes.pop((ring, index), (0, 0))
        if hole:
            todo.append((ring, index))
            todo.extend((hole, (start + step) % sizes[hole]) for step in range(sizes[hole], -1, -1))
    return path


def _without_midpoints(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leaves out points in the middle of a straight stretch, but not the turning points of channels."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    kept: NDArray[np.float64] = line[turns | ((before * after).sum(axis=1) < 0)]
    return kept
