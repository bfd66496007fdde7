"""Header values as plain numbers and text, tolerant of what real headers hold.

Empty, repeated, padded or malformed values count as absent: a report says what is missing, and no value ever enters an
error message. Reads the raw bytes where pydicom has not parsed them yet, which is several times as fast as building a
validated value for each of a thousand slices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["integer", "item", "items", "number", "numbers", "text", "texts"]

_TAGS: dict[str, int] = {}
_TEXT_NUMBER_VRS = frozenset({"DS", "IS"})
_TEXT_VRS = frozenset({"CS", "UI", "TM", "DT"})


def _tag(keyword: str) -> int:
    tag = _TAGS.get(keyword)
    if tag is None:
        found = tag_for_keyword(keyword)
        if found is None:
            raise KeyError(keyword)
        tag = _TAGS[keyword] = found
    return tag


def _value(dataset: Dataset, keyword: str) -> Any:
    """The value of an element, or None when it is absent or cannot be parsed."""
    tag = _tag(keyword)
    if tag not in dataset:
        return None
    try:
        return dataset[tag].value
    except Exception:  # noqa: BLE001 pydicom raises whatever the malformed value provokes; malformed counts as absent
        return None


def _raw_text(dataset: Dataset, keyword: str, vrs: frozenset[str]) -> str | None:
    """The undecoded text of an element that pydicom has not parsed yet, for text VRs of the default repertoire."""
    raw: object = dataset.get_item(_tag(keyword))
    if isinstance(raw, RawDataElement) and raw.VR in vrs and isinstance(raw.value, bytes):
        return raw.value.decode("latin-1").strip(" \0")
    return None


def _raw_integer(dataset: Dataset, keyword: str) -> int | None:
    """A single unsigned 16-bit number that pydicom has not parsed yet: rows, columns, bits."""
    raw: object = dataset.get_item(_tag(keyword))
    if isinstance(raw, RawDataElement) and raw.VR == "US" and isinstance(raw.value, bytes) and len(raw.value) == 2:  # noqa: PLR2004 bytes
        return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
    return None


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """Gives the finite numbers of an element; None when absent, malformed, or not ``count`` of them.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PixelSpacing = [0.5, 0.7]
        >>> numbers(header, "PixelSpacing", count=2)
        (0.5, 0.7)
    """
    plain = _raw_integer(dataset, keyword)
    if plain is not None:
        return (float(plain),) if count in {None, 1} else None
    raw = _raw_text(dataset, keyword, _TEXT_NUMBER_VRS)
    value = raw.split("\\") if raw is not None else _value(dataset, keyword)
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        value = (value,)
    try:
        result = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    if not result or not all(map(math.isfinite, result)) or (count is not None and len(result) != count):
        return None
    return result


def number(dataset: Dataset, keyword: str) -> float | None:
    """Gives the first number of an element, or None."""
    values = numbers(dataset, keyword)
    return values[0] if values else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """Gives the first number of an element when it is whole, or None."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Gives the text values of an element without padding; empty when absent."""
    raw = _raw_text(dataset, keyword, _TEXT_VRS)
    value = raw.split("\\") if raw is not None else _value(dataset, keyword)
    if value is None or value == "":
        return ()
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        value = (value,)
    return tuple(str(part).strip(" \0") for part in value)


def text(dataset: Dataset, keyword: str) -> str:
    """Gives the first text value of an element; empty when absent."""
    values = texts(dataset, keyword)
    return values[0] if values else ""


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Gives the items of a sequence; none when absent."""
    value = _value(dataset, keyword)
    return tuple(value) if value is not None and not isinstance(value, str | bytes) else ()


def item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Gives the first item of a sequence, or None."""
    found = items(dataset, keyword)
    return found[0] if found else None
