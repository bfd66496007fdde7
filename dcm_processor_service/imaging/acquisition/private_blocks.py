"""Finds private elements by the creator of their block, since a block may have any number (PS3.5, section 7.8.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom.sequence import Sequence as Items

from dcm_processor_service.imaging.headers.values import ScannedHeader, tag_value

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["owned_item", "owned_number", "owned_numbers", "owned_texts", "owned_value"]

_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


def owned_value(dataset: Header, group: int, creator: str, element: int) -> Any:
    """Returns the value of a private element; None if it is absent or malformed.

    The case of the creator's name does not matter.

    Args:
        dataset: A header or an item.
        group: Group of the element, such as 0x0043.
        creator: Name of the block's creator, such as ``GEMS_PARM_01``.
        element: The last two digits of its tag.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.add_new(0x00430012, "LO", "GEMS_PARM_01")
        >>> header.add_new(0x0043122C, "SS", 388)
        >>> owned_value(header, 0x0043, "GEMS_PARM_01", 0x2C)
        388
    """
    if isinstance(dataset, ScannedHeader):  # a header from the fast scan has no private elements with their creators
        return None
    first, last = group << 16 | _FIRST_BLOCK, group << 16 | _LAST_BLOCK
    for tag in sorted(int(key) for key in dataset.keys() if first <= int(key) <= last):  # noqa: SIM118 iterating reads all
        if str(tag_value(dataset, tag)).strip(" \0").upper() == creator.upper():
            value = tag_value(dataset, group << 16 | (tag & 0xFF) << 8 | element)
            if value is not None:
                return value
    return None


def owned_numbers(dataset: Header, group: int, creator: str, element: int) -> tuple[float, ...]:
    """Returns the finite numbers of a private element; empty if it is absent or holds anything else."""
    value = owned_value(dataset, group, creator, element)
    if isinstance(value, bytes):
        return ()  # bytes: the file does not state the type of the numbers
    values = value if hasattr(value, "append") else (value,)  # pydicom keeps several values in a list of its own
    try:
        found = tuple(float(one) for one in values)
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if all(map(math.isfinite, found)) else ()


def owned_number(dataset: Header, group: int, creator: str, element: int) -> float | None:
    """Returns the first number of a private element; None if it has no numbers."""
    found = owned_numbers(dataset, group, creator, element)
    return found[0] if found else None


def owned_texts(dataset: Header, group: int, creator: str, element: int) -> tuple[str, ...]:
    """Returns the text values of a private element without padding; empty if the element is absent."""
    value = owned_value(dataset, group, creator, element)
    if value is None or isinstance(value, bytes):
        return ()
    values = value if hasattr(value, "append") else (value,)  # pydicom keeps several values in a list of its own
    return tuple(str(one).strip(" \0") for one in values)


def owned_item(dataset: Header, group: int, creator: str, element: int) -> Dataset | None:
    """Returns the first item of a private sequence; None if there is none."""
    value = owned_value(dataset, group, creator, element)
    return value[0] if isinstance(value, Items) and value else None
