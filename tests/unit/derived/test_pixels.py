"""Values in, integers out, values back: exact, or within the bound that is stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dcm_processor_service.derived.attributes.pixels import ds, store_values
from dcm_processor_service.errors import DerivedObjectError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, max_side=3)
FLOATS = hnp.arrays(np.float64, SHAPES, elements=st.floats(-1e12, 1e12))
WHOLE = st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]).flatmap(
    lambda dtype: hnp.arrays(dtype, SHAPES)
)


def back(stored: Any) -> np.ndarray[Any, Any]:
    """As a reader computes it from the decimal strings of the file."""
    mapping = stored.mapping
    return np.asarray(stored.array.astype(np.float64) * float(ds(mapping.slope)) + float(ds(mapping.intercept)))


@settings(deadline=None)
@example(array=np.array([[-1.11253693e-308]]), allow_intercept=True)
@given(array=FLOATS, allow_intercept=st.booleans())
def test_floats_come_back_within_the_bound(array: np.ndarray[Any, Any], allow_intercept: bool) -> None:  # noqa: FBT001 a hypothesis argument
    stored = store_values(array, allow_8_bit=False, allow_intercept=allow_intercept, may_round=True)
    assert stored.array.dtype in {np.dtype(np.int16), np.dtype(np.uint16)}
    assert np.abs(back(stored) - array).max() <= stored.mapping.error_bound
    assert allow_intercept or stored.mapping.intercept == 0


@settings(deadline=None)
@given(array=WHOLE)
def test_whole_numbers_are_exact_where_16_bits_reach(array: np.ndarray[Any, Any]) -> None:
    stored = store_values(array, allow_8_bit=True, may_round=True)
    reach = int(array.max()) - int(array.min()) <= 65535
    if stored.mapping.is_exact:
        low = int(stored.mapping.intercept)
        assert np.array_equal(stored.array.astype(object) + low, array.astype(object))
    else:
        assert np.abs(back(stored) - array.astype(np.float64)).max() <= stored.mapping.error_bound
    if reach and abs(int(array.min())) < 10**9:
        assert stored.mapping.is_exact


@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float64])
def test_labels_beyond_16_bits_are_refused_and_not_changed(dtype: type) -> None:
    with pytest.raises(DerivedObjectError, match="span more than 16 bits"):
        store_values(np.array([[0, 7], [8, 500_000]], dtype), allow_8_bit=True)


def test_types_that_fit_are_kept() -> None:
    for dtype, expected in ((np.int16, "int16"), (np.uint16, "uint16"), (np.uint8, "uint8"), (np.int8, "int16")):
        assert store_values(np.ones((2, 2), dtype), allow_8_bit=True).mapping.stored_type == expected
    assert store_values(np.ones((2, 2), np.uint8), allow_8_bit=False).mapping.stored_type == "int16"
    assert store_values(np.ones((2, 2), bool), allow_8_bit=True).mapping.stored_type == "uint8"
    shifted = store_values(np.array([[100_000, 150_000]]), allow_8_bit=False)
    assert (shifted.mapping.is_exact, shifted.mapping.intercept, shifted.array.max()) == (True, 100_000.0, 50_000)


def test_zero_stays_zero() -> None:
    for low, high in ((0.0, 1.0), (-3.3, 0.7), (-1.0, 0.0)):
        array = np.array([[low, 0.0], [high, (low + high) / 3]])
        assert back(store_values(array, allow_8_bit=False))[0, 1] == 0


def test_a_constant_image_is_exact_enough() -> None:
    stored = store_values(np.full((2, 2), 0.1), allow_8_bit=False)
    assert np.abs(back(stored) - 0.1).max() < 1e-12


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(DerivedObjectError, match="NaN or infinity"):
        store_values(np.array([[0.0, value]]), allow_8_bit=False)


def test_complex_values_are_refused() -> None:
    with pytest.raises(DerivedObjectError, match="complex128"):
        store_values(np.zeros((2, 2), complex), allow_8_bit=False)
