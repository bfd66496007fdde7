"""Finds to which volume of a 4D series each frame belongs, and the order in which the volumes were acquired.

A mark is an attribute of frames. It separates volumes if all slices of a volume have the same value, and each volume
has another one. Times that differ from slice to slice are ranked at each position. The ranks separate volumes if the
times follow a plan: all slices of a volume come before those of the next volume, or all volumes of a slice come before
those of the next slice. InstanceNumber is used only if it follows such a plan (see rordenlab/dcm2niix#577). Whichever
attribute separates the volumes, they are put in the order of time if the header has times.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dcm_processor_service.imaging.frames.frame import dimensions_count_time, marks
from dcm_processor_service.imaging.series.order.clock import clock_times
from dcm_processor_service.imaging.series.order.number_plan import (
    VOLUME_BY_VOLUME,
    are_numbered_in_stack,
    instance_numbers,
    number_plan,
)
from dcm_processor_service.imaging.series.order.partial_marks import CLOCK_MARKS, contradicts_in_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.order.number_plan import NumberPlan

__all__ = ["TimeAxis", "are_moved", "comparable", "is_borne_out", "overlap", "time_axis", "values_by_label"]

# attributes that number volumes; they can separate volumes even if some of these lack slices
COUNTING_MARKS = (
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "FrameReferenceTime",
    "DimensionIndexValues",
    "TriggerTime",
    "Diffusion",
    "AcquisitionNumber",
)
# attributes that all slices of a volume may share, in the order in which they are tried
SHARED_MARKS = (
    *COUNTING_MARKS[:3],
    "AcquisitionTime",
    *COUNTING_MARKS[3:-1],
    "RepetitionTime",
    "ContentTime",
    "AcquisitionNumber",
)
# attributes whose values may be ranked at each position, in the order in which they are tried
RANKED_MARKS = ("FrameReferenceTime", "AcquisitionTime", "TriggerTime", "ContentTime")
# the only attributes that may separate volumes at different positions; others may differ within a volume
MOVED_MARKS = (
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "FrameReferenceTime",
    "Diffusion",
    "AcquisitionNumber",
)
# attributes that never have two values in one volume
CONSTANT_MARKS = ("TemporalPositionIdentifier", "TemporalPositionTimeOffset", "DiffusionBValue")
# attributes that must agree: a series contradicts itself if two of these separate volumes differently
WITNESSES = ("TemporalPositionIdentifier", "FrameReferenceTime", "AcquisitionTime", "TriggerTime", "DiffusionBValue")
# attributes that say when a volume was taken, most reliable first
ORDERING_MARKS = (
    "FrameReferenceTime",
    "AcquisitionTime",
    "TemporalPositionTimeOffset",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "ContentTime",
)

_SAME_STEP_PART = 0.1  # steps of volumes of the same shape may differ by this fraction of a step


class TimeAxis(NamedTuple):
    """The volume of each frame, and the attributes that separate and order volumes."""

    attribute: str
    """The attribute that separates volumes."""

    times: list[int]
    """For every frame the number of its volume, from 0."""

    ordered_by: str
    """The attribute that puts the volumes in order."""


def values_by_label(values: Sequence[Any], labels: NDArray[np.intp]) -> dict[int, set[Any]]:
    """Returns the values that the frames at each position have, by the number of the position."""
    result: dict[int, set[Any]] = defaultdict(set)
    for value, label in zip(values, labels.tolist(), strict=True):
        result[label].add(value)
    return result


def comparable(frames: Sequence[FrameInfo], name: str) -> list[Any] | None:
    """Returns the values of a mark in a form that sorts; None if a frame has no value or the order is not certain.

    The values of the mark ``Diffusion`` are the b-value and the gradient direction, if there is one.
    """
    if name == "Diffusion":
        weights, gradients = marks(frames, "DiffusionBValue"), marks(frames, "DiffusionGradientOrientation")
        return (
            None
            if None in weights
            else [(weight, gradient or ()) for weight, gradient in zip(weights, gradients, strict=True)]
        )
    values = clock_times(marks(frames, name)) if name in CLOCK_MARKS else marks(frames, name)
    return None if None in values else values


def time_axis(frames: Sequence[FrameInfo], labels: NDArray[np.intp], along: FloatArray) -> TimeAxis | None:
    """Finds the attribute that assigns each frame to its volume and orders the volumes; None if none is certain.

    Args:
        frames: Frames of one kind of image.
        labels: For each frame the number of its position.
        along: For each frame its position along the normal, mm.
    """
    if _contradict(frames, labels):
        return None
    plan = number_plan(frames, labels)
    found = _certain_axis(frames, labels, along, plan)
    return None if found is None or _is_contradicted(found, frames, labels, plan) else found


def _is_contradicted(
    found: TimeAxis, frames: Sequence[FrameInfo], labels: NDArray[np.intp], plan: NumberPlan | None
) -> bool:
    """Returns whether another mark, which some frames lack, contradicts the order of the volumes.

    Only those marks are compared that are more reliable than the mark that orders the volumes.
    """
    one_by_one = plan is not None and plan.name == VOLUME_BY_VOLUME and _are_alike(found.times, plan.times)
    for name in itertools.takewhile(lambda name: name != found.ordered_by, ORDERING_MARKS):
        if name == "TriggerTime" and found.attribute not in {"InstanceNumber", "ContentTime"}:
            continue  # trigger times begin again with each heartbeat, so they cannot contradict an order
        if contradicts_in_part(frames, labels.tolist(), found.times, name, one_by_one=one_by_one):
            return True
    return False


def _certain_axis(
    frames: Sequence[FrameInfo], labels: NDArray[np.intp], along: FloatArray, plan: NumberPlan | None
) -> TimeAxis | None:
    """Tries the marks that volumes share, then the marks that are ranked at each position, then the number plan."""
    for name in SHARED_MARKS:
        values = comparable(frames, name)
        if values is None or not _tells_apart(values, labels):
            continue
        distinct = sorted(set(values))
        times = [distinct.index(value) for value in values]
        is_possible = _may_number_volumes(name, times, labels, along) and _holds_together(frames, times)
        if plan is not None and not _are_alike(times, plan.times) and not _are_indexed(frames, times):
            if _are_complete(times, labels):
                return None  # the mark contradicts the numbers, which follow a plan
            continue
        if is_possible and is_borne_out(times, frames, labels, along):
            return _in_time("DiffusionBValue" if name == "Diffusion" else name, frames, times, plan)
    for name in RANKED_MARKS:
        ranks = _planned_ranks(comparable(frames, name), labels, plan)
        if ranks is not None and _holds_together(frames, ranks):
            return _in_time(name, frames, ranks, plan)
    if plan is not None and _holds_together(frames, plan.times):
        return _in_time("InstanceNumber", frames, plan.times, plan)
    return None


def _may_number_volumes(name: str, times: Sequence[int], labels: NDArray[np.intp], along: FloatArray) -> bool:
    """Returns whether each value of a mark can belong to one volume, which may lack some slices."""
    volumes, counts = max(times) + 1, np.bincount(labels)
    if volumes == counts.max():
        return name in COUNTING_MARKS or len(set(counts.tolist())) == 1
    # volumes may lack slices, as long as more than half of all slices are there
    if name in COUNTING_MARKS and len(times) > volumes * len(counts) / 2:
        return True
    return name in MOVED_MARKS and are_moved(times, along)


def is_borne_out(
    times: Sequence[int], frames: Sequence[FrameInfo], labels: NDArray[np.intp], along: FloatArray
) -> bool:
    """Returns whether there is other evidence for the volumes that a mark separates.

    The volumes are complete, or have the same shape, or are numbered one after the other. The check matters for series
    that lack slices, whose frames a mark with another meaning could split in any way.
    """
    numbers = instance_numbers(frames)
    return (
        _are_complete(times, labels)
        or are_moved(times, along)
        or are_numbered_in_stack(frames, labels)
        or _are_apart(numbers, times)
        or (len(labels) > labels.max() + 1 and _are_apart(numbers, labels.tolist()))
    )


def _are_complete(times: Sequence[int], labels: NDArray[np.intp]) -> bool:
    """Returns whether each volume has a frame at each position."""
    found = values_by_label(labels.tolist(), np.array(times))
    return all(len(places) == labels.max() + 1 for places in found.values())


def _are_indexed(frames: Sequence[FrameInfo], times: Sequence[int]) -> bool:
    """Returns whether DimensionIndexValues (0020,9157) separate the same volumes.

    They state the order of an object's frames, which may be stored in another order (PS3.3, section C.7.6.17). So they
    are right even if the frame numbers happen to follow a plan.
    """
    indices = comparable(frames, "DimensionIndexValues")
    return indices is not None and _are_alike(times, indices)


def _are_alike(times: Sequence[int], others: Sequence[Any]) -> bool:
    """Returns whether two lists, with a value for each frame, divide the frames into the same groups."""
    pairs = set(zip(times, others, strict=True))
    return len(pairs) == len(set(times)) == len(set(others))


def _contradict(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> bool:
    """Returns whether two marks both separate complete volumes, but in different ways."""
    counts = np.bincount(labels)
    if len(set(counts.tolist())) > 1:
        return False
    partitions = set()
    for name in WITNESSES:
        values = comparable(frames, name)
        if values is not None and len(set(values)) == counts[0] and _tells_apart(values, labels):
            first_seen = {value: index for index, value in enumerate(dict.fromkeys(values))}
            partitions.add(tuple(first_seen[value] for value in values))
    return len(partitions) > 1


def _holds_together(frames: Sequence[FrameInfo], times: Sequence[int]) -> bool:
    """Returns whether the attributes that never differ within a volume have only one value in each volume."""
    for name in CONSTANT_MARKS:
        found: dict[int, Any] = {}
        values = marks(frames, name)
        for time, value in zip(times, values, strict=True):
            if value is not None and found.setdefault(time, value) != value:
                return name == "TemporalPositionIdentifier" and _counts_ticks(values, frames, times)
    return True


def _counts_ticks(values: Sequence[Any], frames: Sequence[FrameInfo], times: Sequence[int]) -> bool:
    """Returns whether TemporalPositionIndex counts ticks of a clock, several of which pass during each volume.

    DimensionIndexValues then say which volume a frame belongs to.
    """
    return None not in values and _are_indexed(frames, times) and _are_apart(values, times)


def _planned_ranks(values: list[Any] | None, labels: NDArray[np.intp], plan: NumberPlan | None) -> list[int] | None:
    """Ranks the frames of each position by their values; None if the frames cannot be ranked or follow no plan."""
    if values is None or not _tells_apart(values, labels) or len(set(np.bincount(labels).tolist())) > 1:
        return None
    by_label = {label: sorted(group) for label, group in values_by_label(values, labels).items()}
    ranks = [by_label[label].index(value) for value, label in zip(values, labels.tolist(), strict=True)]
    if _are_apart(values, ranks) or _are_apart(values, labels.tolist()) or (plan is not None and plan.times == ranks):
        return ranks
    return None


def _are_apart(values: Sequence[Any], groups: Sequence[int]) -> bool:
    """Returns whether the values of every group end before those of the next group begin."""
    return _order_of_groups(values, groups) is not None


def _order_of_groups(values: Sequence[Any], groups: Sequence[int]) -> list[int] | None:
    """Returns the groups in the order of their values; None if the values of two groups overlap."""
    ends: dict[int, tuple[Any, Any]] = {}
    for value, group in zip(values, groups, strict=True):
        low, high = ends.get(group, (value, value))
        ends[group] = min(low, value), max(high, value)
    order = sorted(ends, key=ends.__getitem__)
    return order if all(ends[a][1] < ends[b][0] for a, b in itertools.pairwise(order)) else None


def _in_time(attribute: str, frames: Sequence[FrameInfo], times: Sequence[int], plan: NumberPlan | None) -> TimeAxis:
    """Numbers the volumes in the order of time if the headers have times, otherwise in the order of the attribute."""
    for name in ORDERING_MARKS:
        if name == attribute:
            break
        values = None if name == "TriggerTime" else comparable(frames, name)
        order = None if values is None else _order_of_groups(values, times)
        if order is not None:
            return TimeAxis(attribute, [order.index(time) for time in times], name)
    of_files = {id(frame.instance): frame for frame in frames}.values()
    is_time = attribute == "DimensionIndexValues" and all(map(dimensions_count_time, of_files))
    if attribute in {"DiffusionBValue", "RepetitionTime", "DimensionIndexValues"} and plan is not None and not is_time:
        pairs = sorted(set(zip(plan.times, times, strict=True)))
        if len(pairs) == len({time for time, _ in pairs}):
            return TimeAxis(attribute, plan.times, "InstanceNumber")
    return TimeAxis(attribute, list(times), attribute)


def _tells_apart(values: Sequence[Any], labels: NDArray[np.intp]) -> bool:
    """Returns whether no two frames at one position have the same value."""
    return len(set(zip(values, labels.tolist(), strict=True))) == len(values)


def are_moved(groups: Sequence[int], along: FloatArray) -> bool:
    """Returns whether groups of frames are volumes of the same shape that interleave, shifted along the normal."""
    lines = _lines(groups, along)
    if len(lines) < 2 or len({len(line) for line in lines}) > 1 or len(lines[0]) < 2:  # noqa: PLR2004 volumes, slices
        return False
    places = np.array(lines)
    step = float(np.median(np.diff(places[0])))
    is_one_shape = bool(np.abs(np.diff(places, axis=1) - np.diff(places[0])).max() <= _SAME_STEP_PART * step)
    order = np.argsort(places[:, 0])
    return is_one_shape and overlap([lines[index] for index in order])


def overlap(lines: Sequence[Sequence[float]]) -> bool:
    """Returns whether each of several runs of positions begins before the previous run ends."""
    ordered = sorted(lines, key=min)
    return all(min(after) < max(before) for before, after in itertools.pairwise(ordered))


def _lines(groups: Sequence[int], along: FloatArray) -> list[list[float]]:
    """Returns for each group the positions of its frames, ascending."""
    found: dict[int, list[float]] = defaultdict(list)
    for group, position in zip(groups, along.tolist(), strict=True):
        found[group].append(position)
    return [sorted(line) for line in found.values()]
