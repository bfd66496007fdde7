"""From stored values to real ones: which number type holds the result exactly, and the arithmetic.

Stored values are integers (PS3.3, section C.7.6.3.1). A rescale (C.11.1, and C.7.6.16.2.9 for frames) with whole slope
and intercept gives integers again, and they stay integers; any other gives float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames.frame import PIXEL_KEYWORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.frames.modality_lut import ModalityLut

__all__ = ["PixelFormat", "in_place_rescaled", "pixel_format", "predicted_type"]


@dataclass(frozen=True)
class PixelFormat:
    """How one frame's pixels are stored (PS3.5, section 8.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    samples: int
    float_bits: int = 0
    """Of one value where the pixels are floating point: 32 or 64 (PS3.3, sections C.7.6.24 and C.7.6.25); else 0."""

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
    def frame_bytes(self) -> int:
        """Of one uncompressed frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def is_empty(self) -> bool:
        """Whether there is no row or no column."""
        return self.rows <= 0 or self.columns <= 0

    @property
    def has_odd_bits(self) -> bool:
        """Whether BitsStored does not fit into BitsAllocated, or HighBit is not BitsStored - 1 (PS3.5, section 8.1.1).

        Some readers then shift the values and some do not, so nobody can say what they are.
        """
        return not 0 < self.bits_stored <= self.bits_allocated or self.high_bit != self.bits_stored - 1

    @property
    def is_supported(self) -> bool:
        """Whether a volume can be made of such pixels: one integer of 8, 16 or 32 bits, or one float of 32 or 64."""
        widths = {self.float_bits} if self.is_float else {8, 16, 32}
        is_known = self.samples == 1 and self.bits_allocated in widths
        return is_known and not self.has_odd_bits and not self.is_empty


# FloatPixelData and DoubleFloatPixelData: the bits of one value
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}


def pixel_format(frame: FrameInfo) -> PixelFormat:
    """Gives the format of a frame, with the standard's defaults for what the header leaves out."""
    pixels = frame.instance.pixels
    return _pixel_format(frame.pixel_format, 0 if pixels is None else _FLOAT_BITS.get(pixels.tag, 0))


@lru_cache(maxsize=64)
def _pixel_format(values: tuple[int | None, ...], float_bits: int) -> PixelFormat:
    found = dict(zip(PIXEL_KEYWORDS, values, strict=True))
    allocated = found["BitsAllocated"] or 0
    # floating point pixels have neither BitsStored nor HighBit
    stored = None if float_bits else found["BitsStored"]
    high_bit = None if float_bits else found["HighBit"]
    stored = allocated if stored is None else stored
    return PixelFormat(
        found["Rows"] or 0,
        found["Columns"] or 0,
        allocated,
        stored,
        stored - 1 if high_bit is None else high_bit,
        found["PixelRepresentation"] == 1,
        found["SamplesPerPixel"] or 1,
        float_bits,
    )


def is_whole(slope: float, intercept: float) -> bool:
    """Whether integers stay integers."""
    return slope == int(slope) and intercept == int(intercept)


def predicted_type(pixels: PixelFormat, scalings: set[tuple[float, float, ModalityLut | None]]) -> np.dtype[Any]:
    """Gives the array's type before any pixel is read; extreme values may still need a wider one."""
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
        return np.dtype(np.int16)  # a CT: its values need far less than the 16 bits that it declares
    return narrowest(min(ends), max(ends), pixels.stored_type)


def _stored_range(pixels: PixelFormat) -> tuple[int, int]:
    if pixels.is_signed:
        return -(2 ** (pixels.bits_stored - 1)), 2 ** (pixels.bits_stored - 1) - 1
    return 0, 2**pixels.bits_stored - 1


def narrowest(low: float, high: float, stored: np.dtype[Any]) -> np.dtype[Any]:
    """Gives the stored type when it holds the range, else int16, uint16 or int32, else float32."""
    for candidate in (stored, np.dtype(np.int16), np.dtype(np.uint16), np.dtype(np.int32)):
        limits = np.iinfo(candidate)
        if limits.min <= low and high <= limits.max:
            return candidate
    return np.dtype(np.float32)


def in_place_rescaled(array: NDArray[Any], slope: float, intercept: float, ends: tuple[int, int]) -> NDArray[Any]:
    """Rescales integers by a whole slope and intercept, in the memory that they have wherever the result fits.

    The type follows from the values that are there, so a CT of unsigned 16 bits becomes int16.

    Args:
        array: Stored values; changed.
        slope: Whole.
        intercept: Whole.
        ends: The least and the greatest stored value.
    """
    rescaled = [value * int(slope) + int(intercept) for value in ends]
    target = narrowest(min(rescaled), max(rescaled), array.dtype)
    if target.kind == "f":
        return (array.astype(np.float64) * slope + intercept).astype(np.float32)
    if target.itemsize != array.dtype.itemsize:
        array = array.astype(target)
    # same width: arithmetic modulo 2**bits is exact for results that fit, whatever the sign of the type
    unsigned = array.view(f"u{array.dtype.itemsize}")
    modulus = 2 ** (8 * array.dtype.itemsize)
    if slope != 1:
        np.multiply(unsigned, unsigned.dtype.type(int(slope) % modulus), out=unsigned)
    if intercept != 0:
        np.add(unsigned, unsigned.dtype.type(int(intercept) % modulus), out=unsigned)
    return unsigned.view(target)
