"""From frames in any order to stacks: which belong together, which place each has, what tells volumes apart.

Two steps. Frames of one size, number format, orientation and pixel spacing make a group. Within a group, frames at one
position are told apart first by what makes them another *kind* of image (echo, magnitude or phase, kernel), which gives
separate stacks, then by time, which gives the fourth axis.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames import FrameInfo, mark
from dcm_processor_service.imaging.geometry import cluster_positions, orientation_label, slice_normal
from dcm_processor_service.imaging.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FrameGroup", "arrange", "group_frames", "group_names", "is_localizer"]

KIND_MARKS = (
    "ImageType",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "ConvolutionKernel",
    "KVP",
    "StackID",
)
SHARED_TIME_MARKS = ("TemporalPositionIdentifier", "DimensionIndexValues", "TriggerTime", "AcquisitionNumber")
RANKED_TIME_MARKS = ("TriggerTime", "AcquisitionTime", "ContentTime", "InstanceNumber")

_COSINE_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 1e-3


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one size, number format, orientation and pixel spacing."""

    frames: tuple[FrameInfo, ...]
    is_localizer: bool

    @property
    def first(self) -> FrameInfo:
        """Stands for what they have in common."""
        return self.frames[0]


def is_localizer(frame: FrameInfo) -> bool:
    """Whether the header calls the frame a localizer (PS3.3, sections C.8.2.1.1.1 and C.8.3.1.1.1)."""
    return any(value.upper() in {"LOCALIZER", "SCOUT"} for value in mark(frame, "ImageType") or ())


def group_frames(frames: Sequence[FrameInfo]) -> list[FrameGroup]:
    """Sorts frames with geometry into groups, in the order of their first instance number."""
    orientations: list[tuple[float, ...]] = []
    spacings: list[tuple[float, ...]] = []
    localizers = {id(frame.instance): is_localizer(frame) for frame in frames}
    found: dict[tuple[Any, ...], list[FrameInfo]] = defaultdict(list)
    for frame in frames:
        orientation = _index_of_close(orientations, frame.orientation or (), _COSINE_TOLERANCE)
        spacing = _index_of_close(spacings, frame.pixel_spacing or (), _SPACING_TOLERANCE)
        found[localizers[id(frame.instance)], frame.pixel_format, orientation, spacing].append(frame)
    groups = [FrameGroup(tuple(members), key[0]) for key, members in found.items()]
    return sorted(groups, key=lambda group: min(mark(frame, "InstanceNumber") for frame in group.frames))


def _index_of_close(known: list[tuple[float, ...]], value: tuple[float, ...], tolerance: float) -> int:
    for index, other in enumerate(known):
        if other == value or max(abs(a - b) for a, b in zip(other, value, strict=True)) <= tolerance:
            return index
    known.append(value)
    return len(known) - 1


def arrange(group: FrameGroup) -> list[Stack]:
    """Makes stacks of a group: one, or several where one place holds several kinds of image."""
    frames = group.frames
    labels = _position_labels(frames)
    if len(set(labels.tolist())) == len(frames):
        return [_single_volume(frames, labels)]
    kinds = _varying_kinds(frames, labels)
    parts: dict[tuple[Any, ...], list[FrameInfo]] = defaultdict(list)
    for frame in frames:
        parts[tuple(mark(frame, name) for name in kinds)].append(frame)
    keys = sorted(parts, key=_sortable)
    names = _kind_names(kinds, keys)
    return [replace(_stack(parts[key]), name=name, kind_marks=kinds) for key, name in zip(keys, names, strict=True)]


def _position_labels(frames: Sequence[FrameInfo]) -> NDArray[np.intp]:
    normal = slice_normal(frames[0].orientation or ())
    positions = np.array([frame.position for frame in frames], dtype=np.float64)
    return cluster_positions(positions @ normal)[0]


