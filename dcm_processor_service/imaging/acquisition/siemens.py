"""Reads Siemens' CSA header, and the private sequences in enhanced objects from software syngo XA."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.acquisition.mr_scan import Readout
from dcm_processor_service.imaging.acquisition.private_blocks import (
    owned_item,
    owned_number,
    owned_numbers,
    owned_value,
)
from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.series.order.clock import clock_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.acquisition.mr_scan import MrScan
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["siemens_readout"]

_CSA_HEADER, _MR_HEADER = "SIEMENS CSA HEADER", "SIEMENS MR HEADER"
_FRAME_CREATOR = "SIEMENS MR SDI 02"
_DIGITS = 4
_SECOND_US = 10**6
_FINE = re.compile(r"\.\d{3,6}([+-]\d{4})?$")
"""Matches a time that is given to the millisecond or finer. Programs that de-identify headers may cut the fraction
off."""
_SAME_S = 0.006
"""Tolerance for slice times, which are multiples of 2.5 ms and may differ by two such steps between volumes."""


def siemens_readout(scan: MrScan) -> Readout:
    """Reads polarity, readout (from the bandwidth along phase encoding) and slice times of a Siemens scan."""
    csa = _csa(scan.header)
    private = _frame_item(scan.places[:-1])
    positive = _first(csa, "PhaseEncodingDirectionPositive")
    bandwidth = _first(csa, "BandwidthPerPixelPhaseEncode")
    if positive is None and private is not None:
        positive = owned_number(private, 0x0021, _FRAME_CREATOR, 0x1C)
    if bandwidth is None:
        bandwidth = owned_number(scan.header, 0x0019, _MR_HEADER, 0x28)
    if bandwidth is None and private is not None:
        bandwidth = owned_number(private, 0x0021, _FRAME_CREATOR, 0x53)
    times = _slice_times(scan)
    lines = scan.phase_lines
    spacing = readout = None
    if lines and bandwidth is not None and bandwidth > 0:
        spacing = 1 / (bandwidth * lines)
        readout = spacing * (lines - 1)
    return Readout(
        bool(positive) if positive in {0.0, 1.0} else None,
        spacing,
        readout,
        slice_times_s=times,
        multiband_factor=_simultaneous(times),
    )


def _csa(header: Dataset) -> Mapping[str, Any]:
    """Returns the elements of the CSA image header; empty if it is absent or damaged."""
    if owned_value(header, 0x0029, _CSA_HEADER, 0x10) is None:
        return {}
    try:
        with contained():
            from nibabel.nicom.csareader import get_csa_header  # in contained(), as the import itself warns

            found = get_csa_header(header, "image")
    except Exception:  # noqa: BLE001 nibabel raises any error for a damaged header, which counts as absent
        return {}
    return {} if found is None else found["tags"]


def _numbers(csa: Mapping[str, Any], name: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in csa[name]["items"])
    except (KeyError, TypeError, ValueError):
        return ()


def _first(csa: Mapping[str, Any], name: str) -> float | None:
    found = _numbers(csa, name)
    return found[0] if found else None


def _frame_item(groups: Sequence[Header]) -> Dataset | None:
    for place in groups:
        found = owned_item(place, 0x0021, _FRAME_CREATOR, 0xFE)
        if found is not None:
            return found
    return None


def _slice_times(scan: MrScan) -> tuple[float, ...]:
    """Returns the times of the first volume's slices; empty if the last volume has other times."""
    if scan.is_3d or not scan.is_echo_planar or scan.shape[2] == 1 or scan.repetition_s is None:
        return ()
    lines = [scan.stack.grid[0], *([scan.stack.grid[-1]] if len(scan.stack.grid) > 1 else [])]
    volumes = [_mosaic_times(scan, line[0]) if scan.is_mosaic else _frame_times(line) for line in lines]
    chosen = volumes[0]
    if len(chosen) != scan.shape[2] or not all(_is_same(times, chosen) for times in volumes):
        return ()
    return chosen if 0 < max(chosen) < scan.repetition_s else ()


def _mosaic_times(scan: MrScan, mosaic: FrameInfo) -> tuple[float, ...]:
    """Returns MosaicRefAcqTimes in seconds, one for each tile."""
    is_first = mosaic.instance is scan.stack.first.instance
    header = scan.header if is_first else read_header(mosaic.instance.path)
    times = _numbers(_csa(header), "MosaicRefAcqTimes") or owned_numbers(header, 0x0019, _MR_HEADER, 0x29)
    return _since_first([time / 1000 for time in times])


def _frame_times(line: Sequence[FrameInfo]) -> tuple[float, ...]:
    """Returns the times of one volume's frames, seconds after the first of them.

    TimeAfterStart, a private element, is more precise than AcquisitionTime, but wrong in the first volume of some
    scans. So it is used only if both agree. Single-frame files have only AcquisitionTime, which is used only if it has
    fractions of a second: whole seconds are too coarse for slices.
    """
    spelt = marks(line, "AcquisitionTime")
    clock = clock_times(spelt)
    is_fine = any(map(_FINE.search, filter(None, spelt))) and any(us is not None and us % _SECOND_US for us in clock)
    by_clock = _since_first([None if us is None else us / _SECOND_US for us in clock]) if is_fine else ()
    items = [_frame_item(frame.places[:-1]) for frame in line]
    after_start = _since_first(
        [None if one is None else owned_number(one, 0x0021, _FRAME_CREATOR, 0x04) for one in items]
    )
    return after_start if after_start and _is_same(after_start, by_clock) else by_clock


def _since_first(times: Sequence[float | None]) -> tuple[float, ...]:
    """Returns the times after the earliest of them; empty if one is missing."""
    known = [time for time in times if time is not None]
    return tuple(round(time - min(known), _DIGITS) for time in known) if len(known) == len(times) else ()


def _is_same(times: Sequence[float], others: Sequence[float]) -> bool:
    return len(times) == len(others) and all(
        abs(one - other) <= _SAME_S for one, other in zip(times, others, strict=True)
    )


def _simultaneous(times: tuple[float, ...]) -> int | None:
    """Returns the number of slices that share each time; None if the number differs between times, or is 1."""
    counts = {times.count(time) for time in times}
    return counts.pop() if len(counts) == 1 and counts != {1} else None
