"""One DICOM file on disk: its header up to the pixel data, and where that lies.

Every read of this package goes through here, for two reasons. pydicom's warnings quote values, and a value may be a
patient's, so they are contained (:func:`contained`). And pydicom reads what is left of a damaged file without an error,
so the damage is looked for (PS3.10, section 7: the file format; PS3.5, section 7.1: the data elements).
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, BinaryIO

from pydicom import FileDataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.values import Header, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom.tag import BaseTag

__all__ = [
    "InstanceFile",
    "PixelLocation",
    "contained",
    "read_dataset",
    "read_header",
    "read_instance",
]

_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_HEADER_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_SILENT = logging.CRITICAL + 1
_containment = threading.RLock()


@contextmanager
def contained(logger_name: str = "pydicom") -> Iterator[None]:
    """Silences warnings and a library's log for a while: both quote the values that they complain about.

    One thread at a time, because Python's warning filters are one per process. Nesting costs next to nothing.
    """
    logger = logging.getLogger(logger_name)
    with _containment:
        if logger.level == _SILENT:
            yield
            return
        level = logger.level
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.setLevel(_SILENT)
            try:
                yield
            finally:
                logger.setLevel(level)


@dataclass(frozen=True)
class PixelLocation:
    """Where the value of the pixel data element lies in its file."""

    tag: int
    vr: str
    offset_bytes: int
    size_bytes: int | None
    """As the element declares it; None for compressed data, whose length is not defined (PS3.5, section A.4)."""


@dataclass(frozen=True)
class InstanceFile:
    """One DICOM file, read up to its pixel data."""

    path: Path
    header: Header
    """All elements, or those that an inspection needs."""

    file_size_bytes: int
    pixels: PixelLocation | None
    transfer_syntax_uid: UID
    """As stated in the file or as found by looking (PS3.5, section 10)."""

    @cached_property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID (0008,0018); empty where the header has none."""
        return text(self.header, "SOPInstanceUID")

    @cached_property
    def is_compressed(self) -> bool:
        """Whether its pixels are encoded; a deflated data set is not meant."""
        return _encodes_pixels(str(self.transfer_syntax_uid))

    @property
    def label(self) -> str:
        """What an error message calls this file: its UID, or its file name where it has none."""
        return f"instance {self.sop_instance_uid}" if self.sop_instance_uid else f"file {self.path.name}"

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends before its pixel data does."""
        where = self.pixels
        if where is None:
            return "BitsAllocated" in self.header  # an image without pixels: cut off between two elements
        if self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return False
        if where.size_bytes is None:
            return not _ends_with_delimiter(self.path)
        return where.offset_bytes + where.size_bytes > self.file_size_bytes


@lru_cache(maxsize=64)
def _encodes_pixels(transfer_syntax_uid: str) -> bool:
    uid = UID(transfer_syntax_uid)
    return bool(uid.is_transfer_syntax and uid.is_compressed and not uid.is_deflated)


def read_instance(path: Path) -> InstanceFile:
    """Reads a file up to its pixel data, and finds where those lie.

    Files without the preamble of PS3.10 are read as well, when what they hold is a DICOM instance.

    Raises:
        InvalidSeriesError: The file is no DICOM file, or ends inside its header.
    """
    try:
        with path.open("rb") as file, contained():
            return _read_open_file(path, file)
    except InvalidSeriesError:
        raise
    except OSError as error:
        raise InvalidSeriesError(
            f"the file {path.name} cannot be read ({type(error).__name__}): check that it exists and may be read"
        ) from error
    except Exception as error:  # pydicom raises whatever its parsing stumbles over: struct.error, ValueError, KeyError…
        raise InvalidSeriesError(f"the file {path.name} is no DICOM file, or is damaged: leave it out") from error


def read_header(path: Path) -> FileDataset:
    """Reads all elements of a file up to its pixel data.

    Raises:
        InvalidSeriesError: The file is no DICOM file or ends inside its header.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> header = read_header(Path(get_testdata_file("CT_small.dcm")))
        >>> header.Modality, "PixelData" in header
        ('CT', False)
    """
    header = read_instance(path).header
    assert isinstance(header, FileDataset)
    return header


def read_dataset(path: Path) -> FileDataset:
    """Reads a whole file, pixel data included.

    Raises:
        InvalidSeriesError: The file is no DICOM file, or is cut off.
    """
    instance = read_instance(path)
    if instance.is_cut_off:
        raise InvalidSeriesError(f"{instance.label} ends inside its pixel data, it was cut off: get it again")
    with contained():
        dataset = dcmread(path, force=True)
        dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
    return dataset


def _read_open_file(path: Path, file: BinaryIO) -> InstanceFile:
    found: list[tuple[int, str, int]] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if int(tag) not in _PIXEL_TAGS:
            return False
        found.append((int(tag), vr or "", length))
        return True

    file_size = os.fstat(file.fileno()).st_size
    header = read_partial(file, stop_when=at_pixels, force=True)
    _check_header(path, header, file_size, has_pixels=bool(found))
    pixels = None
    if found:
        tag, vr, length = found[0]
        element_header_bytes = 12 if vr in _LONG_HEADER_VRS else 8
        size = None if length == _UNDEFINED_LENGTH else length
        pixels = PixelLocation(tag, vr, file.tell() + element_header_bytes, size)
    return InstanceFile(path, header, file_size, pixels, UID(str(header.file_meta.TransferSyntaxUID)))


def _check_header(path: Path, header: FileDataset, file_size: int, *, has_pixels: bool) -> None:
    has_preamble = header.preamble is not None
    if not has_preamble and not any(keyword in header for keyword in ("SOPClassUID", "SeriesInstanceUID", "Rows")):
        raise InvalidSeriesError(f"the file {path.name} is no DICOM file: leave it out")
    if len(header) == 0 or _ends_inside_element(header, file_size, has_pixels=has_pixels):
        raise InvalidSeriesError(f"the file {path.name} ends inside its header, it was cut off: get it again")
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        if not little:
            header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        else:
            header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _ends_inside_element(header: FileDataset, file_size: int, *, has_pixels: bool) -> bool:
    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return False  # positions are those of the inflated data
    element: object = header.get_item(max(header.keys()))
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    end = element.value_tell + element.length
    return end > file_size or (not has_pixels and end < file_size)


def _ends_with_delimiter(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 512))
        tail = file.read()
    # compressed pixels end with a Sequence Delimitation Item; padding and signatures may follow (PS3.5, section A.4)
    return b"\xfe\xff\xdd\xe0\x00\x00\x00\x00" in tail
