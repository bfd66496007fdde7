"""Voxels on slices that each have their own affine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
from dcm_processor_service.imaging.volumes.volume import SliceSource

HEIGHTS = (0.0, 2.0, 7.5)
"""Slices with uneven steps, each of which lies a little further along x."""


def slices(**changes: Any) -> SourceSlices:
    affines = np.tile(np.array([[0, 0.5, 0, 10], [0.8, 0, 0, -20], [0, 0, -1, 0], [0, 0, 0, 1.0]]), (3, 1, 1))
    affines[:, 2, 3], affines[:, 0, 3] = HEIGHTS, [10, 11, 12]
    given = {
        "array": np.arange(60).reshape(5, 4, 3),
        "sources": tuple(SliceSource(f"1.2.{k}") for k in range(3)),
        "affines_lps": affines,
        **changes,
    }
    return SourceSlices(**given)


def test_a_voxel_lies_where_its_own_slice_says() -> None:
    # columns grow along y by 0.8 mm, rows along x by 0.5 mm
    assert slices().place_lps(0, 0, 1) == (11, -20, 2)
    assert slices().place_lps(3, 2, 2) == pytest.approx((12 + 2 * 0.5, -20 + 3 * 0.8, 7.5))
    assert slices().place_lps(-0.5, 0.5, 0) == pytest.approx((10.25, -20.4, 0))


def test_values_of_the_same_slices() -> None:
    one = slices(frame_of_reference_uid="1.2.3")
    mask = one.like(one.array > 7)
    assert (mask.shape, mask.sources) == ((5, 4, 3), one.sources)
    np.testing.assert_array_equal(mask.array, one.array > 7)
    assert mask.frame_of_reference_uid == "1.2.3"
    with pytest.raises(UnsupportedValueError, match=r"shape \(5, 4, 2\), the slices \(5, 4, 3\)"):
        one.like(one.array[:, :, :2])


@pytest.mark.parametrize(
    "changes",
    [
        {"array": np.zeros((5, 4, 2))},
        {"array": np.zeros((5, 4, 3, 1))},
        {"array": np.zeros((5, 3))},
        {"sources": (SliceSource("1.2"),)},
        {"affines_lps": np.eye(4)},
        {"affines_lps": np.zeros((2, 4, 4))},
        {"affines_lps": np.zeros((3, 3, 4))},
    ],
    ids=["too few", "four axes", "two axes", "one source", "one affine", "two affines", "no affines"],
)
def test_slices_without_a_source_or_an_affine_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValueError, match="a source and an affine for each k"):
        slices(**changes)
