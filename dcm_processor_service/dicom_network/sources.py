"""Finds the instances to send in files, folders, DICOMDIRs and datasets; reads each up to its pixels.

:mod:`dcm_processor_service.imaging.headers.folder` decides which files are DICOM, as everywhere in this package. The
data set of a file is sent as it is on disk, without decoding. The UIDs are read from the data set, because the copies
in the file meta information may be outdated.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from isal.isal_zlib import crc32
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.conversion.in_processes import converted
from dcm_processor_service.dicom_network.conversion.transcoding import UnreadableInstanceError, copy_of
from dcm_processor_service.dicom_network.soundness import UnsoundFileError, dataset_position, examine
from dcm_processor_service.disk import is_folder
from dcm_processor_service.errors import InvalidSeriesError, UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, scan_instance
from dcm_processor_service.imaging.headers.folder import DicomFolders, dicomdir_files, files_below
from dcm_processor_service.imaging.headers.instance_file import DICOMDIR, contained, open_regular
from dcm_processor_service.imaging.headers.instance_file import read_dataset as read_whole
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models import LeftOutFile
from dcm_processor_service.models.files import NO_UIDS, left_out_sentences, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.ports import Sendable

__all__ = ["Checksum", "Outgoing", "Unreadable", "UnreadableInstanceError", "survey"]

_PIECE_BYTES = 1 << 20
_UID = re.compile(r"[0-9.]{1,64}")
_FIRST_ITEM = b"\xfe\xff\x00\xe0"  # compressed pixel data begins with an item (PS3.5, A.4)
_GONE = "the file cannot be read any more"
_CUT_OFF = "cut off inside its pixel data: get it again"
_NO_SOP_CLASS = "without a SOPClassUID"
_NO_UID = "with a UID that is not valid (PS3.5, 9.1)"


@dataclass(frozen=True)
class Outgoing:
    """An instance to send, and the values in its header that the request to the peer repeats."""

    source: Path | Dataset
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    is_part10: bool = True
    """Whether the file has the meta information of PS3.10, section 7.1; True for a dataset."""

    @property
    def memory_bytes(self) -> int:
        """The approximate memory that the instance takes, in bytes; 0 for a file."""
        if isinstance(self.source, Path):
            return 0
        pixels = self.source.get_item("PixelData") if "PixelData" in self.source else None
        return len(pixels.value) if pixels is not None and isinstance(pixels.value, bytes) else 0

    def open_file(self, transfer_syntax_uid: str) -> BinaryIO:
        """Opens the instance as a DICOM file in a transfer syntax.

        If the file on disk has this transfer syntax already, that file is opened.

        Raises:
            UnreadableInstanceError: The instance can no longer be read, is damaged, has been replaced by another
                instance, or cannot be encoded.
            UnsupportedTransferSyntaxError: The instance cannot be converted.
        """
        own = self.transfer_syntax_uid
        if isinstance(self.source, Dataset):
            dataset = copy_of(self.source, own)
            self._require_uids(text(dataset, "SOPClassUID"), text(dataset, "SOPInstanceUID"))
            return converted(dataset, own, transfer_syntax_uid)
        file = self._open_sound()
        if transfer_syntax_uid == own:
            return file if self.is_part10 else self._with_meta(file)
        file.close()
        try:
            dataset = read_whole(self.source)
        except InvalidSeriesError as error:
            raise UnreadableInstanceError(_GONE) from error
        return converted(dataset, own, transfer_syntax_uid)

    def require_sound(self) -> None:
        """Checks that a file can be sent, before an association is opened for it.

        Raises:
            UnreadableInstanceError: The file cannot be sent; the message says why.
        """
        if isinstance(self.source, Path):
            self._open_sound().close()

    def _open_sound(self) -> BinaryIO:
        assert isinstance(self.source, Path)
        try:
            file = open_regular(self.source, buffering=0)
        except UnreadableFileError as error:
            raise UnreadableInstanceError(_GONE) from error
        try:
            content = examine(file, self.transfer_syntax_uid, is_part10=self.is_part10)
            self._require_uids(content.sop_class_uid, content.sop_instance_uid)
            file.seek(0)
        except BaseException as error:
            file.close()
            if isinstance(error, UnsoundFileError):
                raise UnreadableInstanceError(f"the file is {error}") from error
            if isinstance(error, OSError):
                raise UnreadableInstanceError(_GONE) from error
            raise
        return file

    def _require_uids(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        """Raises an error if the source was replaced by another instance after its UIDs were read."""
        # a UID is empty if it is not known
        if sop_class_uid not in {"", self.sop_class_uid} or sop_instance_uid not in {"", self.sop_instance_uid}:
            raise UnreadableInstanceError("it was replaced by another instance after the sending began: send it again")

    def _with_meta(self, file: BinaryIO) -> BytesIO:
        """Returns the unchanged data set of a file that has no meta information, preceded by new meta information."""
        meta, buffer = FileMetaDataset(), DicomBytesIO()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = UID(self.transfer_syntax_uid)
        buffer.write(bytes(128) + b"DICM")
        write_file_meta_info(buffer, meta, enforce_standard=True)
        with file:
            return BytesIO(buffer.getvalue() + b"".join(self.read(file, _PIECE_BYTES)))

    def checksum(self, transfer_syntax_uid: str) -> str:
        """Returns the :class:`Checksum` of the instance in a transfer syntax; empty if it cannot be read.

        Raises:
            UnsupportedTransferSyntaxError: The instance cannot be converted.
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
        """Yields the encoded data set of a file that :meth:`open_file` returned, in pieces of the given length.

        Raises:
            UnreadableInstanceError: The file can no longer be read.
        """
        try:
            left_bytes = file.seek(0, os.SEEK_END) - file.seek(dataset_position(file))
            while piece := _read_fully(file, piece_bytes):
                left_bytes -= len(piece)
                # A deflated data set may have an odd length. It is padded, because peers abort at odd lengths (PS3.5,
                # section A.5; PS3.8, section E.1).
                yield piece + b"\0" if len(piece) % 2 else piece
        except (OSError, UnsoundFileError) as error:
            raise UnreadableInstanceError(_GONE) from error
        if left_bytes:
            raise UnreadableInstanceError("the file changed while it was read: send it again")


