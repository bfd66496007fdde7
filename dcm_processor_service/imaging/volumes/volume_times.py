"""Reads from the headers when each volume of a 4D series was acquired.

RepetitionTime is not the time between volumes: in a dynamic MR series it may be a thousandth of that time, and PET and
CT have none. It is taken as the time between volumes only where an echo-planar scan takes one slice of every position
in each repetition, and no volume has a time of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.values import in_groups, item, number, text, texts
from dcm_processor_service.imaging.series.order.clock import clock_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["VolumeTimes", "volume_times"]

_MILLI, _MICRO = 1e-3, 1e-6
_EVEN_PART = 0.05
_EVEN_S = 0.02  # tolerance for the clock of a scanner: some write hundredths of a second


class VolumeTimes(NamedTuple):
    """Times of volumes in seconds; empty or None where the headers do not say."""

    starts_s: tuple[float, ...] = ()
    """Start of each volume, counted from the start of the first."""

    durations_s: tuple[float, ...] = ()
    step_s: float | None = None
    """Time between volumes that follow each other evenly."""


def volume_times(stack: Stack) -> VolumeTimes:
    """Returns the times of a stack's volumes, read from the first slice of each."""
    if len(stack.grid) == 1:
        return VolumeTimes()
    firsts = [line[0] for line in stack.grid]
    durations = _complete([number(frame.places[-1], "ActualFrameDuration") for frame in firsts], _MILLI)
    for times in _candidates(stack, firsts):
        if times and all(later > earlier for earlier, later in pairwise(times)):
            starts = tuple(round(time - times[0], 6) for time in times)
            return VolumeTimes(starts, durations, _even_step(starts))
    return VolumeTimes((), durations, _repetition_s(stack))


def _candidates(stack: Stack, firsts: Sequence[FrameInfo]) -> Iterator[tuple[float, ...]]:
    """Yields the times of volumes, in seconds, from one attribute after the other, most reliable first."""
    yield _complete([_offset_s(frame) for frame in firsts])
    yield _complete([number(frame.places[-1], "FrameReferenceTime") for frame in firsts], _MILLI)
    yield _complete(clock_times(marks(firsts, "AcquisitionTime")), _MICRO)
    if stack.time_mark in {"TriggerTime", "ContentTime"}:
        found = marks(firsts, stack.time_mark)
        yield (_complete(found, _MILLI) if stack.time_mark == "TriggerTime" else _complete(clock_times(found), _MICRO))


def _complete(values: Sequence[float | None], factor: float = 1.0) -> tuple[float, ...]:
    """Returns the values in seconds; an empty tuple if one is missing."""
    known = [value for value in values if value is not None]
    return tuple(value * factor for value in known) if len(known) == len(values) else ()


def _offset_s(frame: FrameInfo) -> float | None:
    found: float | None = in_groups(frame.places, "TemporalPositionSequence", number, "TemporalPositionTimeOffset")
    return found


def _even_step(starts: tuple[float, ...]) -> float | None:
    steps = np.diff(starts)
    step = (starts[-1] - starts[0]) / len(steps)
    return round(step, 6) if np.abs(steps - step).max() <= max(_EVEN_PART * step, _EVEN_S) else None


def _repetition_s(stack: Stack) -> float | None:
    frame = stack.first
    header = frame.places[-1]
    if text(header, "Modality") != "MR" or stack.time_mark == "DiffusionBValue" or not _is_echo_planar(frame):
        return None
    for place in frame.places:
        timing = item(place, "MRTimingAndRelatedParametersSequence")
        found = number(timing if timing is not None else place, "RepetitionTime")
        if found:
            return found * _MILLI
    return None


def _is_echo_planar(frame: FrameInfo) -> bool:
    header = frame.places[-1]
    return "EP" in texts(header, "ScanningSequence") or text(header, "EchoPlanarPulseSequence").upper() == "YES"
