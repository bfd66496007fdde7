"""Which volume of a 4D series each frame belongs to: an attribute that all slices of a volume share, or ranks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames import mark, marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["moved_volumes", "time_axis", "values_by_label"]

SHARED_TIME_MARKS = ("TemporalPositionIdentifier", "DimensionIndexValues", "TriggerTime", "AcquisitionNumber")
_SAME_STEP_PART = 0.02
RANKED_TIME_MARKS = ("TriggerTime", "AcquisitionTime", "InstanceNumber", "ContentTime")


def values_by_label(values: Sequence[Any], labels: NDArray[np.intp]) -> dict[int, set[Any]]:
    """Gives for each position, by its number, the values that its frames have."""
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
        if len(distinct) == most:
            return name, [distinct.index(value) for value in values]
    for name in RANKED_TIME_MARKS:
        values = marks(frames, name)
        if (
            None not in values
            and _tells_apart(values, labels)
            and len(set(np.bincount(labels).tolist())) == 1
            and not _passes_midnight(values)
        ):
            by_label = {label: sorted(group) for label, group in values_by_label(values, labels).items()}
            return name, [by_label[label].index(value) for value, label in zip(values, labels.tolist(), strict=True)]
    return _numbered(frames, labels)


def _passes_midnight(values: Sequence[Any]) -> bool:
    """Whether times of the day without a date may be of two days, so that their order says nothing."""
    if not isinstance(values[0], str) or any(len(value.partition(".")[0]) != len("HHMMSS") for value in values):
        return False
    hours = [int(value[:2]) for value in values if value[:2].isdigit()]
    return max(hours, default=0) - min(hours, default=0) > 12  # noqa: PLR2004 no scan takes half a day


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