class Checksum:
    """The CRC-32 and the length of an encoded data set, computed while the data set is read piece by piece."""

    def __init__(self) -> None:
        self._crc = self._size_bytes = 0

    def of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the pieces unchanged, and computes their checksum, beginning from zero."""
        self._crc = self._size_bytes = 0
        for piece in pieces:
            self._crc = crc32(piece, self._crc)
            self._size_bytes += len(piece)
            yield piece

    @property
    def text(self) -> str:
        """The checksum of the pieces so far."""
        return f"{self._crc:08x}-{self._size_bytes}"


@dataclass(frozen=True)
class Unreadable:
    """An item, or a file of an item, that cannot be sent."""

    reason: str
    """The reason, without the name of the file, which may contain the name of a patient."""

    path: str = ""


def survey(items: Sendable | Iterable[Sendable]) -> Iterator[Outgoing | Unreadable | LeftOutFile]:
    """Yields the instances to send, one after the other: in the order of ``items``, and those of folders by name.

    In a folder, some files are left out: files that are not DICOM, hidden files, a DICOMDIR, and a second file of the
    same instance. Damaged files and files that cannot be opened are reported as unreadable, because the peer will lack
    an instance. If an item is a file that is not an instance, it is reported as unreadable too, unless it is a
    DICOMDIR: in that case, the files that it lists are yielded.

    Raises:
        InvalidSeriesError: A folder holds no instance to send.
    """
    if isinstance(items, (Dataset, str, os.PathLike)):
        items = (items,)
    folders = DicomFolders()
    for number, item in enumerate(items, start=1):
        if isinstance(item, Dataset):
            yield _from_dataset(item, number)
        elif is_folder(item):
            yield from _from_folder(Path(item), number, folders)
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
        return Unreadable(f"item {number} is a dataset with a UID that is not valid (PS3.5, 9.1)")
    return Outgoing(dataset, uids["SOPClassUID"], uids["SOPInstanceUID"], syntax)


def _is_encapsulated(dataset: Dataset) -> bool:
    pixels = dataset.get_item("PixelData") if "PixelData" in dataset else None
    return pixels is not None and isinstance(pixels.value, bytes) and pixels.value.startswith(_FIRST_ITEM)


def _from_folder(folder: Path, number: int, folders: DicomFolders) -> Iterator[Outgoing | Unreadable | LeftOutFile]:
    left_out: list[LeftOutFile] = []
    anything = False
    for found in folders.read(files_below(folder)):
        if not isinstance(found, LeftOutFile):
            one = _outgoing(found)
        elif found.faulty:
            one = Unreadable(found.reason, found.path)
        else:
            left_out.append(found)
            yield found
            continue
        anything = True
        yield one
    if not anything:
        reasons = "; ".join(left_out_sentences(left_out))
        raise InvalidSeriesError(
            f"nothing to send: the folder given as item {number} holds no DICOM file{reasons and f' ({reasons})'}"
        )


def _from_file(path: Path, number: int) -> Iterator[Outgoing | Unreadable]:
    read = _read(path)
    if isinstance(read, Outgoing):
        yield read
    elif read.reason == DICOMDIR:
        try:
            files = dicomdir_files(path)
        except InvalidSeriesError:
            yield Unreadable(f"item {number} is a DICOMDIR that cannot be read", read.path)
            return
        for listed in files:
            one = Unreadable("outside of its folder") if listed is None else _read(listed)
            if isinstance(one, Unreadable):
                one = Unreadable(f"item {number} is a DICOMDIR that lists a file which is {one.reason}", one.path)
            yield one
    else:
        yield Unreadable(f"item {number} is {read.reason}", read.path)


def _read(path: Path) -> Outgoing | Unreadable:
    try:
        return _outgoing(scan_instance(path, longest_value_bytes=LONG_VALUE_BYTES))
    except UnreadableFileError as error:
        return Unreadable(error.reason, printable(path))


def _outgoing(instance: InstanceFile) -> Outgoing | Unreadable:
    """Returns the instance in a file, or the reason why it cannot be sent."""
    path = printable(instance.path)
    with contained():
        sop_class, sop_instance = text(instance.header, "SOPClassUID"), instance.sop_instance_uid
    if not (sop_class and sop_instance):
        return Unreadable(_NO_SOP_CLASS if sop_instance else NO_UIDS, path)
    syntax = str(instance.transfer_syntax_uid)
    if not _are_uids(sop_class, sop_instance, syntax):
        return Unreadable(_NO_UID, path)
    try:
        if instance.is_cut_off:
            return Unreadable(_CUT_OFF, path)
    except UnreadableFileError as error:  # the file was removed meanwhile
        return Unreadable(error.reason, path)
    return Outgoing(instance.path, sop_class, sop_instance, syntax, instance.is_part10)


def _read_fully(file: BinaryIO, count: int) -> bytes:
    """Reads ``count`` bytes, or fewer at the end of the file; reads repeatedly, as network file systems require."""
    piece = file.read(count)
    while 0 < len(piece) < count and (more := file.read(count - len(piece))):
        piece += more
    return piece


def _are_uids(*values: str) -> bool:
    """Returns whether all values consist of at most 64 digits and dots, because only such UIDs fit into a request."""
    return all(_UID.fullmatch(value) for value in values)
