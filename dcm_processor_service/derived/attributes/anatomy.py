"""The functional group that states which part of the body frames show (PS3.3, section C.7.6.16.2.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.derived.terminology.body_parts import may_have_side
from dcm_processor_service.derived.terminology.codes import code_item, find_code, in_context
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import item, text
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["frame_anatomy"]

_REGIONS = (4031, 4030)
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_SIDES = {"L": "L", "R": "R", "B": "B", "U": "U"}


def frame_anatomy(header: Dataset) -> Dataset | None:
    """Returns the item of FrameAnatomySequence (0020,9071) for a source's header; None if region or side is unknown.

    Example:
        >>> header = Dataset()
        >>> header.BodyPartExamined = "HEAD"
        >>> found = frame_anatomy(header)
        >>> found.FrameLaterality, found.AnatomicRegionSequence[0].CodeMeaning
        ('U', 'Head')
    """
    places = [header]
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = item(header, keyword)
        own = None if groups is None else item(groups, "FrameAnatomySequence")
        places += [] if own is None else [own]
    region = _region(places) or _region_by_name(text(header, "BodyPartExamined"))
    side = next((found for place in reversed(places) if (found := text(place, "FrameLaterality"))), "")
    side = _SIDES.get(side or text(header, "ImageLaterality") or text(header, "Laterality"), "")
    if not side and text(header, "BodyPartExamined") and not may_have_side(header):
        side = "U"
    if region is None or not side:
        return None
    made = Dataset()
    made.FrameLaterality, made.AnatomicRegionSequence = side, [code_item(region)]
    return made


def _region(places: Sequence[Dataset]) -> Code | None:
    for place in reversed(places):
        found = item(place, "AnatomicRegionSequence")
        values = ["" if found is None else text(found, keyword) for keyword in _CODE]
        if all(values):
            return Code(*values)
    return None


def _region_by_name(part: str) -> Code | None:
    try:
        found = find_code(part, _REGIONS) if part else None
    except DerivedObjectError:
        return None
    # a name that is in neither table of regions may mean a procedure or a device
    return found if found is not None and any(in_context(found, context) for context in _REGIONS) else None
