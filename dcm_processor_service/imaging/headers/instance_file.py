"""Reads the header of one DICOM file up to the pixel data, and finds where the pixel data lies.

Other modules read files through this one, for three reasons. pydicom's warnings quote values, which may be
patient data, so they are silenced (:func:`contained`). On bad input pydicom raises exceptions of any class, which
become errors of this package (:func:`foreign_errors_as`). And pydicom reads the rest of a damaged file without an
error, so this module checks for damage (PS3.10, section 7: the file format; PS3.5, section 7.1: the data elements).
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
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
    MediaStorageDirectoryStorage,
)

from dcm_processor_service.errors import DcmProcessorError, InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.raw_elements import read_element
from dcm_processor_service.imaging.headers.values import Header, text
from dcm_processor_service.models.files import printable
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydicom.tag import BaseTag

__all__ = [
    "DICOMDIR",
    "InstanceFile",
    "PixelLocation",
    "contained",
    "foreign_errors_as",
    "not_opened",
    "open_regular",
    "read_dataset",
    "read_header",
    "read_instance",
    "unreadable",
]

DICOMDIR = "a DICOMDIR, which lists other files"
_EMPTY = "empty"
_NOT_DICOM = "not readable as DICOM"
_PACKED = {b"\x1f\x8b": "packed with gzip: unpack it first", b"PK": "packed as ZIP: unpack it first"}
_DAMAGED = "damaged, its header cannot be read: get it again"
_CUT_OFF = "cut off inside its header: get it again"
_FOLDER = "a folder"
_NO_FILE = "a pipe, socket or device"
_LINKS = {errno.ENOENT: "a link that leads nowhere", errno.ELOOP: "a link that leads in a circle"}

_BOMB = "a deflated data set that expands beyond every measure: it is damaged, or meant to exhaust memory"
_LIMITS = Limits()
_INFLATED_PIECE_BYTES = 1 << 20
_LONGEST_META_BYTES = 4096

_PREFIX = slice(128, 132)
# the first bytes of files without a preamble: group 0002 (file meta information), or group 0008 (the data set)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
_RUST_PANICS = "pyo3_runtime"  # the module of the exception for a crash in a Rust library, which is a BaseException
_MISTAKES = (AssertionError, AttributeError, ImportError, NameError, TypeError)

_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_HEADER_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})


@contextmanager
def foreign_errors_as(error: Callable[[], DcmProcessorError]) -> Iterator[None]:
    """Raises ``error()`` instead of any exception with which a library reacts to bad input; that is its cause.

    Errors of this package pass through unchanged. So do exceptions that show a mistake in its own code, which would
    otherwise look like bad input: an ``AssertionError``, ``AttributeError``, ``ImportError``, ``NameError`` or
    ``TypeError`` that was raised by a line of this package and not of a library.

    Example:
        >>> with foreign_errors_as(lambda: InvalidSeriesError("the header is damaged: get it again")):
        ...     UID("1.2").name.index("CT")
        Traceback (most recent call last):
        dcm_processor_service.errors.InvalidSeriesError: the header is damaged: get it again
    """
    try:
        yield
    except DcmProcessorError:
        raise
    except BaseException as cause:
        if not isinstance(cause, Exception) and type(cause).__module__ != _RUST_PANICS:
            raise  # the end of the process, or of a generator
        if isinstance(cause, _MISTAKES) and _is_raised_here(cause):
            raise
        raise error() from cause


def _is_raised_here(error: BaseException) -> bool:
    """Returns whether the line that raised an error belongs to this package, not to a library."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] == __name__.partition(".")[0]


def unreadable(path: Path, reason: str, *, faulty: bool = True) -> UnreadableFileError:
    """Makes the error for a file that is not a readable DICOM instance."""
    return UnreadableFileError(f"the file {printable(path.name)} is {reason}", reason, faulty=faulty)


