"""Sorts frames into stacks: finds which frames belong together, and which attribute separates their volumes.

This takes two steps. Frames of one size, number format, orientation and pixel spacing make a group. Within a group,
frames at one position are separated first by their *kind* of image (echo, magnitude or phase, kernel), which makes
separate stacks, then by time, which makes the fourth axis
(:mod:`dcm_processor_service.imaging.series.order.time_axis`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames.frame import FrameInfo, mark, marks
from dcm_processor_service.imaging.geometry import cluster_positions, orientation_label, slice_normal
from dcm_processor_service.imaging.headers.series_labels import MAKING
from dcm_processor_service.imaging.series.identity import IDENTITY_MARKS, identity_values
from dcm_processor_service.imaging.series.kinds import showing_of_volumes
from dcm_processor_service.imaging.series.order.interleaving import (
    are_interleaved,
    assumed_passes,
    interleaving_doubt,
    separating_mark,
)
from dcm_processor_service.imaging.series.order.time_axis import are_moved, is_borne_out, time_axis, values_by_label
from dcm_processor_service.imaging.series.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.order.time_axis import TimeAxis

__all__ = ["FrameGroup", "group_frames", "stacks_of"]

# attributes in which different kinds of image differ, even if no position has frames of two kinds
_ALWAYS_KINDS = (
    "ComplexPart",
    "EchoTime",
    "LUTLabel",
    "StackID",
    "RectilinearPhaseEncodeReordering",
    *IDENTITY_MARKS,
)
# attributes that separate kinds of image only if a position has frames with different values, or if values interleave
_KIND_MARKS = (
    "ImageType",
    *_ALWAYS_KINDS,
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "ConvolutionKernel",
    "KVP",
    *MAKING,
)
# attributes whose values may alternate along one volume, so they separate kinds only by several values at one position
_ONLY_AT_ONE_PLACE = ("InversionTime", *MAKING)
# settings whose values scanners measure or round, and the largest difference between neighbouring values that still
# count as equal, in ms, degrees, ms and kV
_SAME_SETTING = {"EchoTime": 0.02, "FlipAngle": 0.02, "InversionTime": 0.02, "KVP": 0.5}

_COMPLEX_PARTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
_COSINE_TOLERANCE = 1e-3
_CORNER_PIXELS = 0.2
_SPACING_TOLERANCE = 1e-3
_LATERAL_PIXELS = 4.0


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one size, number format, orientation and pixel spacing."""

    frames: tuple[FrameInfo, ...]
    is_localizer: bool

    orientation_number: int
    """Equal for groups whose orientations are so close that the far corner of the image moves by less than a pixel."""

    spacing_number: int
    """Equal for groups whose pixel spacings are so close that the far edge of the image moves by less than a pixel."""

    @property
    def first(self) -> FrameInfo:
        """The first frame, for attributes that all frames of the group share."""
        return self.frames[0]

    @property
    def number_format(self) -> tuple[int | None, ...]:
        """Size and number format of the frames' pixels."""
        return self.first.pixel_format.number_format


@lru_cache(maxsize=64)
def _names_localizer(image_type: tuple[str, ...] | None) -> bool:
    """Returns whether ImageType says that an image is a localizer (PS3.3, sections C.8.2.1.1.1 and C.8.3.1.1.1)."""
    return any(value.upper() in {"LOCALIZER", "SCOUT"} for value in image_type or ())


def group_frames(frames: Sequence[FrameInfo]) -> list[FrameGroup]:
    """Sorts frames with geometry into groups, in the order of their first frames."""
    orientations: list[tuple[float, ...]] = []
    spacings: list[tuple[float, ...]] = []
    localizers = [_names_localizer(image_type) for image_type in marks(frames, "ImageType")]
    found: dict[tuple[Any, ...], list[FrameInfo]] = defaultdict(list)
    for frame, is_localizer in zip(frames, localizers, strict=True):
        orientation = _index_of_close(orientations, frame.orientation or (), _turn_tolerance(frame))
        spacing = _index_of_close(spacings, frame.pixel_spacing or (), _spacing_tolerance(frame))
        found[is_localizer, frame.pixel_format.number_format, orientation, spacing].append(frame)
    return [FrameGroup(tuple(members), key[0], key[2], key[3]) for key, members in found.items()]


def _turn_tolerance(frame: FrameInfo) -> float:
    """Returns how much direction cosines may differ between frames of one group.

    The far corner of the image then moves by at most a fifth of a pixel.
    """
    extent = float(np.hypot(frame.pixel_format.columns, frame.pixel_format.rows))
    return min(_COSINE_TOLERANCE, _CORNER_PIXELS / max(extent, 1.0))


