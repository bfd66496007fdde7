"""Header values as plain numbers and text, tolerant of what real headers hold.

Empty, repeated, padded or malformed values count as absent: a report says what is missing, and no value ever enters an
error message. Values come from a pydicom dataset or from a :class:`ScannedHeader`, which costs a tenth of one and is
what a series of a thousand slices is inspected from.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Header", "ScannedHeader", "integer", "item", "items", "number", "numbers", "private_value", "text", "texts"]


class ScannedHeader:
    """The undecoded values of some elements of a header, under their keywords; private ones under their tags."""

    __slots__ = ("_numbers", "fields", "is_implicit")

    def __init__(self, fields: dict[str | int, tuple[str, bytes]], *, is_implicit: bool) -> None:
        self.fields = fields
        self.is_implicit = is_implicit
        self._numbers: dict[str, tuple[float, ...] | None] = {}

    def __contains__(self, keyword: str | int) -> bool:
        return keyword in self.fields

    def numbers(self, keyword: str) -> tuple[float, ...] | None:
        """Gives the finite numbers of an element, or None."""
        if keyword not in self._numbers:
            field = self.fields.get(keyword)
            self._numbers[keyword] = None if field is None else _parsed_numbers(self._vr(keyword, field[0]), field[1])
        return self._numbers[keyword]

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Gives the text values of an element without padding."""
        field = self.fields.get(keyword)
        return () if field is None else _parsed_texts(field[1])

    def _vr(self, keyword: str, vr: str) -> str:
        return vr or _dictionary_vr(keyword)


Header: TypeAlias = "Dataset | ScannedHeader"

_TAGS: dict[str, int] = {}
_VRS: dict[str, str] = {}
_BINARY_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


def _tag(keyword: str) -> int:
    tag = _TAGS.get(keyword)
    if tag is None:
        found = tag_for_keyword(keyword)
        if found is None:
            raise KeyError(keyword)
        tag = _TAGS[keyword] = found
    return tag


def _dictionary_vr(keyword: str) -> str:
    vr = _VRS.get(keyword)
    if vr is None:
        vr = _VRS[keyword] = dictionary_VR(_tag(keyword))
    return vr


# the slices of a series repeat most of their values: parsed once, found again by their bytes
@lru_cache(maxsize=4096)
def _parsed_texts(content: bytes) -> tuple[str, ...]:
    plain = content.decode("latin-1").strip(" \0")
    return tuple(part.strip(" \0") for part in plain.split("\\")) if plain else ()


@lru_cache(maxsize=4096)
def _parsed_numbers(vr: str, content: bytes) -> tuple[float, ...] | None:
    """Parses little endian binary or text numbers."""
    try:
        form = _BINARY_FORMATS.get(vr)
        if form is not None:
            size = struct.calcsize(form)
            values = tuple(float(one) for one in struct.unpack(f"<{len(content) // size}{form}", content))
        else:
            values = tuple(float(part) for part in content.decode("latin-1").strip(" \0").split("\\"))
    except (ValueError, struct.error):
        return None
    return values if values and all(map(math.isfinite, values)) else None


def _value(dataset: Dataset, keyword: str) -> Any:
    """The value of an element, or None when it is absent or cannot be parsed."""
    tag = _tag(keyword)
    if tag not in dataset:
        return None
    try:
        return dataset[tag].value
    except Exception:  # noqa: BLE001 pydicom raises whatever the malformed value provokes; malformed counts as absent
        return None


def numbers(header: Header, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """Gives the finite numbers of an element; None when absent, malformed, or not ``count`` of them.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PixelSpacing = [0.5, 0.7]
        >>> numbers(header, "PixelSpacing", count=2)
        (0.5, 0.7)
    """
    values = header.numbers(keyword) if isinstance(header, ScannedHeader) else _dataset_numbers(header, keyword)
    return None if values is None or (count is not None and len(values) != count) else values


def _dataset_numbers(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
    raw: object = dataset.get_item(_tag(keyword))
    if isinstance(raw, RawDataElement) and raw.VR in {"DS", "IS"} and isinstance(raw.value, bytes):
        return _parsed_numbers(raw.VR, raw.value)
    value = _value(dataset, keyword)
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        value = (value,)
    try:
        result = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return result if result and all(map(math.isfinite, result)) else None


def number(header: Header, keyword: str) -> float | None:
    """Gives the first number of an element, or None."""
    values = numbers(header, keyword)
    return values[0] if values else None


def integer(header: Header, keyword: str) -> int | None:
    """Gives the first number of an element when it is whole, or None."""
    value = number(header, keyword)
    return int(value) if value is not None and value == int(value) else None


def texts(header: Header, keyword: str) -> tuple[str, ...]:
    """Gives the text values of an element without padding; empty when absent."""
    if isinstance(header, ScannedHeader):
        return header.texts(keyword)
    value = _value(header, keyword)
    if value is None or value == "":
        return ()
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        value = (value,)
    return tuple(str(part).strip(" \0") for part in value)


def text(header: Header, keyword: str) -> str:
    """Gives the first text value of an element; empty when absent."""
    values = texts(header, keyword)
    return values[0] if values else ""


def items(header: Header, keyword: str) -> tuple[Dataset, ...]:
    """Gives the items of a sequence; none when absent."""
    if isinstance(header, ScannedHeader):
        return ()
    value = _value(header, keyword)
    return tuple(value) if value is not None and not isinstance(value, str | bytes) else ()


def item(header: Header, keyword: str) -> Dataset | None:
    """Gives the first item of a sequence, or None."""
    found = items(header, keyword)
    return found[0] if found else None


def private_value(header: Header, tag: int) -> Any:
    """Gives the value of a private element, undecoded where nothing is known of its type; None when absent."""
    if isinstance(header, ScannedHeader):
        field = header.fields.get(tag)
        if field is None:
            return None
        parsed = _parsed_numbers(field[0], field[1]) if field[0] in _BINARY_FORMATS else None
        return field[1] if parsed is None else parsed[0]
    return header[tag].value if tag in header else None