def open_regular(path: Path, buffering: int = -1) -> BinaryIO:
    """Opens a regular file for reading.

    Anything else is refused, because opening a pipe would block, and a device may react to being opened.

    Raises:
        UnreadableFileError: The file cannot be opened, or is not a regular file.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise unreadable(path, _FOLDER if stat.S_ISDIR(mode) else _NO_FILE, faulty=False)
        return path.open("rb", buffering=buffering)
    except (OSError, ValueError) as error:  # ValueError: the name has a zero byte
        if isinstance(error, UnreadableFileError):
            raise
        raise not_opened(path, error) from error


def not_opened(path: Path, error: Exception) -> UnreadableFileError:
    """Makes the error that says why a file or folder could not be opened."""
    reason = f"unreadable ({type(error).__name__}): check that it exists and may be read"
    if isinstance(error, OSError) and error.errno in _LINKS and path.is_symlink():
        reason = _LINKS[error.errno]
    return unreadable(path, reason)


@dataclass(frozen=True)
class PixelLocation:
    """The position of the pixel data element's value in its file."""

    tag: int
    vr: str
    offset_bytes: int
    size_bytes: int | None
    """Length that the element declares; None for compressed data, which declare none (PS3.5, section A.4)."""


@dataclass(frozen=True)
class InstanceFile:
    """One DICOM file, read up to its pixel data."""

    path: Path
    header: Header
    """All elements of the header, or those that an inspection needs."""

    file_size_bytes: int
    pixels: PixelLocation | None
    transfer_syntax_uid: UID
    """The transfer syntax (PS3.5, chapter 10) that the file states; if it states none, the one that its encoding shows.
    """

    is_part10: bool = True
    """Whether the file has a preamble and states its transfer syntax (PS3.10, section 7.1)."""

    is_there: bool = True
    """Whether ``path`` may be opened; False if only the file's first bytes were given, and ``path`` is a mere label."""

    short_elements: Mapping[int, bytes] | None = None
    """Values of the file's short public elements by tag, if the file itself may not be opened; else None."""

    whole_header: Header | None = None
    """All elements of the header, if the file itself may not be opened and an inspection may need them; else None."""

    @cached_property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID (0008,0018); empty if the header has none."""
        with contained():
            return text(self.header, "SOPInstanceUID")

    @cached_property
    def is_compressed(self) -> bool:
        """Whether the pixels are compressed; a deflated data set does not count."""
        return _encodes_pixels(str(self.transfer_syntax_uid))

    @property
    def label(self) -> str:
        """The name of this file in error messages: its UID, or its file name if it has none."""
        return f"instance {self.sop_instance_uid}" if self.sop_instance_uid else f"file {self.path.name}"

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends before its pixel data does."""
        where = self.pixels
        if where is None:
            return "BitsAllocated" in self.header  # describes pixels, but has none: cut off between two elements
        if self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return False
        if where.size_bytes is None:
            return not _ends_with_delimiter(self.path)
        return where.offset_bytes + where.size_bytes > self.file_size_bytes


@lru_cache(maxsize=64)
def _encodes_pixels(transfer_syntax_uid: str) -> bool:
    uid = UID(transfer_syntax_uid)
    return bool(uid.is_transfer_syntax and uid.is_compressed and not uid.is_deflated)


def read_instance(path: Path, *, longest_value_bytes: int | None = None, limits: Limits = _LIMITS) -> InstanceFile:
    """Reads a file up to its pixel data, and finds where the pixel data lies.

    Files without the preamble of PS3.10, section 7.1, are read as well if they hold a DICOM instance. A DICOMDIR is
    refused.

    Args:
        path: The file.
        longest_value_bytes: Longer values stay in the file until they are accessed; None reads all values at once.
        limits: How far a deflated data set may expand.

    Raises:
        UnreadableFileError: The file is not a DICOM instance, is damaged, ends inside its header, or cannot be opened.
    """
    with open_regular(path) as file, foreign_errors_as(lambda: unreadable(path, _DAMAGED)), contained():
        try:
            begin = file.read(_PREFIX.stop)
            file.seek(0)
            if begin[_PREFIX] != b"DICM" and not begin.startswith(_FIRST_GROUPS):
                raise unreadable(path, _PACKED.get(begin[:2], _NOT_DICOM) if begin else _EMPTY, faulty=False)
            _refuse_bomb(path, file, limits)
            return _read_open_file(path, file, longest_value_bytes)
        except OSError as error:
            raise not_opened(path, error) from error


