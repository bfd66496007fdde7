"""Reads how pixels are stored, chooses the number type of rescaled values, and rescales in place.

Stored values are integers (PS3.3, section C.7.6.3.1). If slope and intercept of a rescale (C.11.1; C.7.6.16.2.9 for
frames) are whole numbers, the result is of an integer type again; any other rescale leads to float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.headers.values import ScannedElement, ScannedHeader, integer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.modality_lut import ModalityLut
    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["PixelFormat", "in_place_rescaled", "narrowest", "pixel_format", "predicted_type", "smallest_exact"]

_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
)
_SIGNS: dict[int | None, bool] = {0: False, 1: True}  # PixelRepresentation (0028,0103)


@dataclass(frozen=True)
class PixelFormat:
    """How one frame's pixels are stored (PS3.5, section 8.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool | None
    """None if PixelRepresentation is absent, or neither 0 nor 1: the values of the integers are then unknown."""

    samples: int
    float_bits: int = 0
    """Bits of a floating-point value, 32 or 64 (PS3.3, sections C.7.6.24 and C.7.6.25); 0 for integers."""

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floating point."""
        return self.float_bits > 0

    @property
    def stored_type(self) -> np.dtype[Any]:
        """The number type that holds a stored value, in the machine's byte order."""
        kind = "f" if self.is_float else "i" if self.is_signed else "u"
        return np.dtype(f"{kind}{self.bits_allocated // 8}")

    @cached_property
    def number_format(self) -> tuple[int | None, ...]:
        """The part of the format that must be equal in all slices of a volume.

        BitsStored and HighBit are not part of it: slices that differ in these still fit into one array.
        """
        return self.rows, self.columns, self.bits_allocated, self.is_signed, self.samples, self.is_float

    @cached_property
    def frame_bytes(self) -> int:
        """Size of one uncompressed frame, in bytes."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def is_empty(self) -> bool:
        """Whether there is no row or no column."""
        return self.rows <= 0 or self.columns <= 0

    @property
    def has_odd_bits(self) -> bool:
        """Whether BitsStored does not fit into BitsAllocated, or HighBit is not BitsStored - 1 (PS3.5, section 8.1.1).

        Some readers then shift the values and some do not, so the values are unknown.
        """
        return not 0 < self.bits_stored <= self.bits_allocated or self.high_bit != self.bits_stored - 1

    @property
    def lacks_sign(self) -> bool:
        """Whether pixels are integers without a PixelRepresentation.

        The attribute is of type 1, so it has no default (PS3.3, section C.7.6.3).
        """
        return not self.is_float and self.is_signed is None

    @property
    def is_supported(self) -> bool:
        """Whether a volume can be made of such pixels.

        A pixel must have one value, which is an integer of 8, 16 or 32 bits or a float of 32 or 64 bits.
        """
        widths = {self.float_bits} if self.is_float else {8, 16, 32}
        is_known = self.samples == 1 and self.bits_allocated in widths
        return is_known and not (self.has_odd_bits or self.is_empty or self.lacks_sign)


def pixel_format(header: Header, *, float_bits: int = 0) -> PixelFormat:
    """Returns the format of an image's pixels.

    If BitsStored, HighBit or SamplesPerPixel are absent, they get their usual values.

    Args:
        header: The top level of the image's header.
        float_bits: Bits of a floating-point value; 0 for integers.
    """
    if isinstance(header, ScannedHeader):
        return _shared_pixel_format(header.shared(_KEYWORDS), float_bits)
    return _pixel_format(tuple(integer(header, keyword) for keyword in _KEYWORDS), float_bits)


@lru_cache(maxsize=64)
def _shared_pixel_format(elements: tuple[ScannedElement | None, ...], float_bits: int) -> PixelFormat:
    """Returns the format that header elements state; it is cached, since the files of a series share the elements."""
    header = ScannedHeader.of(_KEYWORDS, elements)
    return _pixel_format(tuple(integer(header, keyword) for keyword in _KEYWORDS), float_bits)


@lru_cache(maxsize=64)
def _pixel_format(values: tuple[int | None, ...], float_bits: int) -> PixelFormat:
    rows, columns, allocated, stored, high_bit, representation, samples = values
    if float_bits:  # floating-point pixels have neither BitsStored nor HighBit
        stored = high_bit = None
    allocated = allocated or 0
    stored = allocated if stored is None else stored
    return PixelFormat(
        rows or 0,
        columns or 0,
        allocated,
        stored,
        stored - 1 if high_bit is None else high_bit,
        _SIGNS.get(representation),
        samples or 1,
        float_bits,
    )


def is_whole(slope: float, intercept: float) -> bool:
    """Returns whether slope and intercept are whole numbers, so that rescaled integers are integers."""
    return slope == int(slope) and intercept == int(intercept)


def predicted_type(pixels: PixelFormat, scalings: set[tuple[float, float, ModalityLut | None]]) -> np.dtype[Any]:
    """Predicts the array's type before any pixel is read; if a value is outside its range, a wider one is needed."""
    if pixels.is_float or scalings == {(1.0, 0.0, None)}:
        return np.dtype(np.float32) if pixels.is_float else pixels.stored_type
    if not all(is_whole(slope, intercept) for slope, intercept, _ in scalings):
        return np.dtype(np.float32)
    ends = []
    for slope, intercept, lut in scalings:
        values = _stored_range(pixels) if lut is None else (int(lut.entries.min()), int(lut.entries.max()))
        ends += [value * slope + intercept for value in values]
    is_plain = all(slope == 1 and lut is None for slope, _, lut in scalings)
    if pixels.bits_stored == pixels.bits_allocated == 16 and is_plain:  # noqa: PLR2004 bits
        return np.dtype(np.int16)  # such as a CT, which declares 16 bits, but whose values need far less
    return narrowest(min(ends), max(ends), pixels.stored_type)