def _single_volume(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> Stack:
    return Stack((tuple(frames[index] for index in np.argsort(labels)),), "")


def _varying_kinds(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> tuple[str, ...]:
    """The kinds that differ between frames at one position, without those that say the same again."""
    chosen: list[str] = []
    partitions: list[list[int]] = []
    for name in KIND_MARKS:
        values = [mark(frame, name) for frame in frames]
        if len(set(values)) > 1 and any(len(group) > 1 for group in _values_by_label(values, labels).values()):
            numbers = {value: index for index, value in enumerate(dict.fromkeys(values))}
            partition = [numbers[value] for value in values]
            if partition not in partitions:
                chosen.append(name)
                partitions.append(partition)
    return tuple(chosen)


def _values_by_label(values: Sequence[Any], labels: NDArray[np.intp]) -> dict[int, set[Any]]:
    result: dict[int, set[Any]] = defaultdict(set)
    for value, label in zip(values, labels.tolist(), strict=True):
        result[label].add(value)
    return result


def _sortable(key: tuple[Any, ...]) -> tuple[tuple[bool, str, Any], ...]:
    """Makes values of mixed types comparable: absent first, then by type, then by value."""
    return tuple((value is not None, type(value).__name__, value if value is not None else 0) for value in key)


def _kind_names(kinds: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> list[str]:
    if not kinds:
        return [""]
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
    label = {"EchoTime": "echo", "EchoNumbers": "echo", "InversionTime": "inversion"}.get(kind, kind.lower())
    return f"{label}-{list(distinct).index(value) + 1}"


def _unique(names: Sequence[str]) -> list[str]:
    counts = Counter(names)
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name}-{seen[name]}" if counts[name] > 1 else name)
    return result


def _stack(frames: Sequence[FrameInfo]) -> Stack:
    """Makes one stack of frames of one kind."""
    labels = _position_labels(frames)
    counts = np.bincount(labels)
    volumes = int(counts.max())
    if volumes == 1:
        return _single_volume(frames, labels)
    found = _time_axis(frames, labels) if np.median(counts) > 1 else None
    if found is None:
        return _with_duplicates(frames, labels, counts)
    name, times = found
    cells = {(time, int(label)): frame for frame, time, label in zip(frames, times, labels, strict=True)}
    complete = [time for time in range(max(times) + 1) if all((time, k) in cells for k in range(len(counts)))]
    if not complete:
        return _with_duplicates(frames, labels, counts)
    grid = tuple(tuple(cells[time, k] for k in range(len(counts))) for time in complete)
    lacking = tuple(int(k) for k in np.flatnonzero(counts < max(times) + 1))
    used = {id(frame) for line in grid for frame in line}
    spare = tuple(frame for frame in frames if id(frame) not in used)
    return Stack(grid, "", time_mark=name if len(grid) > 1 else "", incomplete=lacking, spare=spare)


def _with_duplicates(frames: Sequence[FrameInfo], labels: NDArray[np.intp], counts: NDArray[np.intp]) -> Stack:
    order = sorted(range(len(frames)), key=lambda index: mark(frames[index], "InstanceNumber"))
    chosen: dict[int, FrameInfo] = {}
    for index in order:
        chosen.setdefault(int(labels[index]), frames[index])
    kept = {id(frame) for frame in chosen.values()}
    spare = [frames[index] for index in order if id(frames[index]) not in kept]
    duplicated = tuple(int(k) for k in np.flatnonzero(counts > 1))
    grid = (tuple(chosen[k] for k in range(len(counts))),)
    return Stack(grid, "", duplicated=duplicated, spare=tuple(spare))


def _time_axis(frames: Sequence[FrameInfo], labels: NDArray[np.intp]) -> tuple[str, list[int]] | None:
    """Finds the attribute that gives each frame its volume, and the number of that volume; None when none does."""
    for name in SHARED_TIME_MARKS:
        values = [mark(frame, name) for frame in frames]
        if None in values or not _tells_apart(values, labels):
            continue
        distinct = sorted(set(values))
        most = max(len(group) for group in _values_by_label(values, labels).values())
        if len(distinct) == most:
            return name, [distinct.index(value) for value in values]
    for name in RANKED_TIME_MARKS:
        values = [mark(frame, name) for frame in frames]
        if None not in values and _tells_apart(values, labels) and len(set(np.bincount(labels).tolist())) == 1:
            by_label = {label: sorted(group) for label, group in _values_by_label(values, labels).items()}
            return name, [by_label[label].index(value) for value, label in zip(values, labels.tolist(), strict=True)]
    return None


def _tells_apart(values: Sequence[Any], labels: NDArray[np.intp]) -> bool:
    return len(set(zip(values, labels.tolist(), strict=True))) == len(values)


def group_names(groups: Sequence[FrameGroup]) -> list[str]:
    """Names groups by what differs between them: plane, size, localizer; empty for the only one."""
    if len(groups) == 1:
        return [""]
    described = []
    for group in groups:
        first = group.first
        plane = "localizer" if group.is_localizer else orientation_label(first.orientation or ())
        size = f"{first.pixel_format[1]}x{first.pixel_format[0]}"
        described.append((plane, size))
    columns = [column for column in range(2) if len({entry[column] for entry in described}) > 1]
    return _unique(["_".join(entry[column] for column in columns) or "part" for entry in described])
