"""What scanners say in private elements alone: diffusion weighting, and Philips' precise scaling."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.attributes import ScannedHeader, private_value
from dcm_processor_service.imaging.frames import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.attributes import Header
    from dcm_processor_service.imaging.frames import FrameInfo

__all__ = ["PRIVATE_TAGS", "b_values", "philips_rescale", "with_vendor_rescale"]

# Siemens (0019,100C) IS, GE (0043,1039) IS in the first of four values
_PRIVATE_B_VALUES = (0x0019100C, 0x00431039)
_GE_OFFSET = 1_000_000_000
_PHILIPS_INTERCEPT = 0x2005100D
_PHILIPS_SLOPE = 0x2005100E
_PHILIPS_FRAME_SEQUENCE = 0x2005140F
_FLOAT_BYTES = 4

PRIVATE_TAGS = (*_PRIVATE_B_VALUES, _PHILIPS_INTERCEPT, _PHILIPS_SLOPE)
"""What is read of private elements."""


def b_values(frames: Sequence[FrameInfo]) -> tuple[float, ...]:
    """Lists the distinct b-values in s/mm2, ascending; empty for what is no diffusion series."""
    found: set[float] = set()
    seen: set[int] = set()
    for frame in frames:
        value = mark(frame, "DiffusionBValue")
        if value is None and id(frame.instance) not in seen:
            seen.add(id(frame.instance))
            value = _private_b_value(frame.instance.header)
        if value is not None:
            found.add(float(value))
    return tuple(sorted(found))


def _private_b_value(header: Header) -> float | None:
    for tag in _PRIVATE_B_VALUES:
        value = private_value(header, tag)
        if value is None:
            continue
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        first = str(value).replace("[", "").split("\\")[0].split(",")[0].strip(" \0'")
        if first.isdigit():
            return float(int(first) % _GE_OFFSET)
    return None


def philips_rescale(frame: FrameInfo) -> tuple[float, float] | None:
    """Gives slope and intercept of Philips' precise values; None for other scanners.

    RescaleSlope leads to values scaled for display, which differ between scans of one protocol. Scale slope (2005,100E)
    and intercept (2005,100D) undo the scaling for storage: value = (stored - intercept) / slope, as dcm2niix gives it.
    """
    for place in frame.places:
        for dataset in (*_items(place), place):
            slope = _float(dataset, _PHILIPS_SLOPE)
            if slope:
                return 1.0 / slope, -(_float(dataset, _PHILIPS_INTERCEPT) or 0.0) / slope
    return None


def _items(header: Header) -> tuple[Dataset, ...]:
    if isinstance(header, ScannedHeader) or _PHILIPS_FRAME_SEQUENCE not in header:
        return ()
    element = header[_PHILIPS_FRAME_SEQUENCE]
    return tuple(element.value)[:1] if element.VR == "SQ" else ()


def _float(header: Header, tag: int) -> float | None:
    value = private_value(header, tag)
    if isinstance(value, bytes):
        value = struct.unpack("<f", value)[0] if len(value) == _FLOAT_BYTES else None
    return float(value) if isinstance(value, int | float) else None


def with_vendor_rescale(frames: list[FrameInfo]) -> tuple[list[FrameInfo], bool]:
    """Gives frames with precise scaling where the vendor states one, and whether it did."""
    result = []
    for frame in frames:
        precise = philips_rescale(frame)
        result.append(frame if precise is None else replace(frame, slope=precise[0], intercept=precise[1]))
    return result, any(new is not old for new, old in zip(result, frames, strict=True))
