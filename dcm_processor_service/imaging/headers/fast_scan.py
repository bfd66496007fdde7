"""Reads the headers of a series' files as far as an inspection needs them.

pydicom makes an object of every element, which for a thousand slices with a few hundred vendor elements each takes
seconds. The scanner in this module walks over a file's elements in one buffer (PS3.5, section 7.1) and keeps the few
that are needed later. Parts that the files of a series have in common are compared and not parsed again
(:mod:`~dcm_processor_service.imaging.headers.shared_layout`). The scanner reads files in Part 10 format, little endian,
without functional groups; nearly all files are like that. If it meets an element that it does not expect, pydicom reads
the file instead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.headers.instance_file import InstanceFile, PixelLocation, open_regular, read_instance
from dcm_processor_service.imaging.headers.private_tags import PRIVATE_TAGS
from dcm_processor_service.imaging.headers.raw_elements import (
    FIRST_ELEMENT,
    SHORT_VRS,
    UNDEFINED,
    VR_NAMES,
    NeedsPydicomError,
    after_undefined,
    read_element,
    transfer_syntax,
)
from dcm_processor_service.imaging.headers.series_labels import LABELS, SETTINGS
from dcm_processor_service.imaging.headers.shared_layout import HeaderLayout
from dcm_processor_service.imaging.headers.values import BINARY_FORMATS, ScannedElement, ScannedHeader
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LONG_VALUE_BYTES", "SCANNED_KEYWORDS", "Scanned", "SeriesMemory", "scan_file", "scan_head", "scan_instance"]

_LIMITS = Limits()
LONG_VALUE_BYTES = 1 << 16
"""A limit for callers that only identify a file: they need no value that is longer."""

SCANNED_KEYWORDS = (
    *LABELS,
    *SETTINGS,
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ContentDate",
    "ContentTime",
    "ConvolutionKernel",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "DoseGridScaling",
    "DoseUnits",
    "EchoPlanarPulseSequence",
    "EchoNumbers",
    "EchoTime",
    "FlipAngle",
    "FrameIncrementPointer",
    "FrameOfReferenceUID",
    "FrameReferenceTime",
    "GridFrameOffsetVector",
    "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "InversionTime",
    "IssuerOfPatientID",
    "KVP",
    "MRAcquisitionType",
    "Modality",
    "NumberOfFrames",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "PlanarConfiguration",
    "RectilinearPhaseEncodeReordering",
    "RepetitionTime",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SamplesPerPixel",
    "SegmentedKSpaceTraversal",
    "SeriesInstanceUID",
    "SpecificCharacterSet",
    "StackID",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "TimezoneOffsetFromUTC",
    "TriggerTime",
    "Units",
    "VolumeBasedCalculationTechnique",
    "WindowWidth",
)
# what the scanner does with some elements: end the scan, or leave the file to pydicom, for some only in certain cases
_PIXELS, _LEFT_TO_PYDICOM, _PHILIPS_FRAME, _MAPPING = -1, -2, -3, -4
_SPECIAL = frozenset({_PIXELS, _LEFT_TO_PYDICOM, _PHILIPS_FRAME, _MAPPING})
# modalities in which RealWorldValueMappingSequence may be the only statement of slope and intercept
_MAPPED_MODALITIES = frozenset({b"NM", b"PT"})
_SCANNED: dict[int, str | int] = {
    **{tag: keyword for keyword in SCANNED_KEYWORDS if (tag := tag_for_keyword(keyword)) is not None},
    **{tag: tag for tag in PRIVATE_TAGS},
    **dict.fromkeys((0x7FE00008, 0x7FE00009, 0x7FE00010), _PIXELS),
    # ModalityLUTSequence, DetectorInformationSequence, functional groups: sequences that an inspection looks into
    **dict.fromkeys((0x00283000, 0x00540022, 0x52009229, 0x52009230), _LEFT_TO_PYDICOM),
    # Philips' sequence about a frame, in any private block; in most files, this tag of the first block is a number
    **dict.fromkeys((0x2005000F | block << 8 for block in range(0x10, 0x100)), _PHILIPS_FRAME),
    0x00409096: _MAPPING,
}
# Philips writes the scale slope at the top level, in the sequence above, or in both
_PHILIPS_SLOPE = 0x2005100E
_KEPT = {tag: key for tag, key in _SCANNED.items() if key not in _SPECIAL}
_VRS: dict[str | int, str] = {
    keyword: dictionary_VR(tag) for tag, keyword in _SCANNED.items() if isinstance(keyword, str)
}
_KINDS = {
    **dict.fromkeys(BINARY_FORMATS, "number"),
    "AT": "tag",
    **dict.fromkeys(("DS", "IS"), "number as text"),
    **dict.fromkeys(("CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"), "text"),
}
_PRESENT = ScannedElement("SQ", b"")
"""Stands for a sequence that was skipped."""

# tags as one 32-bit number reads them from a little endian file, in which the group comes before the element
_BY_FILE_ORDER = {(tag & 0xFFFF) << 16 | tag >> 16: key for tag, key in _SCANNED.items()}
_PIXELS_HEAD_BYTES = 12  # tag, VR, two reserved bytes and a length of 32 bits
_CHUNK_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 24

_NEEDS_PYDICOM = (NeedsPydicomError, struct_error, OSError, IndexError, ValueError)

_short_explicit = Struct("<I2sH").unpack_from

SharedElements: TypeAlias = "dict[str | int, ScannedElement]"


class SeriesMemory:
    """What the scanner remembers from file to file of one series: elements and the layout that the files share.

    Args:
        learns: Whether to learn the layout; False for a file that is read alone.
    """

    def __init__(self, *, learns: bool = True) -> None:
        self.learns = learns
        self.elements: SharedElements = {}
        """The most recent value of each element that is kept."""

        self.layout = HeaderLayout()
        self.model: _Model | None = None
        """The file from which the layout was last learned."""


@dataclass(frozen=True)
class _Model:
    elements: SharedElements
    alike: SharedElements
    """The elements that are the same in all files of the layout."""

    pixels: PixelLocation
    syntax: UID


class Scanned(NamedTuple):
    """A scanned file, with those first bytes of it that were read."""

    instance: InstanceFile
    head: bytes


def scan_instance(
    path: Path,
    memory: SeriesMemory | None = None,
    *,
    longest_value_bytes: int | None = None,
    limits: Limits = _LIMITS,
) -> InstanceFile:
    """Reads a file as ``read_instance`` does, but keeps only the elements that an inspection needs.

    The header holds the elements in ``SCANNED_KEYWORDS`` and some private ones; or all elements, if pydicom had to read
    it.

    Args:
        path: A DICOM file.
        memory: One object for all files of a series; None for a file that is read alone.
        longest_value_bytes: If pydicom reads the file, longer values stay in the file until they are accessed; None
            reads all values at once.
        limits: How far a deflated data set may expand.

    Raises:
        UnreadableFileError: As ``read_instance`` raises it.
    """
    scanned = scan_file(path, memory or SeriesMemory(learns=False))
    if scanned is None:
        return read_instance(path, longest_value_bytes=longest_value_bytes, limits=limits)
    return scanned.instance


def scan_file(path: Path, memory: SeriesMemory) -> Scanned | None:
    """Scans a file; returns None if the file needs pydicom, or cannot be opened."""
    try:
        return _scan(path, memory)
    except _NEEDS_PYDICOM:
        return None


def scan_head(path: Path, head: bytes, size_bytes: int, memory: SeriesMemory) -> InstanceFile | None:
    """Scans the first bytes of a file; returns None if the header is longer, or if the file needs pydicom."""
    try:
        return _parse(path, head, size_bytes, memory)
    except _NEEDS_PYDICOM:
        return None


def _scan(path: Path, memory: SeriesMemory) -> Scanned:
    with open_regular(path, buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = file.read(min(size, _CHUNK_BYTES))
        while True:
            try:
                return Scanned(_parse(path, buffer, size, memory), buffer)
            except (struct_error, IndexError):
                # the header is longer than the bytes that were read
                if len(buffer) >= min(size, _MOST_HEADER_BYTES):
                    raise
                buffer += file.read(len(buffer) * 4)


def _parse(path: Path, buffer: bytes, file_size: int, memory: SeriesMemory) -> InstanceFile:
    if buffer[128:FIRST_ELEMENT] != b"DICM":
        raise NeedsPydicomError
    elements, pixels, syntax = _by_layout(buffer, memory) or _one_by_one(buffer, memory)
    return InstanceFile(path, ScannedHeader(elements), file_size, pixels, syntax)


def _by_layout(buffer: bytes, memory: SeriesMemory) -> tuple[SharedElements, PixelLocation, UID] | None:
    """Reads a header that has the layout of earlier files of the series; returns None for any other header."""
    model = memory.model
    matched = memory.layout.match(buffer, _KEPT.get) if memory.layout.is_of_use else None
    if model is None or matched is None:
        return None
    values, position = matched
    elements = model.alike.copy()
    for value in values:
        _keep(elements, memory.elements, _KEPT[value.tag], value.vr, value.content, value.length)
    if len(elements) != len(model.elements):
        return None  # an element is empty in only one of the two files, and empty elements are not kept
    return elements, replace(model.pixels, offset_bytes=position), model.syntax


def _one_by_one(buffer: bytes, memory: SeriesMemory) -> tuple[SharedElements, PixelLocation, UID]:
    syntax, position = transfer_syntax(buffer)
    if syntax in {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian} or syntax.is_private:
        raise NeedsPydicomError
    implicit = syntax == ImplicitVRLittleEndian
    elements: SharedElements = {}
    tag, vr, length, value = _walk(buffer, position, implicit, elements, memory.elements)
    pixels = PixelLocation(tag, "" if implicit else VR_NAMES[vr], value, None if length == UNDEFINED else length)
    if memory.learns and not implicit and memory.layout.is_of_use:
        memory.layout.learn(buffer, value - _PIXELS_HEAD_BYTES, value)
        differing = {_KEPT.get(one) for one in memory.layout.differing_tags()}
        alike = {key: element for key, element in elements.items() if key not in differing}
        memory.model = _Model(elements, alike, pixels, syntax)
    return elements, pixels, syntax


def _walk(
    buffer: bytes,
    position: int,
    implicit: bool,  # noqa: FBT001 inner loop
    elements: SharedElements,
    shared: SharedElements,
) -> tuple[int, bytes, int, int]:
    """Collects the needed elements in ``elements``; returns tag, VR, length and position of the pixel data."""
    scanned, scanned_by_file_order, short = _SCANNED.get, _BY_FILE_ORDER.get, SHORT_VRS
    while True:
        if not implicit:  # the inner loop of every inspection, so it calls no function
            in_file_order, vr, length = _short_explicit(buffer, position)
            if vr in short:
                value = position + 8
                position = value + length
                key = scanned_by_file_order(in_file_order)
                if key is not None and length and key != _PHILIPS_FRAME:
                    _keep(elements, shared, key, vr, buffer[value:position], length)
                continue
        tag, vr, length, value = read_element(buffer, position, implicit)
        key = scanned(tag)
        if key == _PIXELS:
            return tag, vr, length, value
        if key == _LEFT_TO_PYDICOM or (key == _PHILIPS_FRAME and _PHILIPS_SLOPE not in elements):
            raise NeedsPydicomError
        if key == _MAPPING:
            _note_mapping(elements)
        if length == UNDEFINED:
            position = after_undefined(buffer, value, implicit)
            continue
        position = value + length
        if key is not None and key not in _SPECIAL and length:
            _keep(elements, shared, key, vr, buffer[value:position], length)


def _note_mapping(elements: SharedElements) -> None:
    """Notes that the header has a real world mapping, or leaves the file to pydicom if its values may be needed."""
    if "Modality" in elements and elements["Modality"].content in _MAPPED_MODALITIES:
        raise NeedsPydicomError
    elements["RealWorldValueMappingSequence"] = _PRESENT


def _keep(
    elements: SharedElements, shared: SharedElements, key: str | int, vr: bytes, content: bytes, length: int
) -> None:
    """Keeps a value in ``elements``; if an earlier file had the same value, both files share one object."""
    if len(content) < length:
        raise IndexError
    # If the file does not state the VR, the dictionary has it: implicit syntaxes state none, and archives write UN for
    # elements that they do not know (PS3.5, section 6.2.2).
    vr_name = VR_NAMES[vr] if vr and vr != b"UN" else _VRS.get(key, "")
    before = shared.get(key)
    if before is None or before.content != content or before.vr != vr_name:
        # the VR is wrong: a sequence or pixels with the VR of a value, or a value of another kind than its keyword has
        if key in _SPECIAL or (key in _VRS and _KINDS.get(vr_name, "") != _KINDS[_VRS[key]]):
            raise NeedsPydicomError
        if key == "SpecificCharacterSet" and b"\0" in content:  # pydicom cannot read such a file
            raise NeedsPydicomError
        before = shared[key] = ScannedElement(vr_name, content)
    elements[key] = before
