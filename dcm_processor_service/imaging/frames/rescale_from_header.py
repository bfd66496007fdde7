"""Reads slope and intercept of a frame, and tells whether they are malformed.

They are at the top level, in a functional group (PS3.3, section C.7.6.16.2.9) or in the scaling of a dose grid
(C.8.8.3). A real world mapping (C.7.6.16.2.11) states them for a parametric map, whose values have no other meaning,
and for nuclear medicine and PET without a rescale.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydicom.uid import ParametricMapStorage, RTDoseStorage

from dcm_processor_service.imaging.headers.values import (
    ScannedElement,
    ScannedHeader,
    is_malformed,
    item,
    items,
    number,
    numbers,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.headers.values import Header

__all__ = [
    "MAPPED_MODALITIES",
    "applied_unit",
    "are_mapped_otherwise",
    "classic_rescale",
    "frame_rescale",
    "is_dose",
    "is_mapped",
    "mapped_quantity",
    "mapped_unit",
    "real_world_mapping",
]

MAPPED_MODALITIES = frozenset({"NM", "PT"})

_SAME_PART = 1e-5
_MAPPED_RANGE = tuple(
    f"{kind}RealWorldValue{end}ValueMapped" for kind in ("", "DoubleFloat") for end in ("First", "Last")
)
_RESCALE = ("RescaleSlope", "RescaleIntercept")
_OF_DOSES = ("DoseGridScaling", "GridFrameOffsetVector")
_READ = (*_RESCALE, *_OF_DOSES, "Modality", "SOPClassUID")


def classic_rescale(header: Header) -> tuple[float, float, bool]:
    """Returns slope, intercept, and whether one of them is malformed or there is an intercept without a slope."""
    return _shared_rescale(header.shared(_READ)) if isinstance(header, ScannedHeader) else _rescale(header)


@lru_cache(maxsize=256)
def _shared_rescale(elements: tuple[ScannedElement | None, ...]) -> tuple[float, float, bool]:
    """Returns what :func:`_rescale` does; it is cached, since the files of a series often share the elements."""
    return _rescale(ScannedHeader.of(_READ, elements))


def _rescale(header: Header) -> tuple[float, float, bool]:
    if is_dose(header):
        return _dose_rescale(header)
    slope, intercept = (number(header, keyword) for keyword in _RESCALE)
    malformed = any(_fault(header, keyword) for keyword in _RESCALE)
    if slope is None and intercept is None and not malformed:
        mapping = real_world_mapping((header,))
        if mapping is not None:
            return mapping
    return _completed(slope, intercept, is_malformed=malformed)


def is_dose(header: Header) -> bool:
    """Returns whether an object is an RT dose, and not an image of another class that was made from one."""
    stated = text(header, "SOPClassUID")
    if stated == RTDoseStorage:
        return True
    return text(header, "Modality") == "RTDOSE" and (not stated or any(keyword in header for keyword in _OF_DOSES))


def _completed(slope: float | None, intercept: float | None, *, is_malformed: bool) -> tuple[float, float, bool]:
    """Returns slope and intercept, with the values that mean no rescale for absent ones."""
    is_malformed = is_malformed or (slope is None and intercept not in {None, 0.0})  # an intercept without a slope
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept, is_malformed


def _dose_rescale(header: Header) -> tuple[float, float, bool]:
    """Returns the rescale of a dose: its DoseGridScaling, which each dose with pixels has (PS3.3, section C.8.8.3).

    A rescale beside it counts as malformed if it leads to other values, and is used if there is no DoseGridScaling.
    """
    scaling, slope, intercept = (number(header, keyword) for keyword in ("DoseGridScaling", *_RESCALE))
    malformed = any(_fault(header, keyword) for keyword in ("DoseGridScaling", *_RESCALE))
    if scaling is None:
        return _completed(slope, intercept, is_malformed=malformed or slope is None)
    is_other = slope is not None and slope != 1 and not math.isclose(slope, scaling, rel_tol=_SAME_PART)
    return scaling, 0.0, malformed or is_other or intercept not in {None, 0.0}


def real_world_mapping(places: Sequence[Header]) -> tuple[float, float, bool] | None:
    """Returns slope and intercept of the mapping of an NM or PET frame, and False for "not malformed".

    The result is None for other modalities, and for a frame without a mapping or with several ones.
    """
    mappings = _mappings(places)
    if len(mappings) != 1 or text(places[-1], "Modality") not in MAPPED_MODALITIES:
        return None
    return _slope_and_intercept(mappings[0])


def is_mapped(places: Sequence[Header]) -> bool:
    """Returns whether a frame has a real world mapping."""
    return bool(_mappings(places))


def _mappings(places: Sequence[Header]) -> tuple[Dataset, ...]:
    """Returns the mappings of a frame, from the first of its datasets that has any."""
    found = (items(place, "RealWorldValueMappingSequence") for place in places)
    return next((mappings for mappings in found if mappings), ())


def _slope_and_intercept(mapping: Header) -> tuple[float, float, bool] | None:
    slope, intercept = (number(mapping, f"RealWorldValue{name}") for name in ("Slope", "Intercept"))
    return None if slope is None or intercept is None else (slope, intercept, False)


def are_mapped_otherwise(places: Sequence[Header], slope: float, intercept: float) -> bool:
    """Returns whether a frame has a mapping that leads to other values than its slope and intercept."""
    for mapping in _mappings(places):
        found = _slope_and_intercept(mapping)
        if found is None:  # the mapping is a table
            return True
        if not all(math.isclose(a, b, rel_tol=_SAME_PART) for a, b in zip(found, (slope, intercept), strict=False)):
            return True
    return False


def mapped_unit(mapping: Header) -> str:
    """Returns the unit of a real world mapping, as UCUM writes it; empty if it has none (PS3.3, C.7.6.16.2.11)."""
    unit = item(mapping, "MeasurementUnitsCodeSequence")
    return "" if unit is None else text(unit, "CodeValue")


def applied_unit(places: Sequence[Header], slope: float, intercept: float) -> str:
    """Returns the unit of the mapping that a frame's slope and intercept come from; empty if they come from none."""
    is_map = text(places[-1], "SOPClassUID") == ParametricMapStorage
    if not is_map and real_world_mapping(places) != (slope, intercept, False):
        return ""
    return next((mapped_unit(mapping) for mapping in _mappings(places)), "")


