"""Finds an attribute whose values alternate along the stack of an enhanced object's frames.

The functional groups of a frame state how it was acquired (PS3.3, section C.7.6.16), for example the phase of the heart
or the breath, the contrast agent, the tube current, the eye or the breast. If such a setting alternates from slice to
slice, the frames belong to several volumes that interleave. No list of settings would be complete, so all public
attributes are compared, except those that number slices and, in MR, those that may differ between the passes of one
scan. Attributes inside the nested sequences of a functional group are not compared.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.sequence import Sequence as Items

from dcm_processor_service.imaging.headers.values import items, tag_value, text
from dcm_processor_service.imaging.series.order.passes import IN_PASSES, OF_PASSES, OF_SLICES
from dcm_processor_service.imaging.series.order.turns import FEWEST_TURNS, TurnsAlongStack

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["alternating_setting", "settings_by_frame"]

_OF_PLACES = frozenset({"PlanePositionSequence", "PlanePositionSlideSequence"})
# attributes that number the frames, and one that depends on a plane of the detector
_OF_FRAMES = frozenset({"DimensionIndexValues", "InStackPositionNumber", "SliceSensitivityFactor"})


class _Setting(NamedTuple):
    macro: str
    """The functional group."""

    keyword: str


def alternating_setting(ascending: Sequence[FrameInfo]) -> str:
    """Returns an attribute of functional groups whose values alternate along a stack; empty if there is none.

    Args:
        ascending: The frames of one stack, no two of them at one position, in the order of their positions.
    """
    if len(ascending) < 2 * FEWEST_TURNS or any(len(frame.places) == 1 for frame in ascending):
        return ""
    left_out = (
        _OF_FRAMES | OF_SLICES | (OF_PASSES if text(ascending[0].places[-1], "Modality") in IN_PASSES else frozenset())
    )
    # values that alternate differ between the first two slices, so only such attributes are read from the other slices
    seen = [_settings(frame.places[0], left_out) for frame in ascending[:2]]
    names = {name for name in {**seen[0], **seen[1]} if seen[0].get(name) != seen[1].get(name)}
    turns = {name: TurnsAlongStack(len(ascending) // FEWEST_TURNS) for name in names}
    rest = (_settings(frame.places[0], left_out, turns) for frame in ascending[2:])
    for found in chain(seen, rest):
        turns = {name: one for name, one in turns.items() if one.goes_on(found.get(name))}
        if not turns:
            return ""
    return next((name.keyword for name, one in sorted(turns.items()) if one.are_taken), "")


def settings_by_frame(frames: Sequence[FrameInfo]) -> list[dict[str, tuple[str, ...]]]:
    """Returns for each frame the values in its own functional groups, by the keyword of the attribute."""
    settings = (_settings(frame.places[0], _OF_FRAMES) for frame in frames)
    return [{name.keyword: values for name, values in found.items()} for found in settings]


def _settings(
    group: Any, left_out: frozenset[str], names: Collection[_Setting] | None = None
) -> dict[_Setting, tuple[str, ...]]:
    """Returns the values in a frame's own functional groups.

    Args:
        group: The frame's item of PerFrameFunctionalGroupsSequence.
        left_out: Keywords of attributes that are not read.
        names: The attributes to read; None reads all.
    """
    macros = None if names is None else {name.macro for name in names}
    found: dict[_Setting, tuple[str, ...]] = {}
    for macro in (_keyword(tag) for tag in group.keys() if not tag.is_private):  # noqa: SIM118  values are slow
        is_read = macro and macro not in _OF_PLACES and (macros is None or macro in macros)
        for item in items(group, macro) if is_read else ():
            for tag in item.keys():  # noqa: SIM118  a malformed value counts as absent
                name = _Setting(macro, _keyword(tag))
                if not name.keyword or name.keyword in left_out or (names is not None and name not in names):
                    continue
                value = tag_value(item, tag)
                if not isinstance(value, Items):
                    found[name] = (*found.get(name, ()), str(value))
    return found


@lru_cache(maxsize=1024)
def _keyword(tag: int) -> str:
    """Returns the keyword of a public attribute; empty for others."""
    return keyword_for_tag(tag)
