"""Reads GE's private elements for echo spacing, acceleration, polarity and the order of slices."""

from __future__ import annotations

import math
import re
import struct
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.acquisition.mr_scan import Readout
from dcm_processor_service.imaging.acquisition.private_blocks import (
    owned_number,
    owned_numbers,
    owned_texts,
    owned_value,
)
from dcm_processor_service.imaging.headers.values import in_groups, number, numbers, text, texts

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.imaging.acquisition.mr_scan import MrScan

__all__ = ["ge_readout"]

_ACQUISITION, _RELATED, _SERIES, _PARAMETERS = "GEMS_ACQU_01", "GEMS_RELA_01", "GEMS_SERS_01", "GEMS_PARM_01"
_GZIP = b"\x1f\x8b\x08"
_MOST_PROTOCOL_BYTES = 1 << 20
_POLARITY_BIT, _ECHO_PLANAR_BIT, _BOTTOM_UP = 0x0004, 0x0800, 2
_OLDEST_RAW_HEADER, _SHIFTED_FROM, _NEWEST_RAW_HEADER = 5.0, 25.002, 40.0


def ge_readout(scan: MrScan) -> Readout:
    """Reads the values of a GE scan; none for research sequences that alternate the polarity between volumes."""
    if any("pepolar" in name.lower() for name in _sequence_names(scan.header)):
        return Readout()
    spacing, readout = _readout_s(scan)
    factor = _multiband(scan.header)
    return Readout(
        _is_positive(scan.header),
        spacing,
        readout,
        slice_times_s=_slice_times(scan) if factor == 1 else (),
        multiband_factor=factor if factor and factor > 1 else None,
    )


def _sequence_names(header: Dataset) -> tuple[str, ...]:
    names = (owned_texts(header, 0x0019, _ACQUISITION, element) for element in (0x9C, 0x9E))
    return tuple(name for found in names for name in found)


def _readout_s(scan: MrScan) -> tuple[float | None, float | None]:
    """Returns effective echo spacing and total readout time, in seconds.

    Acceleration leaves out some lines of the acquisition matrix; (0043,1083) states the fraction that remains. The
    scanner rounds the number of remaining lines up to a multiple of two, or of four with partial Fourier, and reads
    them at the spacing of (0043,102C), in µs. The readout time is the time from the first to the last of these lines;
    it ignores that partial Fourier skips some. The effective echo spacing is the readout time divided by the number of
    steps between lines of the reconstructed image.
    """
    spacing_us = owned_number(scan.header, 0x0043, _PARAMETERS, 0x2C)
    lines, acquired = scan.phase_lines, _acquired_lines(scan)
    share = owned_number(scan.header, 0x0043, _PARAMETERS, 0x83)
    if not spacing_us or spacing_us < 0 or not lines or lines < 2 or not acquired or not share or share < 0:  # noqa: PLR2004 two lines have a spacing
        return None, None
    multiple = 4 if "PFF" in texts(scan.header, "ScanOptions") else 2
    read = math.ceil(round(acquired * share / multiple, 6)) * multiple
    readout = (read - 1) * spacing_us * 1e-6
    return readout / (lines - 1), readout


def _acquired_lines(scan: MrScan) -> float | None:
    steps = in_groups(scan.places, "MRFOVGeometrySequence", number, "MRAcquisitionPhaseEncodingStepsInPlane")
    if steps:
        return float(steps)
    matrix = numbers(scan.header, "AcquisitionMatrix", count=4)  # frequency rows and columns, phase rows and columns
    return max(matrix[2:]) if matrix else None


def _is_positive(header: Dataset) -> bool | None:
    """Returns the polarity of phase encoding; None if the header does not state it.

    RectilinearPhaseEncodeReordering (0018,9034) or the scanner's raw header in (0043,102A) states it. If the two
    contradict each other, the polarity is None too.
    """
    said = {"LINEAR": True, "REVERSE_LINEAR": False}.get(text(header, "RectilinearPhaseEncodeReordering").upper())
    raw = _raw_polarity(owned_value(header, 0x0043, _PARAMETERS, 0x2A))
    if said is None or raw is None:
        return raw if said is None else said
    return said if said == raw else None


