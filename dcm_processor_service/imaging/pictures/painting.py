"""Paints labels over pictures: their areas, half transparent, and their edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["paint_labels"]

_OPACITY = 0.45


def paint_labels(
    pixels: NDArray[np.float32], labels: NDArray[Any], colours: NDArray[np.float32], *, fill: bool = True
) -> None:
    """Paints labels into a picture.

    Args:
        pixels: Shape (rows, columns, 3), 0 to 255; changed in place.
        labels: Shape (rows, columns): 0 is background, 1 gets the first colour; the colours are used cyclically.
        colours: Shape (colours, 3), 0 to 255.
        fill: Whether to paint areas; otherwise only edges are painted: the outermost pixels of each label.

    Example:
        >>> picture = np.zeros((3, 3, 3), np.float32)
        >>> paint_labels(picture, np.ones((3, 3), int), np.array([[200, 0, 0]], np.float32), fill=False)
        >>> picture[..., 0].tolist()
        [[200.0, 200.0, 200.0], [200.0, 0.0, 200.0], [200.0, 200.0, 200.0]]
    """
    inside = labels != 0
    if fill:
        shown = colours[(labels[inside] - 1) % len(colours)]
        pixels[inside] = pixels[inside] * (1 - _OPACITY) + shown * _OPACITY
    edge = inside & _differs_from_neighbour(labels)
    pixels[edge] = colours[(labels[edge] - 1) % len(colours)]


def _differs_from_neighbour(labels: NDArray[Any]) -> NDArray[np.bool_]:
    padded = np.pad(labels, 1)
    edge = np.zeros(labels.shape, bool)
    for rows, columns in ((slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1))):
        edge |= padded[rows, columns] != labels
        edge |= padded[columns, rows][: labels.shape[0], : labels.shape[1]] != labels
    return edge
