"""Finds the unit of a frame's values in the part of the header from which its slope and intercept come."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.frames.rescale_from_header import applied_unit, mapped_unit
from dcm_processor_service.imaging.headers.values import in_groups, item, number, text

if TYPE_CHECKING:
    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["unit_of"]

_SAME_PART = 1e-5
_NO_UNIT = "1"
# what a header must state so that its unit means something; the intercept of a PET is always 0
_NEEDED = {"CT": ("RescaleSlope", "RescaleIntercept"), "PT": ("RescaleSlope",)}


def unit_of(frame: FrameInfo) -> str:
    """Returns the unit of a frame's rescaled values; empty if the header does not state one."""
    header = frame.places[-1]
    table = item(header, "ModalityLUTSequence")
    is_rescaled = _is_rescaled(frame)
    if not is_rescaled and table is None and not frame.pixel_format.is_float:
        return applied_unit(frame.places, frame.slope, frame.intercept)
    for place in frame.places:
        transformation = item(place, "PixelValueTransformationSequence")
        found = text(transformation, "RescaleType") if transformation is not None else ""
        if found:
            return _specified(found) or _unit_of_same_mapping(frame)
    if table is not None:
        return text(table, "ModalityLUTType")
    # PET must have Units (PS3.3, section C.8.9.1: type 1), and its modules have no RescaleType
    stated = ("Units", "RescaleType") if text(header, "Modality") == "PT" else ("RescaleType", "Units")
    named = (text(header, keyword) for keyword in (*stated, "DoseUnits"))
    unit = applied_unit(frame.places, frame.slope, frame.intercept) or next(filter(None, named), "")
    # a CT's rescale leads to HU if the header states no unit (PS3.3, section C.8.2.1.1.3)
    return _specified(unit) or ("HU" if not unit and is_rescaled and text(header, "Modality") == "CT" else "")


def _is_rescaled(frame: FrameInfo) -> bool:
    """Returns whether the header has the rescale that leads to the unit of a CT or a PET; True for other modalities.

    Both must have it (PS3.3, sections C.8.2.1 and C.8.9.1: type 1); if it was lost, nobody knows what the values mean.
    """
    return all(
        in_groups(frame.places, "PixelValueTransformationSequence", number, keyword) is not None
        for keyword in _NEEDED.get(text(frame.places[-1], "Modality"), ())
    )


def _unit_of_same_mapping(frame: FrameInfo) -> str:
    """Returns the unit of a real world mapping that has the frame's slope and intercept, such as Hz for a field map.

    It is empty if there is no such mapping.
    """
    for place in frame.places:
        mapping = item(place, "RealWorldValueMappingSequence")
        if mapping is None:
            continue
        slope, intercept = (number(mapping, f"RealWorldValue{name}") for name in ("Slope", "Intercept"))
        if slope is None or intercept is None or mapped_unit(mapping) == _NO_UNIT:
            return ""
        pairs = ((slope, frame.slope), (intercept, frame.intercept))
        is_same = all(math.isclose(one, other, rel_tol=_SAME_PART) for one, other in pairs)
        return mapped_unit(mapping) if is_same else ""
    return ""


def _specified(unit: str) -> str:
    """Returns the unit; empty if it is ``US``, which means "unspecified" (PS3.3, section C.11.1.1.2)."""
    return "" if unit == "US" else unit