def _raw_polarity(content: object) -> bool | None:
    """Reads the polarity from the scanner's raw header, whose layout changed after revision 25.

    The polarity is None if the raw header is of an unknown revision or damaged, or if the scan is not echo-planar.
    """
    if not isinstance(content, bytes):
        return None
    try:
        (start,) = struct.unpack_from("<H", content, 24)
        (revision,) = struct.unpack_from("<f", content, start)
        if not _OLDEST_RAW_HEADER <= revision <= _NEWEST_RAW_HEADER:
            return None
        later = revision >= _SHIFTED_FROM
        base = start + (0x4C if later else 0)
        (options,) = struct.unpack_from("<H", content, base + 0x3A)
        (polarity,) = struct.unpack_from("<H", content, base + 0x30)
        (view_order,) = struct.unpack_from("<H", content, base + (0x308 if later else 0x394))
    except struct.error:
        return None
    if not options & _ECHO_PLANAR_BIT:
        return None
    is_flipped = bool(polarity & _POLARITY_BIT)
    return is_flipped if view_order == _BOTTOM_UP else not is_flipped


def _multiband(header: Dataset) -> int | None:
    """Returns how many slices were excited at once (0043,10B6): 1 if the element is absent, None if it is malformed."""
    said = owned_texts(header, 0x0043, _PARAMETERS, 0xB6)
    if not said or not said[0]:
        return 1
    return max(int(said[0]), 1) if said[0].isdecimal() else None


def _slice_times(scan: MrScan) -> tuple[float, ...]:
    """Returns the slice times of functional MRI, whose slices follow each other at equal intervals.

    The slices are acquired in the order of their numbers, or first the odd and then the even numbers. The times are
    empty for GE's other sequences (several phases, diffusion), whose order of slices no element states, and for a scan
    with a delay between volumes, which software releases count differently.
    """
    protocol = _protocol(owned_value(scan.header, 0x0025, _SERIES, 0x1B))
    is_functional = "epirt" in map(str.lower, _sequence_names(scan.header)) or "FMRI" in protocol.get("IOPT", "")
    order, slices = protocol.get("SLICEORDER"), scan.shape[2]
    acquired = owned_number(scan.header, 0x0021, _RELATED, 0x4F)
    delays = owned_numbers(scan.header, 0x0043, _PARAMETERS, 0x7C)
    if scan.is_3d or not is_functional or order not in {"0", "1"} or acquired != slices or slices == 1:
        return ()
    numbered = _numbers_along(scan)
    if any(delays) or scan.repetition_s is None or not numbered:
        return ()
    firsts = (slices + 1) // 2
    turns = [rank if order == "0" else rank // 2 + (firsts if rank % 2 else 0) for rank in range(slices)]
    ordered = turns if numbered[0] < numbered[-1] else turns[::-1]
    return tuple(round(turn * scan.repetition_s / slices, 6) for turn in ordered)


def _numbers_along(scan: MrScan) -> list[float]:
    """Returns the InstanceNumbers of the first volume's slices; empty unless they all rise, or all fall, by 1."""
    found = [number(frame.instance.header, "InstanceNumber") for frame in scan.stack.grid[0]]
    known = [one for one in found if one is not None]
    steps = {later - earlier for earlier, later in pairwise(known)}
    return known if len(known) == len(found) and steps in ({1.0}, {-1.0}) else []


def _protocol(content: object) -> dict[str, str]:
    """Unpacks the scan's protocol, in which each line is a name and a quoted value; empty if absent or damaged."""
    if not isinstance(content, bytes):
        return {}
    start = content.find(_GZIP)
    if start < 0:
        return {}
    try:
        plain = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(content[start:], _MOST_PROTOCOL_BYTES)
    except zlib.error:
        return {}
    return dict(re.findall(r'^(?:set )?(\w+) "([^"\n]*)"', plain.decode("latin-1"), re.MULTILINE))
