"""Finds an attribute whose values alternate along the stack of an enhanced object's frames.

The functional groups of a frame state how it was taken (PS3.3, section C.7.6.16), for example the phase of the heart or
the breath, the contrast agent, the tube current, the eye or the breast. If such a setting alternates from slice to
slice, the frames are those of several interleaved volumes. No list of settings would be complete, so all public
attributes are compared, except those that number slices, and, in MR, those that may differ between the two passes of
one scan. Attributes inside the nested sequences of a functional group are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.datadict import keyword_for_tag
from pydicom.sequence import Sequence as Items

from dcm_processor_service.imaging.headers.values import items, tag_value, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["alternating_setting", "settings_by_frame", "take_turns"]

_FEWEST_TURNS = 3
_OF_PLACES = frozenset({"PlanePositionSequence", "PlanePositionSlideSequence"})
# the last one belongs to a plane of the detector of a PET, and repeats with each place of the bed
_OF_SLICES = frozenset({"DimensionIndexValues", "InStackPositionNumber", "SliceSensitivityFactor"})
# may differ between the passes of one MR scan, each of which takes every second slice
_OF_PASSES = frozenset(
    {
        "AcquisitionDateTime",
        "AcquisitionTime",
        "ActualCardiacTriggerDelayTime",
        "ActualRespiratoryTriggerDelayTime",
        "ContentTime",
        "FrameAcquisitionDateTime",
        "FrameAcquisitionDuration",
        "FrameReferenceDateTime",
        "HeartRate",
        "HighRRValue",
        "InstanceCreationTime",
        "IntervalsAcquired",
        "IntervalsRejected",
        "InversionTime",
        "InversionTimes",
        "LowRRValue",
        "RRIntervalTimeNominal",
        "RepetitionTime",
        "TriggerTime",
    }
)


def alternating_setting(ascending: Sequence[FrameInfo]) -> str:
    """Returns the attribute of functional groups whose values alternate along a stack; empty if there is none.

    Args:
        ascending: The frames of one stack, each at a place of its own, in the order of their positions.
    """
    if any(len(frame.places) == 1 for frame in ascending):
        return ""
    is_in_passes = text(ascending[0].places[-1], "Modality") == "MR"
    left_out = _OF_SLICES | (_OF_PASSES if is_in_passes else frozenset())
    settings = [_settings(frame.places[0], left_out) for frame in ascending]
    names = dict.fromkeys(name for found in settings for name in found)
    return next((name for name in names if take_turns([found.get(name) for found in settings])), "")


def settings_by_frame(frames: Sequence[FrameInfo]) -> list[dict[str, tuple[str, ...]]]:
    """Returns the values of the functional groups of each frame, by the keyword of the attribute."""
    return [_settings(frame.places[0], _OF_SLICES) for frame in frames]


def _settings(group: Any, left_out: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Returns the values of a frame's own functional groups, by the keyword of the attribute."""
    found: dict[str, tuple[str, ...]] = {}
    for macro in (keyword_for_tag(tag) for tag in group.keys() if not tag.is_private):  # noqa: SIM118  values are slow
        for item in items(group, macro) if macro and macro not in _OF_PLACES else ():
            for keyword, value in _values(item):
                if keyword not in left_out:
                    found[keyword] = (*found.get(keyword, ()), value)
    return found


def _values(item: Dataset) -> list[tuple[str, str]]:
    tags = [tag for tag in item.keys() if not tag.is_private]  # noqa: SIM118  a malformed value counts as absent
    named = [(keyword_for_tag(tag), tag_value(item, tag)) for tag in tags]
    return [(keyword, str(value)) for keyword, value in named if keyword and not isinstance(value, Items)]


def take_turns(ascending: Sequence[Any]) -> bool:
    """Returns whether a few values repeat along a stack, always in the same order.

    Example:
        >>> take_turns(["a", "b"] * 3), take_turns(["a", "a", "a", "b", "b", "b"])
        (True, False)
    """
    period = len(set(ascending))
    if not 1 < period <= len(ascending) // _FEWEST_TURNS:
        return False
    return list(ascending[period:]) == list(ascending[:-period])
