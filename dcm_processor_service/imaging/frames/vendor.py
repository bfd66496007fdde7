"""Reads private elements of scanners: diffusion weighting, counts of slices in mosaics, Philips' precise scaling."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.private_tags import PRIVATE_B_VALUES, SIEMENS_MOSAIC_COUNT, UIH_GRID_COUNT
from dcm_processor_service.imaging.headers.values import ScannedHeader, tag_value, text
from dcm_processor_service.imaging.headers.vendor_elements import block_owner, private_tags_of, vendor_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["b_values", "is_private_mosaic", "is_uih_grid", "mosaic_count", "philips_rescale", "with_vendor_rescale"]

_UIH = ("UIH", "UNITED IMAGING")
_GE_OFFSET = 1_000_000_000
_PHILIPS_INTERCEPT = 0x2005100D
_PHILIPS_SLOPE = 0x2005100E
_PHILIPS_FRAME_SEQUENCE = 0x2005140F
_PHILIPS_FRAME_CREATOR = "PHILIPS MR IMAGING DD 005"
_PHILIPS_SCALE_CREATOR = "IMAGING DD 001"  # other blocks of Philips use the same element numbers for other values
_FLOAT_BYTES = 4

_PHILIPS_CREATORS = 0x200500
_PHILIPS_BLOCK = 0x20050010
_PHILIPS_FRAME_BLOCK = 0x20050014


def b_values(frames: Sequence[FrameInfo]) -> tuple[float, ...]:
    """Lists the distinct b-values in s/mm2, ascending; empty if the frames state none."""
    found: set[float] = set()
    seen: set[int] = set()
    for frame, value in zip(frames, marks(frames, "DiffusionBValue"), strict=True):
        stated = value
        if value is None and id(frame.instance) not in seen:
            seen.add(id(frame.instance))
            stated = _private_b_value(frame.instance.header)
        if stated is not None:
            found.add(float(stated))
    return tuple(sorted(found))


def _private_b_value(header: Header) -> float | None:
    for tag in PRIVATE_B_VALUES:
        value = vendor_value(header, tag)
        if value is None:
            continue
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        first = str(value).replace("[", "").split("\\")[0].split(",")[0].strip(" \0'")
        if first.isdigit():
            return float(int(first) % _GE_OFFSET)
    return None


def is_private_mosaic(header: Header) -> bool:
    """Returns whether a private element of Siemens or UIH says that the image holds several slices.

    Such an image is a mosaic even if its ImageType does not say MOSAIC: some programs remove that value.
    """
    return (mosaic_count(header) or 0) > 1


def is_uih_grid(header: Header) -> bool:
    """Returns whether the image is a grid of slices from a scanner of UIH."""
    return text(header, "Manufacturer").upper().startswith(_UIH) and is_private_mosaic(header)


def mosaic_count(header: Header) -> float | None:
    """Returns the number of slices that Siemens or UIH state for the image; None if they state none."""
    maker = text(header, "Manufacturer").upper()
    value: Any = None
    if maker.startswith("SIEMENS"):
        value = vendor_value(header, SIEMENS_MOSAIC_COUNT)
        if isinstance(value, bytes):
            value = int.from_bytes(value, "little")
    elif maker.startswith(_UIH):
        value = vendor_value(header, UIH_GRID_COUNT)
        if isinstance(value, bytes):
            value = value.decode("latin-1").strip(" \0")
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def philips_rescale(frame: FrameInfo) -> tuple[float, float] | None:
    """Returns the slope and intercept that lead to Philips' precise values.

    The result is None for other scanners, and for a header without a scale slope. RescaleSlope leads to values that are
    scaled for display and cannot be compared between scans. The scale slope SS (2005,100E) leads to the values that the
    scanner measured: value = stored / SS + RescaleIntercept / (RescaleSlope * SS), as in dcm2niix (Chenevert et al.,
    Translational Oncology 7, 2014: 65). Without a rescale, the scale intercept SI (2005,100D) takes its place:
    value = (stored - SI) / SS.
    """
    manufacturer = text(frame.places[-1], "Manufacturer").upper()
    if manufacturer and "PHILIPS" not in manufacturer:
        return None  # another program computed these values, even if it copied private elements of the scanner
    for place in frame.places:
        for dataset in (*_items(place), place):
            for slope_tag, intercept_tag in _philips_tags(dataset, is_named=bool(manufacturer)):
                scale = _float(dataset, slope_tag)
                if not scale:
                    continue
                if frame.slope and (frame.slope, frame.intercept) != (1.0, 0.0):
                    return 1.0 / scale, frame.intercept / (frame.slope * scale)
                return 1.0 / scale, -(_float(dataset, intercept_tag) or 0.0) / scale
    return None


def _philips_tags(header: Header, *, is_named: bool) -> Iterator[tuple[int, int]]:
    """Yields the tags of scale slope and scale intercept in each block that Philips reserved (PS3.5, section 7.8.1)."""
    creators = _philips_creators(header)
    for tag in creators:
        if block_owner(header, tag).startswith("PHILIPS") and block_owner(header, tag).endswith(_PHILIPS_SCALE_CREATOR):
            block = 0x20050000 | (tag & 0xFF) << 8
            yield block | _PHILIPS_SLOPE & 0xFF, block | _PHILIPS_INTERCEPT & 0xFF
    if is_named and _PHILIPS_BLOCK not in creators:  # some archives lose the name of the block
        yield _PHILIPS_SLOPE, _PHILIPS_INTERCEPT


def _philips_creators(header: Header) -> list[int]:
    return [tag for tag in private_tags_of(header, _PHILIPS_CREATORS >> 8) if tag >> 8 == _PHILIPS_CREATORS]


def _items(header: Header) -> tuple[Dataset, ...]:
    """Returns the item in which Philips describes a frame, or nothing.

    It is found by the name of its block's creator, as the block may have another number in each dataset.
    """
    if isinstance(header, ScannedHeader):
        return ()
    owned = _philips_creators(header)
    blocks = [tag & 0xFF for tag in owned if block_owner(header, tag) == _PHILIPS_FRAME_CREATOR]
    tags = [0x20050000 | block << 8 | _PHILIPS_FRAME_SEQUENCE & 0xFF for block in blocks]
    if _PHILIPS_FRAME_BLOCK not in owned:  # some archives lose the name of the block
        tags.append(_PHILIPS_FRAME_SEQUENCE)
    for tag in tags:
        if tag in header and header[tag].VR == "SQ":
            return tuple(header[tag].value)[:1]
    return ()


def _float(header: Header, tag: int) -> float | None:
    value = tag_value(header, tag)
    if isinstance(value, bytes):
        value = struct.unpack("<f", value)[0] if len(value) == _FLOAT_BYTES else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def with_vendor_rescale(frames: list[FrameInfo]) -> tuple[list[FrameInfo], bool]:
    """Returns the frames, with Philips' precise slope and intercept where the header has them, and whether any has."""
    result = []
    for frame in frames:
        precise = philips_rescale(frame)
        result.append(frame if precise is None else replace(frame, slope=precise[0], intercept=precise[1]))
    return result, any(new is not old for new, old in zip(result, frames, strict=True))