def _spacing_tolerance(frame: FrameInfo) -> float:
    """Returns how much pixel spacings may differ between frames of one group, mm.

    The far edge of the image then moves by at most a tenth of a pixel.
    """
    edge = max(frame.pixel_format.columns, frame.pixel_format.rows, 1)
    return min(_SPACING_TOLERANCE, _CORNER_PIXELS / 2 * min(frame.pixel_spacing or (1.0,)) / edge)


def _index_of_close(known: list[tuple[float, ...]], value: tuple[float, ...], tolerance: float) -> int:
    for index, other in enumerate(known):
        if other == value or max(abs(a - b) for a, b in zip(other, value, strict=True)) <= tolerance:
            return index
    known.append(value)
    return len(known) - 1


def stacks_of(groups: Sequence[FrameGroup]) -> list[Stack]:
    """Makes the stacks of all groups, each with a distinct name; the largest stack is first, localizers are last."""
    made: list[tuple[bool, Stack]] = []
    for group, name in zip(groups, _group_names(groups), strict=True):
        for stack in _arrange(group):
            full_name = "_".join(filter(None, [name, stack.name]))
            made.append((group.is_localizer, replace(stack, name=full_name)))
    made.sort(key=lambda each: (each[0], -len(each[1].grid[0]) * len(each[1].grid)))
    return [stack for _, stack in made]


def _arrange(group: FrameGroup) -> list[Stack]:
    """Makes the stacks of a group.

    There are several if the group holds several kinds of image, or stacks side by side.
    """
    frames = group.frames
    labels = _position_labels(frames)
    values = _kind_values(frames, labels)
    places = _places(frames, labels)
    parts: dict[tuple[Any, ...], list[FrameInfo]] = defaultdict(list)
    for index, frame in enumerate(frames):
        key = (*(column[index] for column in values.values()), places[index])
        parts[key].append(frame)
    if len(parts) == 1:
        return _stacks(frames)
    kinds = (*values, "ImagePositionPatient")
    keys = sorted(parts, key=_sortable)
    names = _kind_names(kinds, keys)
    differing = tuple(kind for column, kind in enumerate(kinds) if len({key[column] for key in keys}) > 1)
    return [
        replace(
            stack,
            name="_".join(filter(None, [name, stack.name])),
            kind_marks=tuple(dict.fromkeys((*differing, *stack.kind_marks))),
        )
        for key, name in zip(keys, names, strict=True)
        for stack in _stacks(parts[key])
    ]


def _position_labels(frames: Sequence[FrameInfo]) -> NDArray[np.intp]:
    return cluster_positions(_along(frames))[0]


def _along(frames: Sequence[FrameInfo]) -> FloatArray:
    """Returns the positions of frames along their normal, mm, shape (n,)."""
    positions = np.array([frame.position for frame in frames], dtype=np.float64)
    along: FloatArray = positions @ slice_normal(frames[0].orientation or ())
    return along


