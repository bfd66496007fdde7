"""Checks before the sending that a file is complete and has the transfer syntax that it states.

Some peers hang if a data set is cut off. Others answer "stored" although the data set has another transfer syntax than
stated. So every element is visited (PS3.5, section 7.1), including those in sequences and fragments of undefined
length, up to the last one, which must end where the file ends. Values are not read, except those of the two UIDs that
the C-STORE request repeats.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from struct import Struct
from struct import error as struct_error
from struct import pack as struct_pack
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dcm_processor_service.imaging.headers.raw_elements import SHORT_VRS, UNDEFINED, VR_NAMES

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["Content", "UnsoundFileError", "dataset_position", "examine"]

_META_GROUP, _FIRST_ELEMENT = 0x0002, 132
_TRANSFER_SYNTAX, _SOP_CLASS, _SOP_INSTANCE, _PIXELS = 0x00020010, 0x00080016, 0x00080018, 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_FIRST_GROUP, _ITEM_GROUP = 0x0008, 0xFFFE  # the lowest group of a data set, and the group of items
_DEEPEST = 64
_WINDOW_BYTES, _META_BYTES = 1 << 16, 1 << 11
_LONGEST_HEAD_BYTES = 12
_INFLATED_LIMIT_BYTES = 1 << 32

_CUT_OFF = "cut off: get it again"
_GOES_ON = "damaged, something that is not a data element follows an element of it: get it again"
_TOO_DEEP = "damaged, its sequences are nested too deeply: get it again"
_LONGER_ITEM = "damaged, an item of a sequence is longer than the sequence: get it again"


class UnsoundFileError(Exception):
    """Says that a file is damaged; the message completes the sentence "the file is …" and quotes no value."""


@dataclass(frozen=True)
class Content:
    """Where the data set of a file begins and ends, in bytes, and its UIDs, which are empty if unknown."""

    start: int
    end: int
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class _Coding:
    """The encoding of a data set's elements: explicit or implicit VR, and byte order (PS3.5, section 7.1)."""

    explicit: bool
    order: str

    @property
    def name(self) -> str:
        return f"{'explicit' if self.explicit else 'implicit'} VR {'little' if self.order == '<' else 'big'} endian"


_IMPLICIT, _EXPLICIT, _BIG = _Coding(False, "<"), _Coding(True, "<"), _Coding(True, ">")
# the second one is JPIP Referenced Deflate
_DEFLATED = frozenset({str(DeflatedExplicitVRLittleEndian), "1.2.840.10008.1.2.4.95"})
_UNCOMPRESSED = frozenset({str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian), str(ExplicitVRBigEndian)})


