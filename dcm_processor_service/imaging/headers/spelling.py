"""Compares the bytes of an element between files, so that an element with the same bytes is parsed only once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

from dcm_processor_service.imaging.headers.values import ScannedHeader

if TYPE_CHECKING:
    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["spelling"]

_ABSENT = "absent"


def spelling(header: Header, keyword: str) -> object:
    """Returns the encoded form of an element, such as its VR, bytes and character set: equal forms mean equal values.

    The form is ``"absent"`` if the header lacks the element. It is None if the bytes are not available, because pydicom
    has already decoded the element or has not read it yet.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> one, other = (dcmread(get_testdata_file("CT_small.dcm")) for _ in range(2))
        >>> spelling(one, "KVP") == spelling(other, "KVP"), spelling(one, "EchoTime")
        (True, 'absent')
    """
    if isinstance(header, ScannedHeader):
        return header.elements.get(keyword, _ABSENT)
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in header:
        return _ABSENT
    raw: object = header.get_item(tag, keep_deferred=True)
    if not isinstance(raw, RawDataElement) or not isinstance(raw.value, bytes):
        return None
    return raw.VR, raw.value, raw.is_little_endian, str(header.original_character_set)