def mapped_quantity(places: Sequence[Header]) -> tuple[str, str] | None:
    """Returns label and unit of the quantity that a frame of a parametric map shows; None for other frames.

    One object may hold maps of several quantities, so each frame states its own (PS3.3, section C.8.32.2).
    """
    if len(places) == 1 or text(places[-1], "SOPClassUID") != ParametricMapStorage:
        return None
    mapping = next((one for place in places[:-1] for one in items(place, "RealWorldValueMappingSequence")), None)
    return None if mapping is None else (text(mapping, "LUTLabel"), mapped_unit(mapping))


def frame_rescale(places: Sequence[Header], *, is_float: bool = False) -> tuple[float, float, bool]:
    """Returns slope, intercept and malformed flag from a frame's functional groups, nearest first, or the top level.

    Args:
        places: Functional groups of the frame, nearest first, then the header.
        is_float: Whether the pixels are floating point, so that they mean something without a rescale too.
    """
    if text(places[-1], "SOPClassUID") == ParametricMapStorage:
        return _map_rescale(places, is_float=is_float)
    groups = [*(items(place, "PixelValueTransformationSequence") for place in places[:-1]), (places[-1],)]
    stated = [_stated_rescale(group) for group in groups]
    malformed = any(one.is_malformed for one in stated)
    stated = [one for one in stated if one.slope is not None or one.intercept is not None]
    if not stated and not malformed:
        return real_world_mapping(places) or (1.0, 0.0, False)
    if not stated:
        return 1.0, 0.0, True
    nearest, *others = stated
    # half of a rescale here and the other half elsewhere: nobody knows whether they belong together
    halves = zip(nearest, (1.0, 0.0), *others, strict=False)
    is_split = any(half[0] is None and any(one not in {None, half[1]} for one in half[2:]) for half in halves)
    return _completed(nearest.slope, nearest.intercept, is_malformed=malformed or is_split)


class _Stated(NamedTuple):
    """What one place of the header says about the rescale."""

    slope: float | None
    intercept: float | None
    is_malformed: bool = False


def _stated_rescale(groups: Sequence[Header]) -> _Stated:
    """Returns the rescale that the items of one sequence state; two items that differ contradict each other."""
    found = {tuple(number(group, keyword) for keyword in _RESCALE) for group in groups}
    malformed = len(found) > 1 or any(_fault(group, keyword) for group in groups for keyword in _RESCALE)
    slope, intercept = next(iter(found)) if len(found) == 1 else (None, None)
    return _Stated(slope, intercept, malformed)


def _map_rescale(places: Sequence[Header], *, is_float: bool) -> tuple[float, float, bool]:
    """Returns the rescale of a parametric map, whose integers mean nothing without a mapping.

    Of several mappings the first one counts, as they give the same values in other units; but mappings for different
    ranges of stored values, and mappings by a table, count as malformed.
    """
    mappings = _mappings(places)
    if not mappings:
        return 1.0, 0.0, not is_float
    found = _slope_and_intercept(mappings[0])
    if found is None:
        return 1.0, 0.0, True
    ranges = {tuple(number(mapping, keyword) for keyword in _MAPPED_RANGE) for mapping in mappings}
    return *found[:2], len(ranges) > 1


def _fault(header: Header, keyword: str) -> bool | None:
    """Returns True if a value is not a number, or is several numbers that differ; None if it is sound or absent."""
    return is_malformed(header, keyword) or len(set(numbers(header, keyword) or ())) > 1 or None
