"""What is sent: files, folders, DICOMDIRs and datasets, taken in one after the other, read up to their UIDs.

A file's data set goes out as it lies on disk, so nothing of it is decoded here. The UIDs come from the data set itself
where it is plain to read: the copies in the file meta information may be stale.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal.isal_zlib import crc32
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dcm_processor_service.dicom_network.transcoding import UnreadableInstanceError, convert, copy_of, part10
from dcm_processor_service.errors import InvalidSeriesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.tag import BaseTag

    from dcm_processor_service.ports import Sendable

__all__ = ["Checksum", "Outgoing", "Unreadable", "UnreadableInstanceError", "dicomdir_files", "survey"]

_PREAMBLE_BYTES = 128
_SOP_CLASS_UID, _SOP_INSTANCE_UID, _TRANSFER_SYNTAX_UID = 0x00080016, 0x00080018, 0x00020010
_MEDIA_SOP_CLASS_UID, _MEDIA_SOP_INSTANCE_UID = 0x00020002, 0x00020003
_META_GROUP = 0x0002
_IN_USE = 0xFFFF
_PIECE_BYTES = 1 << 20
_UID = re.compile(r"[0-9.]{1,64}")
_FIRST_ITEM = b"\xfe\xff\x00\xe0"  # compressed pixel data begins with an item (PS3.5, A.4)
_FAULTS = (
    OSError,
    InvalidDicomError,
    ValueError,
    LookupError,
    AttributeError,
    EOFError,
    NotImplementedError,
    struct.error,
)


@dataclass(frozen=True)
class Outgoing:
    """One instance that can be sent."""

    source: Path | Dataset
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int = 0
    """Where the data set begins in the file, in bytes."""

    @property
    def memory_bytes(self) -> int:
        """About what keeping it costs."""
        if isinstance(self.source, Path):
            return 0
        pixels = self.source.get_item("PixelData") if "PixelData" in self.source else None
        return len(pixels.value) if pixels is not None and isinstance(pixels.value, bytes) else 0

    def open_file(self, transfer_syntax_uid: str) -> BinaryIO:
        """Opens it as a DICOM file in that transfer syntax; the file on disk itself where that is its own.

        Raises:
            UnreadableInstanceError: It cannot be read any more, or not be encoded.
            UnsupportedTransferSyntaxError: It cannot be converted.
        """
        try:
            if isinstance(self.source, Path):
                if transfer_syntax_uid == self.transfer_syntax_uid:
                    return self.source.open("rb", buffering=0)
                dataset: Dataset = dcmread(self.source)
            else:
                dataset = copy_of(self.source, self.transfer_syntax_uid)
            return BytesIO(part10(convert(dataset, self.transfer_syntax_uid, transfer_syntax_uid)))
        except _FAULTS as error:
            raise UnreadableInstanceError("the file cannot be read any more") from error

    def checksum(self, transfer_syntax_uid: str) -> str:
        """Reads it in that transfer syntax for its :class:`Checksum`; empty where it cannot be read.

        Raises:
            UnsupportedTransferSyntaxError: It cannot be converted.
        """
        checksum = Checksum()
        try:
            with self.open_file(transfer_syntax_uid) as file:
                for _piece in checksum.of(self.read(file, _PIECE_BYTES)):
                    pass
        except UnreadableInstanceError:
            return ""
        return checksum.text

    def read(self, file: BinaryIO, piece_bytes: int) -> Iterator[bytes]:
        """Reads the encoded data set from what :meth:`open_file` gave, in pieces of that length.

        Raises:
            UnreadableInstanceError: The file cannot be read any more.
        """
        try:
            if isinstance(file, BytesIO):
                _read_meta(file)
            else:
                file.seek(self.offset)
            while piece := file.read(piece_bytes):
                # a deflated data set may end on an odd byte: one more, for peers abort at it (PS3.5, A.5; PS3.8, E.1)
                yield piece + b"\0" if len(piece) % 2 else piece
        except OSError as error:
            raise UnreadableInstanceError("the file cannot be read any more") from error


class Checksum:
    """CRC-32 and length of an encoded data set, taken while its pieces go by."""

    def __init__(self) -> None:
        self._crc = self._size_bytes = 0

    def of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Gives the pieces on, from the first one."""
        self._crc = self._size_bytes = 0
        for piece in pieces:
            self._crc = crc32(piece, self._crc)
            self._size_bytes += len(piece)
            yield piece

    @property
    def text(self) -> str:
        """Of what went by."""
        return f"{self._crc:08x}-{self._size_bytes}"


@dataclass(frozen=True)
class Unreadable:
    """An item that cannot be sent, and why; its name is left out, for names of files may tell names of patients."""

    reason: str


def survey(items: Sendable | Iterable[Sendable]) -> Iterator[Outgoing | Unreadable]:
    """Walks through what is to be sent, in its order, folders by name; lazily.

    In a folder, files that are not DICOM are passed over, and so is a DICOMDIR; named by themselves, the one is
    reported and the other stands for the files that it lists.

    Raises:
        InvalidSeriesError: A folder holds no DICOM file.
    """
    if isinstance(items, (Dataset, str, os.PathLike)):
        items = (items,)
    for number, item in enumerate(items, start=1):
        if isinstance(item, Dataset):
            yield _from_dataset(item, number)
        elif Path(item).is_dir():
            yield from _from_folder(Path(item), number)
        else:
            yield from _from_file(Path(item), number)


