"""Reads from the headers when each volume of a 4D series was acquired.

RepetitionTime is not the time between volumes: in a dynamic MR series it may be a thousandth of that time, and PET and
CT have none. It is used as the time between volumes only if the scan is echo-planar and acquires one slice of every
position in each repetition, and if no volume has a time of its own.

FrameReferenceTime is not the start of a frame, but the time at which the count rate had its average (PS3.3, section
C.8.9.4). For a frame of five minutes, this is minutes after the start. Its differences are those of the starts only if
all frames have the same duration.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dcm_processor_service.imaging.frames.frame import mark, marks
from dcm_processor_service.imaging.headers.values import in_groups, number, text, texts
from dcm_processor_service.imaging.series.order.clock import clock_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["VolumeTimes", "is_echo_planar", "volume_times"]

_MILLI, _MICRO = 1e-3, 1e-6
_EVEN_PART = 0.05
_EVEN_S = 0.02  # tolerance for even steps: some scanners write times in hundredths of a second
_CLOCK_S = 1.1  # tolerance between two clocks, because some count whole seconds


class VolumeTimes(NamedTuple):
    """Times of volumes in seconds; empty or None if the headers do not state them."""

    starts_s: tuple[float, ...] = ()
    """Start of each volume, in seconds after the start of the first volume."""

    durations_s: tuple[float, ...] = ()
    step_s: float | None = None
    """Time between the starts of two volumes; None if it is unknown, or differs between volumes."""


def volume_times(stack: Stack) -> VolumeTimes:
    """Returns the times of a stack's volumes, which begin with whichever slice was taken first."""
    if len(stack.grid) == 1:
        return VolumeTimes()
    firsts = [line[0] for line in stack.grid]
    durations = _complete([number(frame.places[-1], "ActualFrameDuration") for frame in firsts], _MILLI)
    for times in _candidates(stack, firsts, durations):
        if _ascend(times):
            starts = tuple(round(time - times[0], 6) for time in times)
            return VolumeTimes(starts, durations, _even_step(starts))
    return VolumeTimes((), durations, _repetition_s(stack))


def _candidates(stack: Stack, firsts: Sequence[FrameInfo], durations: Sequence[float]) -> Iterator[tuple[float, ...]]:
    """Yields the times of the volumes, in seconds, by one attribute after the other, most reliable first."""
    yield _complete([_offset_s(frame) for frame in firsts])
    taken = _complete(_earliest(stack, firsts), _MICRO)
    references = _complete([number(frame.places[-1], "FrameReferenceTime") for frame in firsts], _MILLI)
    yield _starts_of_references(references, taken, durations)
    yield taken
    if stack.time_mark in {"TriggerTime", "ContentTime"}:
        found = marks(firsts, stack.time_mark)
        yield (_complete(found, _MILLI) if stack.time_mark == "TriggerTime" else _complete(clock_times(found), _MICRO))


def _earliest(stack: Stack, firsts: Sequence[FrameInfo]) -> list[int | None]:
    """Returns when the first slice of each volume was taken, µs.

    A CT whose table moves back and forth takes every second volume from the other end. If some slices have no time that
    can be compared, the times are those of the slices at the beginning of the stack.
    """
    slices = len(stack.grid[0])
    times = clock_times(marks([frame for line in stack.grid for frame in line], "AcquisitionTime"))
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return clock_times(marks(firsts, "AcquisitionTime"))
    return [min(known[begin : begin + slices]) for begin in range(0, len(known), slices)]


def _ascend(times: Sequence[float]) -> bool:
    return bool(times) and all(later > earlier for earlier, later in pairwise(times))


def _starts_of_references(
    references: tuple[float, ...], taken: Sequence[float], durations: Sequence[float]
) -> tuple[float, ...]:
    """Computes the starts of frames from their FrameReferenceTime; empty if these do not determine them.

    If all frames have the same duration, differences between their FrameReferenceTimes are those between their starts.
    Otherwise FrameReferenceTime may be the start of a frame, as some files state it, or near its middle. One of these
    two readings is ruled out if frames would overlap, or if AcquisitionTime contradicts it. A reading is believed if
    each frame begins when the previous one ends. If there would be pauses between frames, it is believed only if
    AcquisitionTime confirms it.
    """
    if not _ascend(references) or min(durations, default=1.0) <= 0:
        return ()
    if len(set(durations)) < 2:  # noqa: PLR2004 equal, or unknown
        return references if durations or not _ascend(taken) or _agree(references, taken) else ()
    middles = tuple(one - lasts / 2 for one, lasts in zip(references, durations, strict=True))
    possible = [
        (pauses, starts)
        for starts in (references, middles)
        if (pauses := _pauses(starts, durations)) is not None and (not _ascend(taken) or _agree(starts, taken))
    ]
    # Decay moves the average of a long frame away from its middle, so that the true reading may seem ruled out. So a
    # reading with pauses counts only if AcquisitionTime confirms it.
    certain = [one for one in possible if not one[0]] or (possible if _ascend(taken) else [])
    return certain[0][1] if len(certain) == 1 else ()


def _pauses(starts: Sequence[float], durations: Sequence[float]) -> bool | None:
    """Returns whether there are pauses between frames; None if frames overlap.

    Less than a twentieth of the shorter of two neighbouring frames counts neither as a pause nor as an overlap.
    """
    gaps = [
        (later - earlier - lasts) / min(lasts, following)
        for (earlier, later), (lasts, following) in zip(pairwise(starts), pairwise(durations), strict=True)
    ]
    return None if min(gaps) < -_EVEN_PART else max(gaps) > _EVEN_PART


def _agree(times: Sequence[float], others: Sequence[float]) -> bool:
    """Returns whether two clocks, each counted from its first time, agree to about a second."""
    return len(times) == len(others) > 0 and all(
        abs((time - times[0]) - (other - others[0])) <= _CLOCK_S for time, other in zip(times, others, strict=True)
    )


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
    if text(frame.places[-1], "Modality") != "MR" or stack.time_mark == "DiffusionBValue":
        return None
    if not is_echo_planar(frame) or _takes_several_repetitions(frame):
        return None
    found = mark(frame, "RepetitionTime")
    if not found:
        return None
    repetition_s: float = found * _MILLI
    triggers = _complete(marks([line[0] for line in stack.grid], "TriggerTime"), _MILLI)
    # if trigger times have other steps than RepetitionTime, there are pauses between volumes, such as a planned delay
    is_other = _ascend(triggers) and not math.isclose(_even_step(triggers) or 0.0, repetition_s, rel_tol=_EVEN_PART)
    return None if is_other else repetition_s


def _takes_several_repetitions(frame: FrameInfo) -> bool:
    """Returns whether a volume takes several repetitions, one for each partition or for each part of k-space."""
    header = frame.places[-1]
    is_3d = text(header, "MRAcquisitionType").upper() == "3D"
    return is_3d or text(header, "SegmentedKSpaceTraversal").upper() == "PARTIAL"  # FULL means a single repetition


def is_echo_planar(frame: FrameInfo) -> bool:
    """Returns whether a frame is from an echo-planar scan, which may acquire a whole slice in one repetition."""
    header = frame.places[-1]
    return "EP" in texts(header, "ScanningSequence") or text(header, "EchoPlanarPulseSequence").upper() == "YES"
