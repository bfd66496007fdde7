"""Compares the order of volumes with marks of time that only some frames have.

Files may lack a mark because an archive or a tool has removed it from some of them, or has written it in another form.
Such a mark cannot order the volumes, but the values that are left are still true. If they contradict the order that was
found, no order is certain.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.series.order.clock import clock_kind, clock_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["CLOCK_MARKS", "contradicts_in_part"]

CLOCK_MARKS = frozenset({"AcquisitionTime", "ContentTime"})
# marks that have one value in all slices of a volume
_OF_VOLUMES = frozenset({"TemporalPositionIdentifier", "TemporalPositionTimeOffset", "FrameReferenceTime"})


def contradicts_in_part(
    frames: Sequence[FrameInfo], labels: Sequence[int], times: Sequence[int], name: str, *, one_by_one: bool
) -> bool:
    """Returns whether a mark contradicts the order that was found, for those frames that have the mark.

    If all frames have comparable values, the result is False: the search for the order has then considered the mark
    already.

    Args:
        frames: Frames of one kind of image.
        labels: For each frame the number of its position.
        times: For each frame the number of its volume, in the order that was found.
        name: The name of the mark.
        one_by_one: Whether each volume was acquired completely before the next one began.
    """
    groups = list(_comparable_parts(frames, name))
    if not groups or (len(groups) == 1 and len(groups[0]) == len(frames)):
        return False
    by_volumes = one_by_one or name in _OF_VOLUMES
    for known in groups:
        lines: defaultdict[int, list[tuple[int, Any]]] = defaultdict(list)
        for index, value in known.items():
            lines[labels[index]].append((times[index], value))
        if not all(_ascends(line) for line in lines.values()):
            return True
        if by_volumes and not _follow(known, times):
            return True
    return False


def _comparable_parts(frames: Sequence[FrameInfo], name: str) -> Iterator[dict[int, Any]]:
    """Yields groups of a mark's values, by the index of the frame; the values in a group can be compared."""
    parts: defaultdict[Any, dict[int, Any]] = defaultdict(dict)
    for index, value in enumerate(marks(frames, name)):
        kind = clock_kind(value) if name in CLOCK_MARKS else value is not None or None
        if kind is not None:
            parts[kind][index] = value
    for part in parts.values():
        values = clock_times(list(part.values())) if name in CLOCK_MARKS else list(part.values())
        if None not in values:
            yield dict(zip(part, values, strict=True))


def _ascends(line: list[tuple[int, Any]]) -> bool:
    """Returns whether the values at one position ascend in the order of the volumes."""
    values = [value for _, value in sorted(line)]
    return all(before <= after for before, after in itertools.pairwise(values))


def _follow(known: dict[int, Any], times: Sequence[int]) -> bool:
    """Returns whether no volume ends before a volume begins that precedes it in the order that was found."""
    spans: dict[int, tuple[Any, Any]] = {}
    for index, value in known.items():
        low, high = spans.get(times[index], (value, value))
        spans[times[index]] = min(low, value), max(high, value)
    ordered = [spans[time] for time in sorted(spans)]
    latest = None
    for low, high in ordered:
        if latest is not None and high < latest:
            return False
        latest = low if latest is None else max(latest, low)
    return True
