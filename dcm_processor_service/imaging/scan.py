"""Headers of a series' files, read as far as an inspection needs them.

pydicom makes an object of every element, which for a thousand slices with a few hundred vendor elements each takes
seconds. This scanner walks over a file's elements in one buffer (PS3.5, section 7.1) and keeps the few that are asked
for later. It handles what nearly every file is: Part 10, little endian, one frame. At the first thing that it does not
expect, it gives way to pydicom.
"""

from __future__ import annotations

import os
from functools import lru_cache
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING

from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.attributes import ScannedHeader
from dcm_processor_service.imaging.reading import InstanceFile, PixelLocation, read_instance
from dcm_processor_service.imaging.vendor import PRIVATE_TAGS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCANNED_KEYWORDS", "scan_instance"]

SCANNED_KEYWORDS = (
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "BitsStored",
    "BodyPartExamined",
    "Columns",
    "ContentTime",
    "ConvolutionKernel",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "DoseGridScaling",
    "DoseUnits",
    "EchoNumbers",
    "EchoTime",
    "FlipAngle",
    "FrameOfReferenceUID",
    "GridFrameOffsetVector",
    "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "InversionTime",
    "KVP",
    "Modality",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "RepetitionTime",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SamplesPerPixel",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SliceThickness",
    "SpacingBetweenSlices",
    "StackID",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "Units",
    "WindowCenter",
    "WindowWidth",
)
_SCANNED: dict[int, str | int] = {
    **{tag: keyword for keyword in SCANNED_KEYWORDS if (tag := tag_for_keyword(keyword)) is not None},
    **{tag: tag for tag in PRIVATE_TAGS},
}
# ModalityLUTSequence, functional groups: sequences that an inspection looks into
_NESTED = frozenset({0x00283000, 0x52009229, 0x52009230})
# Philips keeps the scale slope at the top level, in this sequence, or in both
_PHILIPS_FRAME, _PHILIPS_SLOPE = 0x2005140F, 0x2005100E
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VR_NAMES = {vr: vr.decode() for vr in _SHORT_VRS | _LONG_VRS}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHUNK_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 24
_DEEPEST = 32

_explicit = Struct("<HH2sH").unpack_from
_implicit = Struct("<HHI").unpack_from
_length = Struct("<I").unpack_from


class _GivesWayError(Exception):
    """Something that this scanner leaves to pydicom."""


def scan_instance(path: Path) -> InstanceFile:
    """Reads a file as :func:`~dcm_processor_service.imaging.reading.read_instance` does, but keeps only what is needed.

    The header holds ``SCANNED_KEYWORDS``, or is a dataset of all elements where pydicom had to read it.

    Raises:
        InvalidSeriesError: The file is no DICOM file, or ends inside its header.
    """
    try:
        return _scan(path)
    except (_GivesWayError, struct_error, OSError, IndexError, ValueError):
        return read_instance(path)


def _scan(path: Path) -> InstanceFile:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = file.read(_CHUNK_BYTES)
        while True:
            try:
                return _parse(path, buffer, size)
            except (struct_error, IndexError):
                # the header is longer than what was read
                if len(buffer) >= min(size, _MOST_HEADER_BYTES):
                    raise
                buffer += file.read(len(buffer) * 4)


def _parse(path: Path, buffer: bytes, file_size: int) -> InstanceFile:
    if buffer[128:132] != b"DICM":
        raise _GivesWayError
    syntax, position = _transfer_syntax(buffer)
    if syntax in {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian} or syntax.is_private:
        raise _GivesWayError
    implicit = syntax == ImplicitVRLittleEndian
    fields: dict[str | int, tuple[str, bytes]] = {}
    tag, vr, length, value = _walk(buffer, position, implicit, fields)
    pixels = PixelLocation(tag, "" if implicit else _VR_NAMES[vr], value, None if length == _UNDEFINED else length)
    return InstanceFile(path, ScannedHeader(fields, is_implicit=implicit), file_size, pixels, syntax)


def _walk(
    buffer: bytes,
    position: int,
    implicit: bool,  # noqa: FBT001 inner loop
    fields: dict[str | int, tuple[str, bytes]],
) -> tuple[int, bytes, int, int]:
    """Collects what is asked for into ``fields`` and gives tag, VR, length and position of the pixel data."""
    scanned, short = _SCANNED.get, _SHORT_VRS
    while True:
        if implicit:
            tag, vr, length, value = _element(buffer, position, implicit)
        else:  # the inner loop of every inspection, so without a call
            group, element, vr, length = _explicit(buffer, position)
            tag, value = group << 16 | element, position + 8
            if vr not in short:
                tag, vr, length, value = _element(buffer, position, implicit)
        if tag in _PIXELS:
            return tag, vr, length, value
        if tag in _NESTED or (tag == _PHILIPS_FRAME and _PHILIPS_SLOPE not in fields):
            raise _GivesWayError
        if length == _UNDEFINED:
            position = _after_undefined(buffer, value, implicit, 0)
            continue
        position = value + length
        key = scanned(tag)
        if key is not None and length:
            if position > len(buffer):
                raise IndexError
            fields[key] = ("" if implicit else _VR_NAMES[vr], buffer[value:position])


def _element(buffer: bytes, position: int, implicit: bool) -> tuple[int, bytes, int, int]:  # noqa: FBT001 inner loop
    """Gives tag, VR, length and the position of the value."""
    if implicit:
        group, element, length = _implicit(buffer, position)
        return group << 16 | element, b"", length, position + 8
    group, element, vr, length = _explicit(buffer, position)
    if vr in _SHORT_VRS:
        return group << 16 | element, vr, length, position + 8
    if vr in _LONG_VRS:
        return group << 16 | element, vr, _length(buffer, position + 8)[0], position + 12
    if group == 0xFFFE:  # noqa: PLR2004 items and delimiters have no VR
        return group << 16 | element, b"", _length(buffer, position + 4)[0], position + 8
    raise _GivesWayError


def _after_undefined(buffer: bytes, position: int, implicit: bool, depth: int) -> int:  # noqa: FBT001 inner loop
    """Gives the position behind a sequence of undefined length (PS3.5, section 7.5.2)."""
    if depth > _DEEPEST:
        raise _GivesWayError
    while True:
        tag, _, length, position = _element(buffer, position, implicit)
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise _GivesWayError
        if length != _UNDEFINED:
            position += length
            continue
        while True:
            tag, _, length, position = _element(buffer, position, implicit)
            if tag == _ITEM_END:
                break
            position = (
                _after_undefined(buffer, position, implicit, depth + 1) if length == _UNDEFINED else position + length
            )


def _transfer_syntax(buffer: bytes) -> tuple[UID, int]:
    """Gives the transfer syntax and where the data set begins (PS3.10, section 7.1)."""
    position, syntax = 132, b""
    while True:
        tag, _, length, value = _element(buffer, position, False)
        if tag >> 16 != 2:  # noqa: PLR2004 the group of the meta information
            break
        position = value + length
        if tag == 0x00020010:  # noqa: PLR2004 TransferSyntaxUID
            syntax = buffer[value:position]
    if not syntax:
        raise _GivesWayError
    return _uid(syntax), position


@lru_cache(maxsize=64)
def _uid(value: bytes) -> UID:
    return UID(value.decode("ascii").strip(" \0"))
