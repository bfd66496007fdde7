"""Which volume of a 4D series each frame belongs to: an attribute that all slices of a volume share, or ranks."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames.frame import mark, marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["moved_volumes", "time_axis", "values_by_label"]

SHARED_TIME_MARKS = ("TemporalPositionIdentifier", "DimensionIndexValues", "TriggerTime", "AcquisitionNumber")
_SAME_STEP_PART = 0.02
RANKED_TIME_MARKS = ("TriggerTime", "AcquisitionTime", "InstanceNumber", "ContentTime")
_CLOCK_MARKS = frozenset({"AcquisitionTime", "ContentTime"})
# TM, DA with TM, or DT (PS3.5, section 6.2), with the colons and dots of ACR-NEMA, which are still to be read
_CLOCK = re.compile(
    r"(?:(?P<date>\d{8}|\d{4}\.\d{2}\.\d{2}))?"
    r"(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?)?"
    r"(?P<offset>[+-]\d{4})?"
)
_DAY_US = 24 * 3600 * 10**6


def values_by_label(values: Sequence[Any], labels: NDArray[np.intp]) -> dict[int, set[Any]]:
    """Returns for each position, by its number, the values that its frames have."""
    result: dict[int, set[Any]] = defaultdict(set)
    for value, label in zip(values, labels.tolist(), strict=True):
        result[label].add(value)
    return result


def time_axis(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> tuple[str, list[int]] | None:
    """Finds the attribute that gives each frame its volume, and the number of that volume; None when none does."""
    for name in SHARED_TIME_MARKS:
        values = marks(frames, name)
        if None in values or not _tells_apart(values, labels):
            continue
        distinct = sorted(set(values))
        most = max(len(group) for group in values_by_label(values, labels).values())
        # a volume may lack a slice, but what counts volumes is the same for most slices of one
        if len(distinct) == most or len(values) > len(distinct) * (int(labels.max()) + 1) / 2:
            return name, [distinct.index(value) for value in values]
    for name in RANKED_TIME_MARKS:
        values = _clock_times(marks(frames, name)) if name in _CLOCK_MARKS else marks(frames, name)
        if None not in values and _tells_apart(values, labels) and len(set(np.bincount(labels).tolist())) == 1:
            by_label = {label: sorted(group) for label, group in values_by_label(values, labels).items()}
            return name, [by_label[label].index(value) for value, label in zip(values, labels.tolist(), strict=True)]
    return _numbered(frames, labels)


def _clock_times(values: Sequence[str | None]) -> list[int | None]:
    """Returns times in µs, to be compared with each other; all None where their order is not certain.

    It is not certain where one is absent or malformed, where some have a date or an offset from UTC and others have
    not, and where times without a date may be of two days.
    """
    unknown: list[int | None] = [None] * len(values)
    found = [None if value is None else _CLOCK.fullmatch(value) for value in values]
    matches = [match for match in found if match is not None]
    kinds = {(match["date"] is None, match["offset"] is None) for match in matches}
    if len(matches) < len(values) or len(kinds) > 1:
        return unknown
    try:
        times = [_microseconds(match) for match in matches]
    except ValueError:
        return unknown
    has_no_date = any(is_undated for is_undated, _ in kinds)
    # no scan takes half a day, so it went on past midnight
    return unknown if has_no_date and max(times) - min(times) > _DAY_US // 2 else [*times]


def _microseconds(match: re.Match[str]) -> int:
    day = match["date"].replace(".", "") if match["date"] else ""
    days = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal() if day else 0
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004 60 is a leap second
        raise ValueError
    offset = match["offset"] or "+0000"
    minute -= int(f"{offset[0]}1") * (int(offset[1:3]) * 60 + int(offset[3:]))
    whole = ((days * 24 + hour) * 60 + minute) * 60 + second
    return whole * 10**6 + int((match["fraction"] or "").ljust(6, "0"))


def _numbered(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> tuple[str, list[int]] | None:
    """Finds the volumes of a series that lacks some slices by its instance numbers, where these follow a plan.

    The plan is all slices of a volume after each other, or all volumes of a slice: then every position keeps its place
    in the count. Anything else is not guessed at.
    """
    numbers = np.array([mark(frame, "InstanceNumber")[0] for frame in frames]).astype(np.intp)
    if len(set(numbers.tolist())) != len(frames):
        return None
    counts = np.bincount(labels)
    for base in {1, int(numbers.min())}:
        for size, is_volume_by_volume in ((len(counts), True), (int(counts.max()), False)):
            outer, inner = np.divmod(numbers - base, size)
            times, places = (outer, inner) if is_volume_by_volume else (inner, outer)
            places_of_labels = set(zip(places.tolist(), labels.tolist(), strict=True))
            is_planned = len(places_of_labels) == len(set(places.tolist())) == len(counts)
            if is_planned and times.min() == 0 and times.max() == counts.max() - 1:
                return "InstanceNumber", [int(time) for time in times]
    return None


def _tells_apart(values: Sequence[Any], labels: NDArray[np.intp]) -> bool:
    return len(set(zip(values, labels.tolist(), strict=True))) == len(values)


def moved_volumes(frames: Sequence[FrameInfo], along: FloatArray) -> tuple[str, list[list[int]]] | None:
    """Finds volumes that lie through each other without sharing a position: as one volume they would mix times.

    Args:
        frames: All of one kind, no two at one position.
        along: Shape (n,): their positions along the normal, mm.

    Returns:
        The attribute that tells them apart, and for each volume the numbers of its frames, ascending along the normal.
    """
    for name in ("TemporalPositionIdentifier", "AcquisitionNumber"):
        values = marks(frames, name)
        distinct = sorted(set(values) - {None})
        lines = [sorted((i for i, own in enumerate(values) if own == one), key=along.__getitem__) for one in distinct]
        sizes = {len(line) for line in lines}
        if None in values or len(lines) < 2 or len(sizes) > 1 or sizes == {1}:  # noqa: PLR2004 volumes
            continue
        places = np.array([along[line] for line in lines])
        moved = places - places[0]
        step = float(np.median(np.diff(places[0])))
        if np.ptp(moved, axis=1).max() < _SAME_STEP_PART * step and np.abs(moved).max() < np.ptp(places[0]):
            return name, lines
    return None
