"""Outlines of masks enclose the voxels of the masks, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dcm_processor_service.derived.drawings.contours import outlines
from tests.desk import examples
from tests.unit.derived.drawn import filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASKS = st.one_of(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    hnp.arrays(np.bool_, (9, 9), elements=st.integers(0, 7).map(bool)),  # dense, with holes
)


def mask_of(*rows: str) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.array([[letter == "#" for letter in row] for row in rows]).T
    return mask


def rings() -> NDArray[np.bool_]:
    distance = np.abs(np.indices((25, 25)) - 12).max(axis=0)
    outside_holes: NDArray[np.bool_] = distance % 3 != 0
    return outside_holes


@settings(max_examples=examples(150), deadline=None)
@given(mask=MASKS)
def test_the_outlines_of_any_mask_enclose_its_voxels_alone(mask: NDArray[np.bool_]) -> None:
    assert np.array_equal(filled(outlines(mask), mask.shape), mask)


@settings(max_examples=examples(60), deadline=None)
@given(mask=MASKS)
def test_outlines_close_without_repeating_a_point_and_have_no_needless_one(mask: NDArray[np.bool_]) -> None:
    for line in outlines(mask):
        assert len(line) >= 4
        assert (line != np.roll(line, 1, axis=0)).any(axis=1).all()
        before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
        straight = (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]) & ((before * after).sum(axis=1) > 0)
        assert not straight.any()


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        (mask_of("#"), 1),
        (mask_of("####"), 1),
        (mask_of("#", "#", "#"), 1),
        (mask_of("#.", ".#"), 2),
        (mask_of(".#", "#."), 2),
        (mask_of("###", "#.#", "###"), 1),
        (mask_of("####", "#..#", "#..#", "####"), 1),
        (mask_of("#####", "#...#", "#.#.#", "#...#", "#####"), 2),
        (mask_of("#######", "#.#.#.#", "#######", "#.#.#.#", "#######"), 1),
        (mask_of("..", ".."), 0),
        (np.ones((5, 4), np.bool_), 1),
        (rings(), 4),
    ],
    ids=[
        *("voxel", "row", "column", "diagonal", "other diagonal", "hole", "square hole", "island in a hole"),
        *("many holes", "nothing", "edge to edge", "rings in rings"),
    ],
)
def test_degenerate_masks_have_one_outline_for_each_part_that_holds_together(
    mask: NDArray[np.bool_], count: int
) -> None:
    found = outlines(mask)
    assert len(found) == count
    assert np.array_equal(filled(found, mask.shape), mask)


def test_a_channel_leads_to_a_hole_along_a_row_of_the_mask_and_back() -> None:
    (line,) = outlines(mask_of("#####", "#####", "###.#", "#####"))
    channel = [tuple(point) for point in line.tolist() if point[1] == 2.0 and point[0] < 3]
    assert channel.count((2.5, 2.0)) == 2
    assert channel.count((-0.5, 2.0)) == 2


def test_the_area_is_half_a_voxel_less_than_that_of_the_mask() -> None:
    (line,) = outlines(np.ones((6, 5), np.bool_))
    x, y = line.T
    assert abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 == 30 - 0.5


def test_a_matrix_full_of_holes_is_joined_without_recursion() -> None:
    mask = np.ones((3001, 5), np.bool_)
    mask[1:-1:2, 1:-1:2] = False
    (line,) = outlines(mask)
    assert np.array_equal(filled([line], mask.shape), mask)
