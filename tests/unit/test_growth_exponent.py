"""The yardstick of growth itself."""

from __future__ import annotations

import math

import pytest

from tests.growth import LINEAR, exponent

SIZES = (250, 500, 1000, 2000)


@pytest.mark.parametrize(("power", "linear"), [(0, True), (1, True), (1.5, False), (2, False)])
def test_the_exponent_is_that_of_the_power(power: float, linear: bool) -> None:  # noqa: FBT001  pytest's
    found = exponent(SIZES, [7 * size**power for size in SIZES])
    assert found == pytest.approx(power)
    assert (found <= LINEAR) == linear


def test_a_share_that_does_not_grow_and_a_logarithm_are_still_linear() -> None:
    assert exponent(SIZES, [1000 + size for size in SIZES]) < 1
    assert exponent(SIZES, [size * math.log(size) for size in SIZES]) <= LINEAR