def _stored_range(pixels: PixelFormat) -> tuple[int, int]:
    if pixels.is_signed:
        return -(2 ** (pixels.bits_stored - 1)), 2 ** (pixels.bits_stored - 1) - 1
    return 0, 2**pixels.bits_stored - 1


def narrowest(low: float, high: float, stored: np.dtype[Any]) -> np.dtype[Any]:
    """Returns the first of the types ``stored``, int16, uint16 and int32 that holds the range; float32 if none does."""
    for candidate in (stored, np.dtype(np.int16), np.dtype(np.uint16), np.dtype(np.int32)):
        if candidate.kind in "iu" and np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return candidate
    return np.dtype(np.float32)


def smallest_exact(array: NDArray[Any], stored: np.dtype[Any]) -> NDArray[Any]:
    """Converts a float array to the :func:`narrowest` type, or to float32 if that type does not hold it exactly.

    Example:
        >>> smallest_exact(np.array([-1024.0, 3071.0]), np.dtype(np.uint16)).dtype
        dtype('int16')
    """
    if array.dtype.kind != "f":
        return array
    if not np.isfinite(array).all():
        return array.astype(np.float32)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    narrowed = array.astype(narrowest(low, high, stored))
    return narrowed if np.array_equal(narrowed, array) else array.astype(np.float32)


def in_place_rescaled(array: NDArray[Any], slope: float, intercept: float, ends: tuple[int, int]) -> NDArray[Any]:
    """Rescales integers by a whole slope and intercept, in place if the result has the same width.

    The type follows from the actual values, so that a CT of unsigned 16 bits becomes int16.

    Args:
        array: Stored values, which may be overwritten.
        slope: Whole number of any size.
        intercept: Whole number of any size.
        ends: The least and the greatest stored value.
    """
    rescaled = [value * int(slope) + int(intercept) for value in ends]
    target = narrowest(min(rescaled), max(rescaled), array.dtype)
    if target.kind == "f":
        return (array.astype(np.float64) * slope + intercept).astype(np.float32)
    if target.itemsize != array.dtype.itemsize:
        array = array.astype(target)
    # The array now has the width of the result. Unsigned arithmetic modulo 2**bits gives the right bits for every
    # result that fits, even for negative ones.
    unsigned = array.view(f"u{array.dtype.itemsize}")
    modulus = 2 ** (8 * array.dtype.itemsize)
    if slope != 1:
        np.multiply(unsigned, unsigned.dtype.type(int(slope) % modulus), out=unsigned)
    if intercept != 0:
        np.add(unsigned, unsigned.dtype.type(int(intercept) % modulus), out=unsigned)
    return unsigned.view(target)
