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
from typing import TYPE_CHECKING, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.attributes import ScannedElement, ScannedHeader
from dcm_processor_service.imaging.reading import InstanceFile, PixelLocation, read_instance
from dcm_processor_service.imaging.vendor import PRIVATE_TAGS
from dcm_processor_service.ports import Glance

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCANNED_KEYWORDS", "SharedElements", "glance", "scan_instance"]

SCANNED_KEYWORDS = (
    "AcquisitionDate",
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "BitsStored",
    "BodyPartExamined",
    "Columns",
    "ContentDate",
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
    "IssuerOfPatientID",
    "KVP",
    "Manufacturer",
    "Modality",
    "NumberOfFrames",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
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
    "SpecificCharacterSet",
    "StackID",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "Units",
    "WindowCenter",
    "WindowWidth",
)
# whose a file is, and how that is written
_IDENTITY = (
    "SpecificCharacterSet",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
# the element that ends a header, and those that this scanner leaves to pydicom
_PIXELS, _LEFT_TO_PYDICOM, _PHILIPS_FRAME = -1, -2, 0x2005140F
_SPECIAL = frozenset({_PIXELS, _LEFT_TO_PYDICOM, _PHILIPS_FRAME})
_SCANNED: dict[int, str | int] = {
    **{tag: keyword for keyword in SCANNED_KEYWORDS if (tag := tag_for_keyword(keyword)) is not None},
    **{tag: tag for tag in PRIVATE_TAGS},
    **dict.fromkeys((0x7FE00008, 0x7FE00009, 0x7FE00010), _PIXELS),
    # ModalityLUTSequence, DetectorInformationSequence, functional groups: sequences that an inspection looks into
    **dict.fromkeys((0x00283000, 0x00540022, 0x52009229, 0x52009230), _LEFT_TO_PYDICOM),
    _PHILIPS_FRAME: _PHILIPS_FRAME,
}
# Philips keeps the scale slope at the top level, in the sequence above, or in both
_PHILIPS_SLOPE = 0x2005100E
_VRS: dict[str | int, str] = {
    keyword: dictionary_VR(tag) for tag, keyword in _SCANNED.items() if isinstance(keyword, str)
}
# little endian files have the halves of a tag one after the other, each with its low byte first
_BY_FILE_ORDER = {(tag & 0xFFFF) << 16 | tag >> 16: key for tag, key in _SCANNED.items()}
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VR_NAMES = {vr: vr.decode() for vr in _SHORT_VRS | _LONG_VRS}
_META_GROUP = b"\x02\x00"
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHUNK_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 24
_DEEPEST = 32

_explicit = Struct("<HH2sH").unpack_from
_short_explicit = Struct("<I2sH").unpack_from
_implicit = Struct("<HHI").unpack_from
_length = Struct("<I").unpack_from

SharedElements: TypeAlias = "dict[str | int, ScannedElement]"


class _GivesWayError(Exception):
    """Something that this scanner leaves to pydicom."""


def scan_instance(path: Path, shared: SharedElements | None = None) -> InstanceFile:
    """Reads a file as :func:`~dcm_processor_service.imaging.reading.read_instance` does, but keeps only what is needed.

    The header holds ``SCANNED_KEYWORDS``, or is a dataset of all elements where pydicom had to read it.

    Args:
        path: A DICOM file.
        shared: What the files of one series repeat, kept once for all of them; give each of them the same dictionary,
            empty at first.

    Raises:
        InvalidSeriesError: The file is no DICOM file, or ends inside its header.
    """
    return _scanned(path, {} if shared is None else shared) or read_instance(path)


def glance(path: Path) -> Glance | None:
    """Says whose a file is, where that is plain to see; None where only the whole header tells, or nothing does."""
    found = _scanned(path, {})
    if found is None or not isinstance(found.header, ScannedHeader):
        return None
    elements = found.header.elements
    belongs_to = tuple(elements[name].content if name in elements else b"" for name in _IDENTITY)
    return Glance(found.sop_instance_uid, belongs_to)


def _scanned(path: Path, shared: SharedElements) -> InstanceFile | None:
    try:
        return _scan(path, shared)
    except (_GivesWayError, struct_error, OSError, IndexError, ValueError):
        return None


def _scan(path: Path, shared: SharedElements) -> InstanceFile:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = file.read(_CHUNK_BYTES)
        while True:
            try:
                return _parse(path, buffer, size, shared)
            except (struct_error, IndexError):
                # the header is longer than what was read
                if len(buffer) >= min(size, _MOST_HEADER_BYTES):
                    raise
                buffer += file.read(len(buffer) * 4)


def _parse(path: Path, buffer: bytes, file_size: int, shared: SharedElements) -> InstanceFile:
    if buffer[128:132] != b"DICM":
        raise _GivesWayError
    syntax, position = _transfer_syntax(buffer)
    if syntax in {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian} or syntax.is_private:
        raise _GivesWayError
    implicit = syntax == ImplicitVRLittleEndian
    elements: SharedElements = {}
    tag, vr, length, value = _walk(buffer, position, implicit, elements, shared)
    pixels = PixelLocation(tag, "" if implicit else _VR_NAMES[vr], value, None if length == _UNDEFINED else length)
    return InstanceFile(path, ScannedHeader(elements), file_size, pixels, syntax)


def _walk(
    buffer: bytes,
    position: int,
    implicit: bool,  # noqa: FBT001 inner loop
    elements: SharedElements,
    shared: SharedElements,
) -> tuple[int, bytes, int, int]:
    """Collects what is asked for into ``elements`` and gives tag, VR, length and position of the pixel data."""
    scanned, scanned_by_file_order, short = _SCANNED.get, _BY_FILE_ORDER.get, _SHORT_VRS
    while True:
        if not implicit:  # the inner loop of every inspection, so without a call
            in_file_order, vr, length = _short_explicit(buffer, position)
            if vr in short:
                value = position + 8
                position = value + length
                key = scanned_by_file_order(in_file_order)
                if key is not None and length:
                    _keep(elements, shared, key, vr, buffer[value:position], length)
                continue
        tag, vr, length, value = _element(buffer, position, implicit)
        key = scanned(tag)
        if key == _PIXELS:
            return tag, vr, length, value
        if key == _LEFT_TO_PYDICOM or (key == _PHILIPS_FRAME and _PHILIPS_SLOPE not in elements):
            raise _GivesWayError
        if length == _UNDEFINED:
            position = _after_undefined(buffer, value, implicit, 0)
            continue
        position = value + length
        if key is not None and key != _PHILIPS_FRAME and length:
            _keep(elements, shared, key, vr, buffer[value:position], length)


def _keep(
    elements: SharedElements, shared: SharedElements, key: str | int, vr: bytes, content: bytes, length: int
) -> None:
    """Keeps a value, the same object as in the file before where that has the same."""
    if len(content) < length:
        raise IndexError
    # implicit syntaxes state no type, and archives rewrite what they do not know as UN (PS3.5, section 6.2.2)
    vr_name = _VR_NAMES[vr] if vr and vr != b"UN" else _VRS.get(key, "")
    before = shared.get(key)
    if before is None or before.content != content or before.vr != vr_name:
        if key in _SPECIAL:  # a sequence or pixels with the VR of something else
            raise _GivesWayError
        before = shared[key] = ScannedElement(vr_name, content)
    elements[key] = before


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
    while buffer[position : position + 2] == _META_GROUP:  # what follows may have no VRs
        tag, _, length, value = _element(buffer, position, False)
        position = value + length
        if tag == 0x00020010:  # noqa: PLR2004 TransferSyntaxUID
            syntax = buffer[value:position]
    if not syntax:
        raise _GivesWayError
    return _uid(syntax), position


@lru_cache(maxsize=64)
def _uid(value: bytes) -> UID:
    return UID(value.decode("ascii").strip(" \0"))