def examine(file: BinaryIO, transfer_syntax_uid: str, *, is_part10: bool = True) -> Content:
    """Checks all elements of a file, and leaves it positioned at its data set.

    If the transfer syntax is private, the elements are not checked, because their encoding is not known.

    Raises:
        UnsoundFileError: The file is cut off, goes on after its last element, or does not have the transfer syntax that
            it states.
        OSError: The file cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    source = _Window(file, size)
    start, stated = _behind_meta(source) if is_part10 else (0, transfer_syntax_uid)
    if stated != transfer_syntax_uid:
        raise UnsoundFileError("no longer what it was when the sending began: send it again")
    coding = _coding(transfer_syntax_uid)
    if coding is None:
        uids = {_SOP_CLASS: "", _SOP_INSTANCE: ""}
    elif transfer_syntax_uid in _DEFLATED:
        file.seek(start)
        content = _inflated(file.read())
        uids = _walked(_Window(BytesIO(content), len(content)), 0, coding, transfer_syntax_uid)
    else:
        uids = _walked(source, start, coding, transfer_syntax_uid)
    file.seek(start)
    return Content(start, size, uids.get(_SOP_CLASS, ""), uids.get(_SOP_INSTANCE, ""))


def dataset_position(file: BinaryIO) -> int:
    """Returns where the data set of a file begins: after the file meta information, if there is any.

    Raises:
        UnsoundFileError: The file is cut off before its data set.
        OSError: The file cannot be read.
    """
    source = _Window(file, file.seek(0, os.SEEK_END), _META_BYTES)
    return _behind_meta(source)[0] if source.value(128, 4) == b"DICM" else 0


@lru_cache(maxsize=64)
def _coding(transfer_syntax_uid: str) -> _Coding | None:
    uid = UID(transfer_syntax_uid)
    if not uid.is_transfer_syntax or uid.is_private:
        return None
    if uid == ImplicitVRLittleEndian:
        return _IMPLICIT
    return _BIG if uid == ExplicitVRBigEndian else _EXPLICIT


class _Window:
    """A buffer over a part of a file, which is moved when needed, so that long values are skipped and not read."""

    def __init__(self, file: BinaryIO, size: int, window_bytes: int = _WINDOW_BYTES) -> None:
        self._file = file
        self._window_bytes = window_bytes
        self.size = size
        self.first = 0
        self.buffer = b""

    def at(self, position: int) -> int:
        """Moves the buffer, if needed, over the head of the element at a position; returns the offset in the buffer."""
        offset = position - self.first
        left = len(self.buffer) - offset
        if offset < 0 or (left < _LONGEST_HEAD_BYTES and self.first + len(self.buffer) < self.size):
            self._file.seek(position)
            self.first, self.buffer, offset = position, _read(self._file, self._window_bytes), 0
        return offset

    def value(self, position: int, length: int) -> bytes:
        """Returns the bytes of a short value."""
        offset = position - self.first
        if offset < 0 or offset + length > len(self.buffer):
            self._file.seek(position)
            self.first, self.buffer, offset = position, _read(self._file, self._window_bytes), 0
        return self.buffer[offset : offset + length]


def _read(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    while 0 < len(content) < count and (more := file.read(count - len(content))):
        content += more
    return content


def _behind_meta(source: _Window) -> tuple[int, str]:
    """Returns where the data set begins, and its transfer syntax (PS3.10, section 7.1)."""
    position, stated = _FIRST_ELEMENT, ""
    try:
        while True:
            tag, _, length, value = _head(source, position, _EXPLICIT)
            if tag >> 16 != _META_GROUP:
                break
            if tag == _TRANSFER_SYNTAX:
                stated = _text(source.value(value, length))
            position = value + length
    except (UnsoundFileError, struct_error):
        if not stated:  # if it is stated, the meta information has ended, and the data set may be encoded in any way
            raise UnsoundFileError(_CUT_OFF) from None
    return position, stated


def _walked(source: _Window, start: int, coding: _Coding, transfer_syntax_uid: str) -> dict[int, str]:
    """Checks a data set, and returns its SOPClassUID and SOPInstanceUID.

    Raises:
        UnsoundFileError: The data set does not end with the file, or does not have the transfer syntax.
    """
    uids: dict[int, str] = {}
    compressed = transfer_syntax_uid not in _UNCOMPRESSED and transfer_syntax_uid not in _DEFLATED
    try:
        _elements(source, start, source.size, coding, uids, 0)
    except UnsoundFileError as error:
        other = next((one for one in (_IMPLICIT, _EXPLICIT, _BIG) if one != coding and _fits(source, start, one)), None)
        if other is None:
            raise
        raise UnsoundFileError(
            f"encoded in {other.name}, but its meta information says {UID(transfer_syntax_uid).name}: get it again"
        ) from error
    fragmented = uids.get(_PIXELS)
    if fragmented is not None and bool(fragmented) != compressed:
        what = "compressed" if fragmented else "not compressed"
        raise UnsoundFileError(f"{what}, but its meta information says {UID(transfer_syntax_uid).name}: get it again")
    return uids


def _fits(source: _Window, start: int, coding: _Coding) -> bool:
    try:
        _elements(source, start, source.size, coding, {}, 0)
    except UnsoundFileError:
        return False
    return True


def _elements(
    source: _Window,
    position: int,
    end: int,
    coding: _Coding,
    uids: dict[int, str],
    depth: int,
    *,
    in_item: bool = False,
) -> int:
    """Visits elements up to ``end``, or up to the delimiter that ends their item, if that is of undefined length."""
    kept = _KEPT if depth == 0 else _NOTHING_KEPT
    try:
        while position < end:
            position = _short_elements(source, position, end, coding, uids, kept) if coding.explicit else position
            if position >= end:
                break
            tag, vr, length, value = _head(source, position, coding)
            if tag < _FIRST_TAG or tag >> 16 == _ITEM_GROUP:
                if in_item and tag == _ITEM_END:
                    return value + length
                raise UnsoundFileError(_GOES_ON)
            if length == UNDEFINED:
                uids |= {tag: "fragments"} if tag in kept else {}
                position = _undefined(source, value, end, coding, tag, vr, depth)
                continue
            position = value + length
            if tag in kept and position <= end:
                _keep(uids, tag, "" if tag == _PIXELS else _text(source.value(value, length)))
            elif _is_sequence(tag, vr) and length and position <= end:
                _defined(source, value, position, coding, depth)
    except struct_error:
        position = end + 1
    if position > end or in_item:
        raise UnsoundFileError(_CUT_OFF)
    return position


def _short_elements(
    source: _Window, position: int, end: int, coding: _Coding, uids: dict[int, str], kept: frozenset[int]
) -> int:
    """Visits the elements in the buffer whose VR has a short length field, up to the first other element.

    Most elements are of this kind, so the loop makes no function calls.
    """
    head, short = _HEADS[coding.order], SHORT_VRS
    offset = source.at(position)
    buffer, first = source.buffer, position - offset
    last = min(len(buffer) - _LONGEST_HEAD_BYTES, end - 1 - first)
    while offset <= last:
        group, element, vr, length = head(buffer, offset)
        if vr not in short or group < _FIRST_GROUP:
            break
        value = offset + 8
        offset = value + length
        if group == _FIRST_GROUP and group << 16 | element in kept and first + offset <= end:
            _keep(uids, group << 16 | element, _text(source.value(first + value, length)))
            if source.buffer is not buffer:  # the buffer was moved, because the value was outside of it
                break
    return first + offset


@lru_cache(maxsize=4096)
def _is_sequence(tag: int, vr: bytes) -> bool:
    """Returns whether an element is a sequence according to its VR, or to the dictionary if it has no VR."""
    return vr == b"SQ" or (not vr and dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ")


def _keep(uids: dict[int, str], tag: int, value: str) -> None:
    """Stores the UID of the class or the instance.

    Raises:
        UnsoundFileError: The data set has the element twice, with different values, and readers differ in which one
            they use.
    """
    if uids.setdefault(tag, value) != value:
        raise UnsoundFileError("damaged, its data set names two SOP classes or instances: get it again")


def _defined(source: _Window, start: int, end: int, coding: _Coding, depth: int) -> None:
    """Visits the items of a sequence of defined length.

    Some programs encode private sequences in implicit VR even if the file has explicit VR, so this is tried as well.

    Raises:
        UnsoundFileError: The items do not end where the sequence does.
    """
    if depth >= _DEEPEST:
        raise UnsoundFileError(_TOO_DEEP)
    try:
        _items(source, start, end, coding, depth)
    except (UnsoundFileError, struct_error):
        if coding == _IMPLICIT:  # no second try: trying twice at each level would double the time with each level
            raise
        _items(source, start, end, _IMPLICIT, depth)


def _items(source: _Window, position: int, end: int, coding: _Coding, depth: int) -> None:
    while position < end:
        item, _, length, position = _head(source, position, coding)
        if item == _SEQUENCE_END and not length:
            continue  # a delimiter that is not needed, but does no harm
        if item != _ITEM:
            raise UnsoundFileError(_GOES_ON)
        if length == UNDEFINED:
            position = _elements(source, position, end, coding, {}, depth + 1, in_item=True)
        elif position + length > end:
            raise UnsoundFileError(_LONGER_ITEM)
        else:
            position = _elements(source, position, position + length, coding, {}, depth + 1)
    if position > end:
        raise UnsoundFileError(_LONGER_ITEM)


def _undefined(source: _Window, position: int, end: int, coding: _Coding, tag: int, vr: bytes, depth: int) -> int:
    """Visits a value of undefined length, which is a sequence or compressed pixels (PS3.5, sections 7.5 and A.4)."""
    if depth >= _DEEPEST:
        raise UnsoundFileError(_TOO_DEEP)
    is_pixels = tag == _PIXELS and coding.explicit
    if coding.explicit and not is_pixels and vr not in {b"SQ", b"UN"}:
        raise UnsoundFileError(_GOES_ON)
    inner = _IMPLICIT if vr == b"UN" else coding  # PS3.5, section 6.2.2, note 2: such a value is in implicit VR
    while True:
        if position >= end:
            raise UnsoundFileError(_CUT_OFF)
        item, _, length, position = _head(source, position, inner)
        if item == _SEQUENCE_END:
            return position
        if item != _ITEM:
            raise UnsoundFileError(_GOES_ON)
        if length == UNDEFINED and not is_pixels:
            position = _elements(source, position, end, inner, {}, depth + 1, in_item=True)
        elif is_pixels or inner is not coding:
            position += length
        else:
            position = _elements(source, position, min(position + length, end), inner, {}, depth + 1)


def _head(source: _Window, position: int, coding: _Coding) -> tuple[int, bytes, int, int]:
    """Returns tag, VR, length and position of the value of the element at a position.

    Raises:
        UnsoundFileError: The VR does not exist.
        struct.error: The file ends.
    """
    offset, buffer = source.at(position), source.buffer
    order = coding.order
    group, element, length = _TAG_AND_LENGTH[order](buffer, offset)
    if not coding.explicit or group == _ITEM_GROUP:  # items have no VR
        return group << 16 | element, b"", length, position + 8
    vr = buffer[offset + 4 : offset + 6]
    if vr in SHORT_VRS:
        return group << 16 | element, vr, _SHORT[order](buffer, offset + 6)[0], position + 8
    if vr not in VR_NAMES:
        raise UnsoundFileError(_GOES_ON)
    return group << 16 | element, vr, _LONG[order](buffer, offset + 8)[0], position + 12


def _inflated(content: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(content, _INFLATED_LIMIT_BYTES)
    except zlib.error:
        raise UnsoundFileError("damaged, its deflated data set cannot be inflated: get it again") from None
    if not inflater.eof:
        raise UnsoundFileError(_CUT_OFF)
    # a zero byte may follow to make the length even (PS3.5, section A.5), or gzip's checksum and length
    if inflater.unused_data.strip(b"\0") not in {b"", struct_pack("<II", zlib.crc32(data), len(data)).strip(b"\0")}:
        raise UnsoundFileError(_GOES_ON)
    return data


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")


_FIRST_TAG = _FIRST_GROUP << 16
_KEPT, _NOTHING_KEPT = frozenset({_SOP_CLASS, _SOP_INSTANCE, _PIXELS}), frozenset[int]()
_HEADS = {order: Struct(f"{order}HH2sH").unpack_from for order in "<>"}
_TAG_AND_LENGTH = {order: Struct(f"{order}HHI").unpack_from for order in "<>"}
_SHORT = {order: Struct(f"{order}H").unpack_from for order in "<>"}
_LONG = {order: Struct(f"{order}I").unpack_from for order in "<>"}
