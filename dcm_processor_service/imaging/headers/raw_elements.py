"""Finds where data elements begin and end in a little endian buffer (PS3.5, section 7.1)."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from pydicom.config import IGNORE
from pydicom.uid import UID

__all__ = [
    "FIRST_ELEMENT",
    "SHORT_VRS",
    "UNDEFINED",
    "VR_NAMES",
    "NeedsPydicomError",
    "after_undefined",
    "read_element",
    "transfer_syntax",
]

FIRST_ELEMENT = 132
"""Position of a file's first element, after preamble and prefix (PS3.10, section 7.1)."""

_META_GROUP = b"\x02\x00"

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs with a length field of 16 bits; all others have one of 32 bits."""

_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VR_NAMES = {vr: vr.decode() for vr in SHORT_VRS | _LONG_VRS}
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 32

_explicit = Struct("<HH2sH").unpack_from
_implicit = Struct("<HHI").unpack_from
_length = Struct("<I").unpack_from


class NeedsPydicomError(Exception):
    """Says that the file holds something that the scanner does not know, so that pydicom must read it."""


def read_element(buffer: bytes, position: int, implicit: bool) -> tuple[int, bytes, int, int]:  # noqa: FBT001 inner loop
    """Returns tag, VR, length and position of the value of the element that begins at a position.

    Raises:
        NeedsPydicomError: The element has no known VR.
        struct.error: The buffer ends.
    """
    if implicit:
        group, element, length = _implicit(buffer, position)
        return group << 16 | element, b"", length, position + 8
    group, element, vr, length = _explicit(buffer, position)
    if vr in SHORT_VRS:
        return group << 16 | element, vr, length, position + 8
    if vr in _LONG_VRS:
        return group << 16 | element, vr, _length(buffer, position + 8)[0], position + 12
    if group == 0xFFFE:  # noqa: PLR2004 items and delimiters have no VR
        return group << 16 | element, b"", _length(buffer, position + 4)[0], position + 8
    raise NeedsPydicomError


def after_undefined(buffer: bytes, position: int, implicit: bool, depth: int = 0) -> int:  # noqa: FBT001 inner loop
    """Returns the position after a sequence of undefined length (PS3.5, section 7.5.2), whose first item is given.

    Raises:
        NeedsPydicomError: The element is not a sequence, or its sequences are nested very deeply.
        struct.error: The buffer ends.
    """
    if depth > _DEEPEST:
        raise NeedsPydicomError
    while True:
        tag, _, length, position = read_element(buffer, position, implicit)
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise NeedsPydicomError
        if length != UNDEFINED:
            position += length
            continue
        while True:
            tag, _, length, position = read_element(buffer, position, implicit)
            if tag == _ITEM_END:
                break
            position = (
                after_undefined(buffer, position, implicit, depth + 1) if length == UNDEFINED else position + length
            )


def transfer_syntax(buffer: bytes) -> tuple[UID, int]:
    """Returns the transfer syntax, and the position at which the data set begins (PS3.10, section 7.1)."""
    position, syntax = FIRST_ELEMENT, b""
    while buffer[position : position + 2] == _META_GROUP:  # stop there: elements of the data set may have no VR
        tag, _, length, value = read_element(buffer, position, False)
        position = value + length
        if tag == 0x00020010:  # noqa: PLR2004 TransferSyntaxUID
            syntax = buffer[value:position]
    if not syntax:
        raise NeedsPydicomError
    return _uid(syntax), position


@lru_cache(maxsize=64)
def _uid(value: bytes) -> UID:
    return UID(value.decode("ascii").strip(" \0"), validation_mode=IGNORE)  # a warning would quote the value