def _places(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> list[int]:
    """Returns for each frame the number of its place, where stacks lie side by side, such as two knees in one series.

    Such stacks have frames at the same positions along the normal. If a place lacks a frame at one of the positions,
    the frames count as one stack with shifted slices, and all numbers are 0.
    """
    first = frames[0]
    directions = np.array(first.orientation).reshape(2, 3)
    lateral = np.array([frame.position for frame in frames], dtype=np.float64) @ directions.T
    apart = _LATERAL_PIXELS * max(first.pixel_spacing or (1.0,))
    corners: list[NDArray[np.float64]] = []
    numbers = []
    for corner in lateral:
        near = [index for index, known in enumerate(corners) if np.abs(known - corner).max() <= apart]
        if not near:
            near = [len(corners)]
            corners.append(corner)
        numbers.append(near[0])
    pairs = set(zip(numbers, labels.tolist(), strict=True))
    return numbers if len(pairs) == len(corners) * len(set(labels.tolist())) else [0] * len(frames)


def _single_volume(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> Stack:
    return Stack((tuple(frames[index] for index in np.argsort(labels)),), "")


def _kind_values(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> dict[str, list[Any]]:
    """Returns the marks that separate kinds of image, with the value of each frame.

    If several marks separate the frames in the same way, only the first of them is returned.
    """
    chosen: dict[str, list[Any]] = {}
    partitions: list[list[int]] = []
    along = _along(frames)
    for name in _KIND_MARKS:
        values = _values_of_kind(frames, name)
        if len(set(values)) == 1:
            continue
        is_always_one = name in _ALWAYS_KINDS and len(set(values) - {None}) > 1
        is_at_one_place = any(len(group) > 1 for group in values_by_label(values, labels).values())
        lies_through = name not in _ONLY_AT_ONE_PLACE and are_interleaved(values, along)
        if not (is_always_one or is_at_one_place or lies_through):
            continue
        numbers = {value: index for index, value in enumerate(dict.fromkeys(values))}
        partition = [numbers[value] for value in values]
        if partition not in partitions:
            chosen[name] = values
            partitions.append(partition)
    return chosen


def _values_of_kind(frames: Sequence[FrameInfo], name: str) -> list[Any]:
    if name in IDENTITY_MARKS:
        return identity_values(frames, name)
    values = marks(frames, name)
    return _without_rounding(values, _SAME_SETTING[name]) if name in _SAME_SETTING else values


def _without_rounding(values: Sequence[float | None], rounding: float) -> list[float | None]:
    """Returns values of a setting, in which those that differ only by rounding are replaced by the least of them."""
    distinct = sorted({value for value in values if value is not None})
    stands_for: dict[float | None, float | None] = {None: None}
    for before, value in zip([None, *distinct], distinct, strict=False):
        is_same = before is not None and value - before <= rounding
        stands_for[value] = stands_for[before] if is_same else value
    return [stands_for[value] for value in values]


def _sortable(key: tuple[Any, ...]) -> tuple[tuple[bool, str, Any], ...]:
    """Makes a sort key for values of mixed types: None comes first, the others follow by type, then by value."""
    return tuple((value is not None, type(value).__name__, value if value is not None else 0) for value in key)


def _kind_names(kinds: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> list[str]:
    names = []
    for key in keys:
        words = []
        for column, (kind, value) in enumerate(zip(kinds, key, strict=True)):
            distinct = sorted({other[column] for other in keys}, key=lambda one: _sortable((one,)))
            if len(distinct) > 1:
                words.append(_word(kind, value, distinct))
        names.append("_".join(words))
    return _unique(names)


def _word(kind: str, value: Any, distinct: Sequence[Any]) -> str:
    if kind == "ImageType" and value is not None:
        shared = set.intersection(*(set(other or ()) for other in distinct))
        own = [part.lower() for part in dict.fromkeys(value) if part not in shared]
        return re.sub(r"[^a-z0-9]+", "-", "-".join(own)).strip("-") or "plain"
    if kind == "ComplexPart" and value in _COMPLEX_PARTS:
        return _COMPLEX_PARTS[value]
    label = {
        "ImagePositionPatient": "place",
        "EchoTime": "echo",
        "EchoNumbers": "echo",
        "InversionTime": "inversion",
        "LUTLabel": "map",
        "MeasurementUnitsCodeSequence": "unit",
    }.get(kind, kind.lower())
    return f"{label}-{list(distinct).index(value) + 1}"


def _unique(names: Sequence[str]) -> list[str]:
    """Returns the names, and appends a number to those that occur several times."""
    counts = Counter(names)
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name}-{seen[name]}" if counts[name] > 1 else name)
    return result


def _stacks(frames: Sequence[FrameInfo]) -> list[Stack]:
    """Makes the stacks of frames of one kind.

    There is one stack, or one for each volume if volumes lie in different places, or one for each kind of image if the
    volumes turn out to be different kinds.
    """
    labels, along = _position_labels(frames), _along(frames)
    counts = np.bincount(labels)
    if counts.max() == 1:
        name = separating_mark(frames, along)
        if name is None:
            single = _single_volume(frames, labels)
            doubt = interleaving_doubt(frames, along, is_even=not single.is_uneven)
            return [replace(single, doubt=doubt, passes_by="" if doubt else assumed_passes(frames, along))]
        values = marks(frames, name)
        distinct = sorted(set(values), key=lambda value: _sortable((value,)))
        numbers = [distinct.index(value) for value in values]
        if is_borne_out(numbers, frames, labels, along):
            return _stack_for_each_volume(name, frames, numbers)
        return [replace(_single_volume(frames, labels), doubt=f"they have {len(distinct)} values of {name}")]
    found = time_axis(frames, labels, along)
    if found is None:
        return [_with_duplicates(frames, labels, counts)]
    showing = showing_of_volumes(frames, found.times, found.attribute)
    if showing is not None:
        return _stack_for_each_kind(*showing, frames)
    if are_moved(found.times, along) and len(counts) > len(frames) / (max(found.times) + 1):
        return _stack_for_each_volume(found.attribute, frames, found.times)
    return [_with_doubt(_four_d(frames, labels, found))]


def _with_doubt(stack: Stack) -> Stack:
    """Adds a doubt to a stack with uneven steps if an attribute separates slices within one of its volumes.

    Volumes that are shifted against each other by less than a step can look like volumes at one place, each of which
    would then mix slices of two volumes.
    """
    if stack.is_uneven:
        for line in stack.grid:
            name = separating_mark(line, _along(line))
            if name is not None:
                return replace(stack, doubt=f"those of one volume have several values of {name}")
    return stack


def _stack_for_each_kind(name: str, values: Sequence[Any], frames: Sequence[FrameInfo]) -> list[Stack]:
    """Makes separate stacks for each value of an attribute, from the frames that have this value."""
    keys = sorted({(value,) for value in values}, key=_sortable)
    return [
        replace(stack, name="_".join(filter(None, [word, stack.name])), kind_marks=(name,))
        for key, word in zip(keys, _kind_names((name,), keys), strict=True)
        for stack in _stacks([frame for frame, value in zip(frames, values, strict=True) if value == key[0]])
    ]


def _stack_for_each_volume(name: str, frames: Sequence[FrameInfo], numbers: Sequence[int]) -> list[Stack]:
    """Makes a separate stack of each volume, for volumes that lie in different places."""
    volumes: dict[int, list[FrameInfo]] = defaultdict(list)
    for number, frame in zip(numbers, frames, strict=True):
        volumes[number].append(frame)
    return [
        replace(stack, name="_".join(filter(None, [f"volume-{number + 1}", stack.name])), moved_by=name)
        for number in sorted(volumes)
        for stack in _stacks(volumes[number])
    ]


def _four_d(frames: Sequence[FrameInfo], labels: NDArray[np.intp], axis: TimeAxis) -> Stack:
    """Makes one stack of the volumes at one place; volumes that lack slices are left out if others are complete."""
    counts, times = np.bincount(labels), axis.times
    cells = {(time, int(label)): frame for frame, time, label in zip(frames, times, labels, strict=True)}
    present = [[k for k in range(len(counts)) if (time, k) in cells] for time in range(max(times) + 1)]
    fullest = max(present, key=len)
    # keep the complete volumes; if there are none, keep only the first of those that lack the fewest slices
    kept = [time for time, slices in enumerate(present) if len(slices) == len(counts)] or [present.index(fullest)]
    grid = tuple(tuple(cells[time, k] for k in fullest) for time in kept)
    along = _along(frames)
    lacking = tuple(float(along[labels == k][0]) for k in np.flatnonzero(counts < max(times) + 1))
    used = {id(frame) for line in grid for frame in line}
    spare = tuple(frame for frame in frames if id(frame) not in used)
    is_4d = len(grid) > 1
    return Stack(
        grid,
        "",
        time_mark=axis.attribute if is_4d else "",
        ordered_by=axis.ordered_by if is_4d else "",
        incomplete=lacking,
        spare=spare,
    )


def _with_duplicates(frames: Sequence[FrameInfo], labels: NDArray[np.intp], counts: NDArray[np.intp]) -> Stack:
    """Makes one stack of the first frame at each position; the other frames are left over as ``spare``."""
    order = sorted(range(len(frames)), key=lambda index: mark(frames[index], "InstanceNumber"))
    chosen: dict[int, FrameInfo] = {}
    for index in order:
        chosen.setdefault(int(labels[index]), frames[index])
    kept = {id(frame) for frame in chosen.values()}
    spare = [frames[index] for index in order if id(frames[index]) not in kept]
    duplicated = tuple(int(k) for k in np.flatnonzero(counts > 1))
    grid = (tuple(chosen[k] for k in range(len(counts))),)
    return Stack(grid, "", duplicated=duplicated, spare=tuple(spare))


def _group_names(groups: Sequence[FrameGroup]) -> list[str]:
    """Names groups by what differs between them (plane, size, localizer); the name of an only group is empty."""
    if len(groups) == 1:
        return [""]
    described = []
    for group in groups:
        first = group.first
        plane = "localizer" if group.is_localizer else orientation_label(first.orientation or ())
        size = f"{first.pixel_format.columns}x{first.pixel_format.rows}"
        described.append((plane, size))
    columns = [column for column in range(2) if len({entry[column] for entry in described}) > 1]
    return _unique(["_".join(entry[column] for column in columns) or "part" for entry in described])
