"""Decides whether frames at distinct positions are one volume, or several volumes that interleave.

Two volumes that lie half a step apart look like one volume with half the step. Examples are two phases of a CT, and a
head that moved between two scans. Only attributes and InstanceNumbers can show that there are two volumes; if they do
not, the slices count as one volume.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.imaging.frames.frame import mark, marks
from dcm_processor_service.imaging.geometry import LARGEST_NOISE_MM, allowed_difference_mm
from dcm_processor_service.imaging.headers.series_labels import LABELS, SETTINGS
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.series.order.file_settings import alternating_element
from dcm_processor_service.imaging.series.order.frame_settings import alternating_setting
from dcm_processor_service.imaging.series.order.number_plan import places_in_stack, slice_numbers
from dcm_processor_service.imaging.series.order.passes import COMPARED, IN_PASSES
from dcm_processor_service.imaging.series.order.time_axis import are_moved, comparable, overlap
from dcm_processor_service.imaging.series.order.turns import take_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["are_interleaved", "assumed_passes", "interleaving_doubt", "separating_mark"]

# attributes that have only one value in a volume
_SEPARATING = ("TemporalPositionIdentifier", "TemporalPositionTimeOffset", "DiffusionBValue")
# attributes in which parts of one volume, such as the rotations of a CT, may differ; such parts do not interleave
_BLOCKS = (
    "AcquisitionNumber",
    "FrameReferenceTime",
    "DimensionIndexValues",
    "ASLContext",
    "FrameLabel",
    "VelocityEncodingDirection",
)
_CLOCKS = frozenset({"AcquisitionTime", "ContentTime"})
# settings that state for each slice what was measured, and the part by which they differ without meaning
_MEASURED = frozenset({"CTDIvol", "Exposure", "ExposureTime", "SAR", "XRayTubeCurrent"})
_NOISE_PART = 0.02
_LONGEST_SCAN_US = 12 * 3600 * 10**6
_FEWEST_SLICES = 3
_RUNS_OF_GAPS = 5
_RUNS_PART = 1 / 3
_STEPS_PART = 2 / 3
_STATED_PART = 0.02


def separating_mark(frames: Sequence[FrameInfo], along: FloatArray) -> str | None:
    """Returns an attribute that shows that frames at distinct positions are several volumes; None if none does."""
    for name in _SEPARATING:
        if len(set(marks(frames, name)) - {None}) > 1:
            return name
    for name in (*_BLOCKS, *LABELS):
        values = marks(frames, name)
        if len(set(values)) > 1 and are_interleaved(values, along):
            is_rotation = name == "AcquisitionNumber" and _are_blocks(values, along)
            if not is_rotation:
                return name
    turning = (name for name in SETTINGS if _take_turns(_without_noise(marks(frames, name), name), along))
    return next((name for name in turning if name != "AcquisitionDate" or not _is_past_midnight(frames)), None)


def _without_noise(values: Sequence[Any], name: str) -> Sequence[Any]:
    """Returns the values; the first of them for all, if they were measured and differ by noise alone."""
    if name not in _MEASURED or None in values:
        return values
    try:
        found = [float(number) for value in set(values) for number in value]
    except ValueError:
        return values
    return [values[0]] * len(values) if max(found) - min(found) <= _NOISE_PART * max(found) else values


def _are_blocks(values: Sequence[Any], along: FloatArray) -> bool:
    """Returns whether values come in blocks of several slices, and all slices lie evenly.

    A CT that takes several slices in each rotation may number rotations 1, 2, 1, 2. No volume would lack whole blocks.
    """
    order = np.argsort(along, kind="stable")
    blocks = [len([*block]) for _, block in itertools.groupby(values[index] for index in order)]
    return min(blocks) > 1 and _are_even(along[order])


def _are_even(positions: FloatArray) -> bool:
    gaps = np.diff(positions)
    return bool(np.ptp(gaps) <= allowed_difference_mm(float(np.median(gaps))))


def _have_steps(runs: Sequence[Sequence[float]]) -> bool:
    """Returns whether most distances in each run are its step, as in a volume, and not as in numbers at random."""
    steps = [np.diff(run) for run in runs if len(run) > 1]
    are_steps = [np.abs(gaps - np.median(gaps)) <= allowed_difference_mm(float(np.median(gaps))) for gaps in steps]
    return bool(steps) and float(np.mean(np.concatenate(are_steps))) >= _STEPS_PART


def _is_stated_step(step_mm: float, frames: Sequence[FrameInfo]) -> bool:
    """Returns whether all slices state this step as their SpacingBetweenSlices."""
    stated = set(marks(frames, "SpacingBetweenSlices"))
    try:
        (value,) = (float(number) for one in stated for number in one or ())
    except ValueError:
        return False
    return None not in stated and abs(abs(value) - step_mm) <= _STATED_PART * step_mm


def _is_past_midnight(frames: Sequence[FrameInfo]) -> bool:
    """Returns whether the date changed during one scan, in passes that :func:`interleaving_doubt` judges by time."""
    times = comparable(frames, "AcquisitionTime")
    return times is not None and bool(max(times) - min(times) <= _LONGEST_SCAN_US)


def _take_turns(values: Sequence[Any], along: FloatArray) -> bool:
    """Returns whether a few values repeat along the stack, always in the same order."""
    return len(set(values)) > 1 and take_turns([values[index] for index in np.argsort(along, kind="stable")])


def are_interleaved(values: Sequence[Any], along: FloatArray) -> bool:
    """Returns whether two groups of frames overlap along the stack; a group is two or more frames with one value."""
    counts = Counter(values)
    lines = [along[[own == value for own in values]].tolist() for value, count in counts.items() if count > 1]
    ordered = sorted(lines, key=min)
    return any(overlap(pair) for pair in itertools.pairwise(ordered))


def interleaving_doubt(frames: Sequence[FrameInfo], along: FloatArray, *, is_even: bool) -> str:
    """Says why frames at distinct positions may be several volumes, although no attribute separates these.

    The result is empty if there is no such reason.

    Args:
        frames: Frames of one kind, in any order.
        along: Their positions along the normal, mm, all distinct.
        is_even: Whether the positions are evenly spaced.
    """
    order = np.argsort(along, kind="stable")
    ascending = [frames[index] for index in order]
    positions = along[order]
    if len(positions) <= _FEWEST_SLICES:
        return ""
    if setting := alternating_setting(ascending):
        return f"their values of {setting} take turns along the stack"
    numbers = slice_numbers(ascending)
    is_counted = numbers == sorted(set(numbers)) or numbers[::-1] == sorted(set(numbers))
    gaps = np.diff(positions)
    in_passes = is_even and text(frames[0].places[-1], "Modality") in IN_PASSES
    if in_passes and len(set(numbers)) == len(numbers) and _is_stated_step(float(np.median(gaps)), frames):
        is_counted = True  # numbered in the order of the passes: volumes that interleave would state a wider step
    if not is_even and not _is_explained(gaps, numbers, is_counted=is_counted):
        return "the distances between slices repeat or change again and again"
    if not is_counted and _are_numbered_apart(numbers, positions):
        return "their InstanceNumbers count through the stack several times"
    places = places_in_stack(ascending)
    if len(set(places)) < len(places) and _are_numbered_apart(places, positions):
        return "their InStackPositionNumbers count through the stack several times"
    for name in COMPARED:
        values = comparable(ascending, name)
        if values is None or len(set(values)) == 1:
            continue
        if not (in_passes and is_counted) and (
            _are_passes(values, positions) or (not is_counted and _recounts(values, positions))
        ):
            return f"their values of {name} go through the stack several times"
    element = alternating_element(ascending)
    return f"their values of {element} take turns along the stack" if element else ""


def assumed_passes(frames: Sequence[FrameInfo], along: FloatArray) -> str:
    """Returns the attribute by which slices might be several volumes, although they are assumed to be one.

    An MR scanner that excites the slices of one volume in several passes numbers them along the stack. Slices of
    several volumes are numbered like that only if somebody has renumbered them. If slices look like passes of one
    volume, the result is the attribute whose values repeat along them; otherwise it is empty. It is also empty for
    slices that were acquired within one repetition time, because these are certainly one volume.

    Args:
        frames: Frames of one kind, in any order, for which :func:`interleaving_doubt` found no doubt.
        along: Their positions along the normal, mm, all distinct.
    """
    if len(frames) <= _FEWEST_SLICES or text(frames[0].places[-1], "Modality") not in IN_PASSES:
        return ""
    order = np.argsort(along, kind="stable")
    ascending = [frames[index] for index in order]
    for name in COMPARED:
        values = comparable(ascending, name)
        if values is None or len(set(values)) == 1 or _is_one_repetition(name, values, ascending[0]):
            continue
        if _are_passes(values, along[order]) or _recounts(values, along[order]):
            return name
    return ""


def _is_one_repetition(name: str, values: Sequence[Any], frame: FrameInfo) -> bool:
    """Returns whether values are times of day, in µs, that all lie within one RepetitionTime, so within one volume."""
    repetition_ms = mark(frame, "RepetitionTime")
    if name not in _CLOCKS or not repetition_ms:
        return False
    return bool(max(values) - min(values) < repetition_ms * 1000)


def _is_explained(gaps: FloatArray, numbers: Sequence[tuple[float, float]], *, is_counted: bool) -> bool:
    """Returns whether one volume can have these uneven distances, because slices are missing or its step changes."""
    if len(set(numbers)) > 1 and not is_counted:
        return False
    step = float(np.median(gaps))
    skipped = np.abs(np.diff([number for number, _ in numbers])) - 1
    lacking = np.rint(gaps / step) - 1
    is_whole = np.abs(gaps / step - np.rint(gaps / step)) < 0.1  # noqa: PLR2004 of a step
    if is_whole.all() and (lacking == skipped).all():
        return True
    return not _repeat(gaps) and _count_runs(gaps) <= max(_RUNS_OF_GAPS, _RUNS_PART * len(gaps))


def _repeat(gaps: FloatArray) -> bool:
    """Returns whether the distances repeat periodically, as those of several volumes that interleave do."""
    allowed = max(LARGEST_NOISE_MM, 0.02 * float(gaps.max()))
    return any(
        bool(np.abs(gaps[period:] - gaps[:-period]).max() <= allowed < np.ptp(gaps[:period]))
        for period in range(2, (len(gaps) + 1) // _FEWEST_SLICES + 1)
    )


def _count_runs(gaps: FloatArray) -> int:
    """Counts the runs of equal distances."""
    allowed = np.array([allowed_difference_mm(float(gap), 0.05) for gap in gaps[:-1]])
    return 1 + int(np.count_nonzero(np.abs(np.diff(gaps)) > allowed))


def _are_numbered_apart(numbers: Sequence[tuple[float, float]], positions: FloatArray) -> bool:
    counts = Counter(numbers)
    if len(counts) < len(numbers):
        # several volumes are each numbered from 1, and may lack slices
        repeated = sum(count > 1 for count in counts.values())
        # parts that follow each other along the stack may be numbered from 1 too, but do not interleave
        parts = 1 + min(
            sum(second <= first for first, second in itertools.pairwise(line)) for line in (numbers, numbers[::-1])
        )
        return len(counts) > 1 and repeated > len(counts) / 2 and parts > max(counts.values())
    return _recounts(numbers, positions)


def _are_passes(values: Sequence[Any], positions: FloatArray) -> bool:
    """Returns whether the frames with one value form a volume, and these volumes have the same shape and interleave."""
    first_seen = {value: index for index, value in enumerate(dict.fromkeys(values))}
    return are_moved([first_seen[value] for value in values], positions)


def _recounts(values: Sequence[Any], positions: FloatArray) -> bool:
    """Returns whether values count through the stack several times, each time at slightly shifted positions."""
    count = len(values)
    if len(set(values)) < count:
        return False
    places = [int(place) for place in sorted(range(count), key=values.__getitem__)]
    for one_way in (places, places[::-1]):
        breaks = [0, *(k for k in range(1, count) if one_way[k] < one_way[k - 1]), count]
        runs = [positions[one_way[begin:end]].tolist() for begin, end in itertools.pairwise(breaks)]
        may_be_volumes = 1 < len(runs) <= count / _FEWEST_SLICES and (not _are_even(positions) or _have_steps(runs))
        if may_be_volumes and any(overlap(pair) for pair in itertools.combinations(runs, 2)):
            return True
    ranks = np.empty(count, np.intp)
    ranks[places] = np.arange(count)
    return count % 2 == 0 and are_moved((ranks // 2).tolist(), positions)
