"""Volumes in every orientation, and the test that two of them hold the same values at the same places."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]  # all 48


def turned(array: NDArray[Any], affine: NDArray[np.float64], order: tuple[int, ...], signs: tuple[int, ...]) -> Any:
    """The same volume with its axes in another order and direction."""
    other = array.transpose(*order, *range(3, array.ndim))
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for axis, own in enumerate(order):
        change[own, axis] = signs[axis]
        if signs[axis] < 0:
            other = np.flip(other, axis)
            change[own, 3] = array.shape[own] - 1
    return np.ascontiguousarray(other), affine @ change


def rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        a, b = [other for other in range(3) if other != axis]
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ one
    return matrix


def same_place(
    array: NDArray[Any], affine: NDArray[np.float64], other: NDArray[Any], other_affine: NDArray[np.float64]
) -> float:
    """Asserts that both hold the same values at the same places; gives the largest distance in mm."""
    to_other = np.linalg.inv(other_affine) @ affine
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in array.shape[:3]))]).T
    lands = np.rint(to_other @ corners)
    distance = float(np.abs(other_affine @ lands - affine @ corners).max())
    indices = np.indices(array.shape[:3]).reshape(3, -1)
    found = np.rint((to_other @ np.vstack([indices, np.ones(indices.shape[1])]))[:3]).astype(int)
    values = array.reshape(*array.shape[:3], -1)
    others = other.reshape(*other.shape[:3], -1)
    assert np.array_equal(values[tuple(indices)], others[tuple(found)])
    return distance


@st.composite
def affines(draw: Any) -> NDArray[np.float64]:
    angle = st.floats(-3.2, 3.2)
    spacing = [draw(st.floats(0.2, 8.0)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = rotation((draw(angle), draw(angle), draw(angle))) * spacing
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine
