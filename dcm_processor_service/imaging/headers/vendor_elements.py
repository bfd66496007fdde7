"""Reads private elements in the block that their vendor reserved (PS3.5, section 7.8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.headers.private_tags import OWNERS
from dcm_processor_service.imaging.headers.values import ScannedHeader, tag_value

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["block_owner", "private_tags_of", "vendor_elements", "vendor_value"]

_CREATORS = range(0x10, 0x100)


def private_tags_of(header: Header, group: int) -> list[int]:
    """Lists the tags of a header's elements in a private group, ascending.

    A scanned header holds only the private elements that the scan keeps.
    """
    keys = header.elements if isinstance(header, ScannedHeader) else header.keys()
    return sorted(int(key) for key in keys if isinstance(key, int) and key >> 16 == group)


def block_owner(header: Header, tag: int) -> str:
    """Returns the private creator that the element with a tag names, in upper case; empty if there is none."""
    value = tag_value(header, tag)
    if value is None:
        return ""
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip(" \0").upper()


def vendor_value(header: Header, tag: int) -> Any:
    """Returns the value of a private element from the block that its vendor reserved; None if there is none.

    Some archives lose the names of blocks. If no block has the vendor's name, the value is read from the block that the
    vendor's scanners use, unless another creator reserved that block.

    Args:
        header: A header or an item.
        tag: A key of :data:`~dcm_processor_service.imaging.headers.private_tags.OWNERS`: the element's tag in block 10.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.add_new(0x00190011, "LO", "SIEMENS MR HEADER")
        >>> header.add_new(0x0019110A, "US", 36)
        >>> vendor_value(header, 0x0019100A)
        36
    """
    owner = OWNERS[tag]
    tags = private_tags_of(header, tag >> 16)
    own = [one for one in tags if one & 0xFFFF in _CREATORS and block_owner(header, one) == owner]
    for creator in own:
        value = tag_value(header, tag & 0xFFFF00FF | (creator & 0xFF) << 8)
        if value is not None:
            return value
    usual = tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8
    return None if own or block_owner(header, usual) else tag_value(header, tag)


def vendor_elements(header: ScannedHeader, groups: frozenset[int]) -> Hashable:
    """Returns a key that is equal for headers with the same elements and values in some private groups."""
    return tuple((key, one) for key, one in header.elements.items() if isinstance(key, int) and key >> 16 in groups)
