"""Stores values as DICOM pixels: integers unchanged, others by a slope and an intercept with a known error bound.

Slope and intercept are rounded to numbers that DS can hold (16 characters, PS3.5, section 6.2) before the values are
divided. So the error bound is true for the values that a reader computes from the file. Values are rounded and clipped
before they are cast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.valuerep import format_number_as_ds

from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models.derived import ValueMapping

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "StoredPixels",
    "describe_pixels",
    "ds",
    "require_window",
    "store_values",
    "write_pixel_data",
    "write_pixels",
    "write_values",
]

# numbers near the smallest of double precision have fewer digits than the error bound assumes
_SMALLEST_SLOPE = 1e-290
_TYPES = {"uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


def ds(value: float) -> str:
    """Returns a number as a decimal string of at most 16 characters, as near as these allow (PS3.5, section 6.2).

    Example:
        >>> ds(-1.2345678901234567e-05), ds(2.0)
        ('-1.234567890e-05', '2.0')
    """
    return format_number_as_ds(float(value))


@dataclass(frozen=True)
class StoredPixels:
    """Integers to store, and their mapping to real values."""

    array: NDArray[Any]
    """Stored integers, in the shape of the given values; ``uint8``, ``int16`` or ``uint16``."""

    mapping: ValueMapping

    lowest: float
    """The lowest of the given values."""

    highest: float


def store_values(
    array: NDArray[Any], *, allow_8_bit: bool, allow_intercept: bool = True, may_round: bool = False
) -> StoredPixels:
    """Chooses the integer type, slope and intercept by which values are stored.

    Whole numbers that 16 bits can hold stay exact, shifted by a whole intercept if necessary. Other values are spread
    over 16 bits; zero stays exactly zero when it is among them.

    Args:
        array: Numbers of any type; NaN and infinity cannot be stored.
        allow_8_bit: Whether the object may have 8 bits per pixel.
        allow_intercept: Whether RescaleIntercept may differ from 0 (in PET it may not, PS3.3, section C.8.9.4).
        may_round: Whether whole numbers that 16 bits cannot hold may be rounded to multiples of a slope. This suits
            quantities; labels and counts would become other labels and counts.

    Raises:
        DerivedObjectError: The array is complex, holds NaN or infinity, or whole numbers that 16 bits cannot hold and
            that may not be rounded.

    Example:
        >>> stored = store_values(np.array([[0.0, 0.25], [0.5, 1.0]]), allow_8_bit=False)
        >>> stored.array.dtype.name, stored.mapping.error_bound < 1e-5
        ('uint16', True)
    """
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise DerivedObjectError(f"values of type {array.dtype} are not pixels: give integers, floats or booleans")
    low, high = array.min(), array.max()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DerivedObjectError(
            "the array holds NaN or infinity, which DICOM pixels cannot store: replace them, as with numpy.nan_to_num, "
            "or make a parametric map"
        )
    if array.dtype.kind in "iu" or bool(np.equal(array, np.rint(array)).all()):
        whole = _store_whole(array, int(low), int(high), allow_8_bit=allow_8_bit, allow_intercept=allow_intercept)
        if whole is not None:
            return whole
        if not may_round:
            raise DerivedObjectError(
                "the array holds whole numbers that span more than 16 bits, and storing them in 16 bits would change "
                "them: make a parametric map or a segmentation, or give floating-point values and units= for a "
                "quantity that may be rounded"
            )
    return _store_scaled(array, float(low), float(high), allow_intercept=allow_intercept)


def _store_whole(
    array: NDArray[Any], low: int, high: int, *, allow_8_bit: bool, allow_intercept: bool
) -> StoredPixels | None:
    preferred = [array.dtype.name] if array.dtype.name in _TYPES else []
    for name in (*preferred, "uint8", "int16", "uint16"):
        if (name != "uint8" or (allow_8_bit and array.dtype == np.uint8)) and _fits(name, low, high):
            return StoredPixels(array.astype(name, copy=False), ValueMapping(1.0, 0.0, 0.0, name), low, high)
    if allow_intercept and high - low <= 65535 and float(ds(low)) == low:  # noqa: PLR2004 what 16 bits hold
        # computed with 64-bit integers: floating point loses the last digits of large numbers, and the array's type may
        # overflow
        shifted = array.astype(np.int64 if low < 0 or array.dtype.kind != "u" else np.uint64) - low
        return StoredPixels(shifted.astype(np.uint16), ValueMapping(1.0, float(low), 0.0, "uint16"), low, high)
    return None


def _fits(name: str, low: int, high: int) -> bool:
    smallest, largest = _TYPES[name]
    return smallest <= low and high <= largest


def _store_scaled(array: NDArray[Any], low: float, high: float, *, allow_intercept: bool) -> StoredPixels:
    keeps_zero = (low < 0 <= high) or not allow_intercept
    if keeps_zero and low < 0:
        name, intercept, wanted = "int16", 0.0, max(high / 32767, low / -32768)
    else:
        name = "uint16"
        intercept = 0.0 if keeps_zero else _ds_below(low)
        wanted = (high - intercept) / 65535
    slope = _ds_above(max(wanted, _SMALLEST_SLOPE)) if wanted > 0 else 1.0
    smallest, largest = _TYPES[name]
    stored = np.empty(array.shape, dtype=name)
    for rest in np.ndindex(array.shape[2:]):  # slice by slice, to keep the array in double precision small
        one_slice: tuple[slice | int, ...] = (slice(None), slice(None), *rest)
        values = (array[one_slice].astype(np.float64) - intercept) / slope
        stored[one_slice] = np.clip(np.rint(values), smallest, largest).astype(name)
    noise = 4 * float(np.spacing(max(abs(low), abs(high), abs(intercept), slope)))
    return StoredPixels(stored, ValueMapping(slope, intercept, slope / 2 + noise, name), low, high)


def _ds_below(value: float) -> float:
    """Returns the nearest number that DS can hold and that is not above the value."""
    rounded = float(ds(value))
    return rounded if rounded <= value else float(ds(value - abs(value) * 1e-9))


def _ds_above(value: float) -> float:
    rounded = float(ds(value))
    return rounded if rounded >= value else float(ds(value + abs(value) * 1e-9))


def write_values(dataset: Dataset, pixels: StoredPixels, window: tuple[float, float] | None, *, rescale: bool) -> None:
    """Writes rescale and window; if no window is given, writes one of all values (PS3.3, section C.11.2.1.2)."""
    mapping = pixels.mapping
    if rescale:
        dataset.RescaleSlope = ds(mapping.slope)
        dataset.RescaleIntercept = ds(mapping.intercept)
        if not text(dataset, "RescaleType") and dataset.Modality != "PT":
            dataset.RescaleType = "US"
    if window is not None:
        center, width = require_window(window)
    elif mapping.slope == 1:
        center, width = (pixels.lowest + pixels.highest + 1) / 2, pixels.highest - pixels.lowest + 1
    else:
        center, width = (pixels.lowest + pixels.highest) / 2, pixels.highest - pixels.lowest or mapping.slope
    dataset.WindowCenter = ds(center)
    dataset.WindowWidth = ds(width)
    dataset.VOILUTFunction = "LINEAR" if mapping.slope == 1 and width >= 1 else "LINEAR_EXACT"


def require_window(window: Any) -> tuple[float, float]:
    """Returns a window as it was given.

    Raises:
        DerivedObjectError: ``window`` is not a center and a width, both finite numbers and the width above 0.

    Example:
        >>> require_window((40, 400))
        (40.0, 400.0)
    """
    try:
        center, width = map(float, () if isinstance(window, str) else window)
    except (TypeError, ValueError, OverflowError):
        center = width = math.nan
    if not (width > 0 and math.isfinite(center) and math.isfinite(width)):
        raise DerivedObjectError("the width of a window is above 0, and both are finite: give (center, width)")
    return center, width


def write_pixels(dataset: Dataset, rows: NDArray[Any], *, color: bool = False) -> None:
    """Writes the image pixel module (PS3.3, section C.7.6.3).

    Args:
        dataset: Dataset to write to.
        rows: Shape ([frames, ]rows, columns[, 3]); the last axis is red, green and blue, for colours only.
        color: Whether ``rows`` has that axis.
    """
    describe_pixels(dataset, rows, color=color)
    write_pixel_data(dataset, rows)


def describe_pixels(dataset: Dataset, rows: NDArray[Any], *, color: bool = False) -> None:
    """Writes all attributes of the module except PixelData; they are equal in all instances of a series."""
    bits = rows.dtype.itemsize * 8
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = rows.shape[-3:-1] if color else rows.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(rows.dtype.kind == "i")


def write_pixel_data(dataset: Dataset, rows: NDArray[Any]) -> None:
    """Writes PixelData only; see :func:`write_pixels`."""
    content = rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if rows.dtype.itemsize > 1 else "OB"  # by section A.2 of PS3.5
