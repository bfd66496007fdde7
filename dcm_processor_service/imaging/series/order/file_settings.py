"""Finds an attribute whose values alternate along a stack of files with one slice each.

:mod:`dcm_processor_service.imaging.series.order.interleaving` compares the most telling attributes, and this module all
other public ones. If the values of any attribute alternate from slice to slice, even the name of the institution, the
slices belong to several volumes that interleave. Files are read again only until it is clear that no value alternates;
usually, the first few are enough.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from dcm_processor_service.imaging.headers.all_elements import short_elements
from dcm_processor_service.imaging.headers.fast_scan import SCANNED_KEYWORDS
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.series.order.passes import IN_PASSES, OF_PASSES, OF_SLICES
from dcm_processor_service.imaging.series.order.turns import FEWEST_TURNS, TurnsAlongStack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["alternating_element"]

_MOST_VOLUMES = 4
_PIXEL_GROUP = 0x0028
# attributes that an archive writes when it sends an instance; if several servers send, their values may alternate
_OF_ARCHIVES = ("InstanceAvailability", "RetrieveAETitle", "StorageMediaFileSetID", "StorageMediaFileSetUID")


def _tags(keywords: Iterable[str]) -> frozenset[int]:
    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)


# attributes that the fast scan reads for another purpose, and that no other module compares
_COMPARED_HERE = (
    "ContentDate",
    "EchoPlanarPulseSequence",
    "FrameIncrementPointer",
    "MRAcquisitionType",
    "RectilinearPhaseEncodeReordering",
    "SegmentedKSpaceTraversal",
    "TimezoneOffsetFromUTC",
    "VolumeBasedCalculationTechnique",
)
_LEFT_OUT = _tags((*SCANNED_KEYWORDS, *OF_SLICES, *_OF_ARCHIVES)) - _tags(_COMPARED_HERE)
_LEFT_OUT_IN_PASSES = _LEFT_OUT | _tags(OF_PASSES)


def alternating_element(ascending: Sequence[FrameInfo]) -> str:
    """Returns a public attribute whose values alternate along a stack; empty if there is none.

    Args:
        ascending: Slices in the order of their positions. For frames of multi-frame objects, the result is empty.
    """
    if len(ascending) < 2 * FEWEST_TURNS or any(frame.number > 1 or len(frame.places) > 1 for frame in ascending):
        return ""
    is_in_passes = text(ascending[0].places[-1], "Modality") in IN_PASSES
    left_out = _LEFT_OUT_IN_PASSES if is_in_passes else _LEFT_OUT
    read = (short_elements(frame.instance) for frame in ascending)
    seen = [*islice(read, 2)]
    tags = {tag for tag in {**seen[0], **seen[1]} if seen[0].get(tag) != seen[1].get(tag)} - left_out
    tags = {tag for tag in tags if tag >> 16 != _PIXEL_GROUP}
    turns = {tag: TurnsAlongStack(min(_MOST_VOLUMES, len(ascending) // FEWEST_TURNS)) for tag in tags}
    for found in chain(seen, read):
        turns = {tag: one for tag, one in turns.items() if one.goes_on(found.get(tag))}
        if not turns:
            return ""
    return next((_name(tag) for tag, one in sorted(turns.items()) if one.are_taken), "")


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
