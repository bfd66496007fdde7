"""Fills contours on the pixels of a slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["filled", "overlap"]

_NOISE = 5  # decimals of a pixel; later ones are rounding errors of decimal strings and of an affine's inverse
_SLIVER_PART = 0.01
_SLIVER_PIXELS = 2


def filled(contours: Iterable[FloatArray], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns the pixels whose centres lie inside of closed contours, by the even-odd rule.

    A contour within another one is a hole, and one within the hole is an island. A keyhole, a contour that goes to its
    hole and back along one line, leaves the hole open. Centres on a left or upper edge are inside; centres on a right
    or lower edge are outside. So two contours that share an edge share no pixel.

    Args:
        contours: Arrays of shape (points, 2): columns and rows, in pixels, where whole numbers are the pixels' centres.
        shape: Number of columns and rows of the mask.

    Example:
        >>> square = np.array([[0.5, 0.5], [3.5, 0.5], [3.5, 3.5], [0.5, 3.5]])
        >>> hole = np.array([[1.5, 1.5], [2.5, 1.5], [2.5, 2.5], [1.5, 2.5]])
        >>> int(filled([square], (5, 5)).sum()), int(filled([square, hole], (5, 5)).sum())
        (9, 8)
    """
    columns, rows = shape
    crossings = np.zeros((rows, columns + 1), np.int32)
    for contour in contours:
        points = np.round(contour, _NOISE)
        _count_crossings(points, np.roll(points, -1, axis=0), crossings)
    inside = np.cumsum(crossings, axis=1)[:, :columns] & 1
    mask: NDArray[np.bool_] = inside.T.astype(bool)
    return mask


def _count_crossings(starts: FloatArray, ends: FloatArray, crossings: NDArray[np.int32]) -> None:
    """Adds 1, in each row of pixel centres, at the first column right of each edge that crosses the row."""
    rows, columns = crossings.shape[0], crossings.shape[1] - 1
    upward = starts[:, 1] > ends[:, 1]
    low = np.where(upward[:, np.newaxis], ends, starts)
    high = np.where(upward[:, np.newaxis], starts, ends)
    # an edge crosses the rows from its upper end, included, to its lower end, excluded
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.intp)
    last = np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.intp)
    counts = last - first
    edge = np.repeat(np.arange(len(low)), counts)
    if not len(edge):
        return
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    crossed = np.round(low[edge, 0] + slope * (row - low[edge, 1]), _NOISE)
    column = np.clip(np.ceil(crossed), 0, columns).astype(np.intp)
    np.add.at(crossings, (row, column), 1)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Returns whether two filled contours cross: they share more than a sliver, and neither contains the other."""
    smaller = min(int(one.sum()), int(other.sum()))
    shared = int((one & other).sum())
    allowed = max(_SLIVER_PIXELS, _SLIVER_PART * smaller)
    return min(shared, smaller - shared) > allowed