def _from_dataset(dataset: Dataset, number: int) -> Outgoing | Unreadable:
    uids = {keyword: str(dataset.get(keyword, "")) for keyword in ("SOPClassUID", "SOPInstanceUID")}
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        return Unreadable(f"item {number} is a dataset without {' and '.join(missing)}")
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if not syntax:
        if _is_encapsulated(dataset):
            return Unreadable(f"item {number} is a compressed dataset without file_meta.TransferSyntaxUID; set it")
        implicit = dataset.original_encoding == (True, True)
        syntax = str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    if not _are_uids(*uids.values(), syntax):
        return Unreadable(f"item {number} is a dataset with a UID that is none (PS3.5, 9.1)")
    return Outgoing(dataset, uids["SOPClassUID"], uids["SOPInstanceUID"], syntax)


def _is_encapsulated(dataset: Dataset) -> bool:
    pixels = dataset.get_item("PixelData") if "PixelData" in dataset else None
    return pixels is not None and isinstance(pixels.value, bytes) and pixels.value.startswith(_FIRST_ITEM)


def _from_folder(folder: Path, number: int) -> Iterator[Outgoing | Unreadable]:
    found = False
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                read = _read_head(path)
            except _FAULTS as error:
                read = Unreadable(f"a file in the folder given as item {number} cannot be read ({_kind(error)})")
            if read is not None and not _is_directory(read):
                found = True
                yield read
    if not found:
        raise InvalidSeriesError(f"nothing to send: the folder given as item {number} holds no DICOM file")


def _from_file(path: Path, number: int) -> Iterator[Outgoing | Unreadable]:
    try:
        read = _read_head(path)
        if read is None:
            yield Unreadable(f"item {number} is no DICOM file")
        elif _is_directory(read):
            yield from (one for listed in dicomdir_files(path) for one in _from_listed(listed, number))
        else:
            yield read
    except FileNotFoundError:
        yield Unreadable(f"item {number} does not exist")
    except _FAULTS as error:
        yield Unreadable(f"item {number} cannot be read ({_kind(error)})")


def _from_listed(path: Path | None, number: int) -> Iterator[Outgoing | Unreadable]:
    try:
        read = None if path is None else _read_head(path)
    except _FAULTS:
        read = None
    yield read or Unreadable(f"item {number} is a DICOMDIR that lists a file which cannot be read")


def dicomdir_files(dicomdir: Path) -> list[Path | None]:
    """The files of a DICOMDIR in the order of its records, None for a name that leaves its folder (PS3.3, F.3)."""
    files: list[Path | None] = []
    for record in dcmread(dicomdir).get("DirectoryRecordSequence", []):
        names = record.get("ReferencedFileID")
        if not names or record.get("RecordInUseFlag", _IN_USE) != _IN_USE:
            continue
        parts = [names] if isinstance(names, str) else [str(name) for name in names]
        inside = not any(part in {"", ".", ".."} or "/" in part or os.sep in part for part in parts)
        files.append(dicomdir.parent.joinpath(*parts) if inside else None)
    return files


def _is_directory(read: Outgoing | Unreadable) -> bool:
    return isinstance(read, Outgoing) and read.sop_class_uid == MediaStorageDirectoryStorage


def _read_head(path: Path) -> Outgoing | Unreadable | None:
    """Reads the UIDs of a file; None when it is no DICOM file."""
    with path.open("rb") as file:
        file.seek(_PREAMBLE_BYTES)
        if file.read(4) != b"DICM":
            return None
        file.seek(0)
        meta = _read_meta(file)
        offset = file.tell()
        syntax = _uid(meta, _TRANSFER_SYNTAX_UID)
        head = Dataset()
        if syntax != DeflatedExplicitVRLittleEndian:
            implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
            head = read_dataset(file, implicit, little, stop_when=_after_sop_instance_uid)
    sop_class = _uid(head, _SOP_CLASS_UID) or _uid(meta, _MEDIA_SOP_CLASS_UID)
    sop_instance = _uid(head, _SOP_INSTANCE_UID) or _uid(meta, _MEDIA_SOP_INSTANCE_UID)
    if not (syntax and sop_class and sop_instance):
        return Unreadable("a DICOM file lacks its SOP class, SOP instance or transfer syntax UID")
    if not _are_uids(sop_class, sop_instance, syntax):
        return Unreadable("a DICOM file has a UID that is none (PS3.5, 9.1)")
    return Outgoing(path, sop_class, sop_instance, syntax, offset)


def _read_meta(file: BinaryIO) -> Dataset:
    """Reads the file meta information and leaves the file at the data set (PS3.10, 7.1)."""
    file.seek(_PREAMBLE_BYTES + 4)
    return read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag.group != _META_GROUP)


def _after_sop_instance_uid(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _SOP_INSTANCE_UID)


def _uid(dataset: Dataset, tag: int) -> str:
    """Reads a UID without decoding the element, which would check and warn."""
    if tag not in dataset:
        return ""
    value: object = dataset.get_item(tag).value
    if isinstance(value, bytes):
        return value.rstrip(b"\0 ").decode("ascii", "replace")
    return str(value)


def _are_uids(*values: str) -> bool:
    """Digits and dots, at most 64: others could not be put into a request."""
    return all(_UID.fullmatch(value) for value in values)


def _kind(error: BaseException) -> str:
    return type(error).__name__
