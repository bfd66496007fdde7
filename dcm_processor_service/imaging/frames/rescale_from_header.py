"""Slope and intercept of a frame, and whether what the header says of them can be read.

They stand at the top level, in a functional group (PS3.3, section C.7.6.16.2.9), in the dose grid's scaling (C.8.8.3),
or, for a parametric map, whose values have no other meaning, in its real world mapping (C.7.6.16.2.11).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom.uid import ParametricMapStorage

from dcm_processor_service.imaging.headers.values import (
    ScannedElement,
    ScannedHeader,
    in_groups,
    is_malformed,
    number,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["classic_rescale", "frame_rescale"]

_READ = ("RescaleSlope", "RescaleIntercept", "DoseGridScaling", "Modality")


def classic_rescale(header: Header) -> tuple[float, float, bool]:
    """Returns slope, intercept, and whether one stands there and is no number."""
    return _shared_rescale(header.shared(_READ)) if isinstance(header, ScannedHeader) else _rescale(header)


@lru_cache(maxsize=256)
def _shared_rescale(elements: tuple[ScannedElement | None, ...]) -> tuple[float, float, bool]:
    """The same for all files that share these elements."""
    return _rescale(ScannedHeader.of(_READ, elements))


def _rescale(header: Header) -> tuple[float, float, bool]:
    keywords = ["RescaleSlope", "RescaleIntercept"]
    if "RescaleSlope" not in header and text(header, "Modality") == "RTDOSE":
        keywords[0] = "DoseGridScaling"
    slope, intercept = (number(header, keyword) for keyword in keywords)
    malformed = any(is_malformed(header, keyword) for keyword in keywords)
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept, malformed


def frame_rescale(places: Sequence[Header]) -> tuple[float, float, bool]:
    """Returns the same for a frame from its functional groups, nearest first, or from the top level."""
    macro, keywords = "PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")
    if text(places[-1], "SOPClassUID") == ParametricMapStorage:
        macro, keywords = "RealWorldValueMappingSequence", ("RealWorldValueSlope", "RealWorldValueIntercept")
    slope, intercept = (in_groups(places, macro, number, keyword) for keyword in keywords)
    malformed = any(in_groups(places, macro, _fault, keyword) for keyword in keywords)
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept, malformed


def _fault(header: Header, keyword: str) -> bool | None:
    return is_malformed(header, keyword) or None