def _refuse_bomb(path: Path, file: BinaryIO, limits: Limits) -> None:
    """Refuses a deflated data set (PS3.5, section A.5) that expands beyond the limits.

    The data set is inflated piece by piece, so that it cannot fill the memory.
    """
    head = file.read(_LONGEST_META_BYTES)
    file.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    start, size = _PREFIX.stop, os.fstat(file.fileno()).st_size
    while head.startswith(b"\x02\x00", start):
        _, _, length, value = read_element(head, start, False)
        start = value + length
    file.seek(start)
    inflater, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), 0
    rest = file.read(_INFLATED_PIECE_BYTES)
    while rest and not inflater.eof:
        unpacked += len(inflater.decompress(rest, _INFLATED_PIECE_BYTES))
        rest = inflater.unconsumed_tail or file.read(_INFLATED_PIECE_BYTES)
        if not limits.allow_expansion(size - start, unpacked):
            raise unreadable(path, _BOMB)
    file.seek(0)


def read_dataset(path: Path, limits: Limits = _LIMITS) -> FileDataset:
    """Reads a whole file, pixel data included.

    Args:
        path: The file.
        limits: How far a deflated data set may expand.

    Raises:
        UnreadableFileError: See :func:`read_instance`; also if the elements after the pixel data are damaged.
        InvalidSeriesError: The file ends inside its pixel data.
    """
    instance = read_instance(path, limits=limits)
    if instance.is_cut_off:
        raise InvalidSeriesError(f"{instance.label} ends inside its pixel data, it was cut off: get it again")
    with open_regular(path) as file, foreign_errors_as(lambda: unreadable(path, _DAMAGED)), contained():
        dataset = dcmread(file, force=True)
        if len(dataset) == 0:  # pydicom returns an empty dataset, not an error, if the last element has no end
            raise unreadable(path, _DAMAGED)
        dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
    return dataset


def read_header(path: Path, limits: Limits = _LIMITS) -> FileDataset:
    """Reads all elements of a file up to its pixel data.

    Args:
        path: The file.
        limits: How far a deflated data set may expand.

    Raises:
        InvalidSeriesError: The file is not a DICOM file or ends inside its header.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> header = read_header(Path(get_testdata_file("CT_small.dcm")))
        >>> header.Modality, "PixelData" in header
        ('CT', False)
    """
    header = read_instance(path, limits=limits).header
    assert isinstance(header, FileDataset)
    return header


def _read_open_file(path: Path, file: BinaryIO, longest_value_bytes: int | None) -> InstanceFile:
    found: list[tuple[int, str, int]] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if int(tag) not in _PIXEL_TAGS:
            return False
        found.append((int(tag), vr or "", length))
        return True

    file_size = os.fstat(file.fileno()).st_size
    header = read_partial(file, stop_when=at_pixels, defer_size=longest_value_bytes, force=True)
    is_part10 = header.preamble is not None and "TransferSyntaxUID" in header.file_meta
    _check_header(path, header, file_size, has_pixels=bool(found))
    pixels = None
    if found:
        tag, vr, length = found[0]
        element_header_bytes = 12 if vr in _LONG_HEADER_VRS else 8
        size = None if length == _UNDEFINED_LENGTH else length
        pixels = PixelLocation(tag, vr, file.tell() + element_header_bytes, size)
    return InstanceFile(path, header, file_size, pixels, UID(str(header.file_meta.TransferSyntaxUID)), is_part10)


def _check_header(path: Path, header: FileDataset, file_size: int, *, has_pixels: bool) -> None:
    """Refuses a file that is not an instance or is cut off; fills in the transfer syntax if the file states none."""
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise unreadable(path, DICOMDIR, faulty=False)
    has_preamble = header.preamble is not None
    if not has_preamble and not any(keyword in header for keyword in ("SOPClassUID", "SeriesInstanceUID", "Rows")):
        raise unreadable(path, _NOT_DICOM, faulty=False)
    if len(header) == 0 or _ends_inside_element(header, file_size, has_pixels=has_pixels):
        raise unreadable(path, _CUT_OFF)
    if "TransferSyntaxUID" not in header.file_meta:
        implicit, little = header.original_encoding
        if not little:
            header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        else:
            header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _ends_inside_element(header: FileDataset, file_size: int, *, has_pixels: bool) -> bool:
    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return False  # the positions of elements count inflated bytes, so they cannot be compared with the file's size
    element: object = header.get_item(max(header.keys()), keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    end = element.value_tell + element.length
    return end > file_size or (not has_pixels and end < file_size)


def _ends_with_delimiter(path: Path) -> bool:
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 512))
        tail = file.read()
    # compressed pixels end with a Sequence Delimitation Item; padding and signatures may follow (PS3.5, section A.4)
    return b"\xfe\xff\xdd\xe0\x00\x00\x00\x00" in tail
