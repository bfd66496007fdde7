"""Finds the plan by which a 4D series numbers its instances: volume by volume, or slice by slice.

InstanceNumbers (0020,0013) that follow neither plan say nothing about time, so they do not order volumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dcm_processor_service.imaging.frames.frame import mark
from dcm_processor_service.imaging.headers.values import item, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = [
    "VOLUME_BY_VOLUME",
    "NumberPlan",
    "are_numbered_in_stack",
    "instance_numbers",
    "number_plan",
    "places_in_stack",
    "plan_of_grid",
    "slice_numbers",
]

VOLUME_BY_VOLUME = "volume by volume"
_SLICE_BY_SLICE = "slice by slice"

_FEW_FRAMES = 12
"""Random numbers of so few frames may follow a plan by chance, unless slices must be numbered along the stack, too."""


class NumberPlan(NamedTuple):
    """A plan that the numbers of all frames follow."""

    name: str
    """``volume by volume`` or ``slice by slice``."""

    times: list[int]
    """For every frame the number of its volume."""


def instance_numbers(frames: Sequence[FrameInfo]) -> list[tuple[float, float]]:
    """Returns InstanceNumber and frame number of each frame."""
    return [mark(frame, "InstanceNumber") for frame in frames]


def slice_numbers(frames: Sequence[FrameInfo]) -> list[tuple[float, float]]:
    """Returns the slice number of each frame of a volume, as a pair that sorts.

    It is InStackPositionNumber (0020,9057) if all frames have different ones, else InstanceNumber and frame number.
    """
    found = places_in_stack(frames)
    return found if len(set(found)) == len(frames) else instance_numbers(frames)


def places_in_stack(frames: Sequence[FrameInfo]) -> list[tuple[float, float]]:
    """Returns the InStackPositionNumber of each frame, as a pair that sorts; empty if a frame has none."""
    found = [(place, 0.0) for place in _stack_positions(frames) if place is not None]
    return found if len(found) == len(frames) else []


def are_numbered_in_stack(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> bool:
    """Returns whether frames have the same InStackPositionNumber exactly if they lie at the same position."""
    places = _stack_positions(frames)
    pairs = set(zip(places, labels.tolist(), strict=True))
    return None not in places and len(pairs) == len(set(places)) == labels.max() + 1


def _stack_positions(frames: Sequence[FrameInfo]) -> list[float | None]:
    content = [item(frame.places[0], "FrameContentSequence") for frame in frames]
    return [None if one is None else number(one, "InStackPositionNumber") for one in content]


def number_plan(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> NumberPlan | None:
    """Finds the plan that the numbers of frames follow; None if the numbers follow no plan, or repeat.

    Args:
        frames: Frames in any order.
        labels: For each frame the number of its position.
    """
    numbers = instance_numbers(frames)
    if len(set(numbers)) < len(numbers):
        return None
    counts = np.bincount(labels)
    if len(set(counts.tolist())) == 1:
        order = sorted(range(len(frames)), key=numbers.__getitem__)
        return _complete(order, labels, len(counts), int(counts[0]))
    return _incomplete(np.array([number for number, _ in numbers]).astype(np.intp), labels, counts)


def _complete(order: list[int], labels: NDArray[np.intp], slices: int, volumes: int) -> NumberPlan | None:
    """Returns the plan of volumes that have all their slices; None if the numbers follow no plan."""
    sequence = labels[order]
    times = np.empty(len(order), np.intp)
    by_volume, by_slice = sequence.reshape(volumes, slices), sequence.reshape(slices, volumes)
    if len(set(by_volume[0].tolist())) == slices and (by_volume == by_volume[0]).all():
        name, times[order], places = VOLUME_BY_VOLUME, np.repeat(np.arange(volumes), slices), by_volume[0].tolist()
    elif len(set(by_slice[:, 0].tolist())) == slices and (by_slice == by_slice[:, :1]).all():
        name, times[order], places = _SLICE_BY_SLICE, np.tile(np.arange(volumes), slices), by_slice[:, 0].tolist()
    else:
        return None
    if len(order) <= _FEW_FRAMES and not (_is_in_passes(places) or _is_in_passes(places[::-1])):
        return None
    return NumberPlan(name, [int(time) for time in times])


def _is_in_passes(places: list[int]) -> bool:
    """Returns whether slices are numbered along the stack: one after the other, or every n-th of them in each pass.

    Example:
        >>> _is_in_passes([0, 1, 2, 3]), _is_in_passes([1, 3, 0, 2]), _is_in_passes([3, 0, 1, 2])
        (True, True, False)
    """
    count = len(places)
    for step in range(1, max(2, count // 2) + 1):
        starts = [place for place in places if place < step]
        if places == [place for start in starts for place in range(start, count, step)]:
            return True
    return False


def _incomplete(numbers: NDArray[np.intp], labels: NDArray[np.intp], counts: NDArray[np.intp]) -> NumberPlan | None:
    """Returns the plan of volumes that lack slices, whose numbers are missing too; None if they follow no plan."""
    if len(set(numbers.tolist())) < len(numbers):
        return None
    for base in {1, int(numbers.min())}:
        for size, name in ((len(counts), VOLUME_BY_VOLUME), (int(counts.max()), _SLICE_BY_SLICE)):
            outer, inner = np.divmod(numbers - base, size)
            times, places = (outer, inner) if name == VOLUME_BY_VOLUME else (inner, outer)
            places_of_labels = sorted(set(zip(places.tolist(), labels.tolist(), strict=True)))
            along = [label for _, label in places_of_labels]
            # numbers that do not count along the stack are not evidence if slices are missing
            is_planned = along in (list(range(len(counts))), list(range(len(counts)))[::-1])
            if is_planned and times.min() == 0 and times.max() == counts.max() - 1:
                return NumberPlan(name, [int(time) for time in times])
    return None


def plan_of_grid(grid: Sequence[Sequence[FrameInfo]]) -> str:
    """Names the plan by which InstanceNumbers agree with the order of a grid; empty if they do not agree."""
    frames = [frame for line in grid for frame in line]
    labels = np.tile(np.arange(len(grid[0])), len(grid))
    if len(grid) == 1:
        numbers = instance_numbers(frames)
        is_ascending = numbers == sorted(set(numbers))
        return VOLUME_BY_VOLUME if is_ascending or numbers[::-1] == sorted(set(numbers)) else ""
    plan = number_plan(frames, labels)
    expected = np.repeat(np.arange(len(grid)), len(grid[0])).tolist()
    return plan.name if plan is not None and plan.times in (expected, [len(grid) - 1 - t for t in expected]) else ""
