"""Reads header values as plain numbers and text, tolerant of the errors in real headers.

Empty or malformed values count as absent, and padding is removed. No function raises an error because of a value, so no
value enters an error message. The values come from a pydicom dataset or from a :class:`ScannedHeader`. Reading the
latter takes a tenth of the time, because the slices of a series have most values in common, and their scanned headers
share these.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as Items

from dcm_processor_service.imaging.headers.character_sets import LOCAL_TEXTS, decoded, without_designations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydicom import Dataset

__all__ = [
    "BINARY_FORMATS",
    "Header",
    "ScannedElement",
    "ScannedHeader",
    "in_groups",
    "integer",
    "is_malformed",
    "item",
    "items",
    "number",
    "numbers",
    "tag_value",
    "text",
    "texts",
]


class _Unparsed(Enum):
    """The type of a marker for numbers that were not parsed yet."""

    VALUE = auto()


_UNPARSED = _Unparsed.VALUE


class ScannedElement:
    """One element's value as bytes of the file, parsed once for all headers that share it."""

    __slots__ = ("_numbers", "_texts", "content", "vr")

    vr: str
    """The value's VR; empty for a private element of an implicit transfer syntax."""

    content: bytes
    """The value, little endian."""

    def __init__(self, vr: str, content: bytes) -> None:
        self.vr = vr
        self.content = content
        self._numbers: tuple[float, ...] | _Unparsed | None = _UNPARSED
        self._texts: dict[bytes, tuple[str, ...]] = {}

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The numbers of the value; None if it has none, or anything but finite numbers."""
        if self._numbers is _UNPARSED:
            self._numbers = _parsed_numbers(self.vr, self.content)
        return self._numbers

    def texts(self, character_set: bytes = b"") -> tuple[str, ...]:
        """Returns the text values without padding.

        Args:
            character_set: SpecificCharacterSet (0008,0005) of the header, as bytes of the file.
        """
        known = self._texts.get(character_set)
        if known is None:
            known = self._texts[character_set] = _parsed_texts(self.vr, self.content, character_set)
        return known


class ScannedHeader:
    """Some elements of a header, by keyword; private elements are there by tag."""

    __slots__ = ("elements",)

    elements: dict[str | int, ScannedElement]

    def __init__(self, elements: dict[str | int, ScannedElement]) -> None:
        self.elements = elements

    @classmethod
    def of(cls, keywords: Iterable[str], elements: Iterable[ScannedElement | None]) -> ScannedHeader:
        """Makes a header from the elements that :meth:`shared` has returned for these keywords."""
        return cls({key: one for key, one in zip(keywords, elements, strict=True) if one is not None})

    def __contains__(self, keyword: str | int) -> bool:
        return keyword in self.elements

    def shared(self, keywords: Iterable[str | int]) -> tuple[ScannedElement | None, ...]:
        """Returns the elements of these keywords; if two headers return the same objects, their values are equal."""
        return tuple(map(self.elements.get, keywords))

    def numbers(self, keyword: str) -> tuple[float, ...] | None:
        """Returns the numbers of an element; None if it is absent, or holds anything but finite numbers."""
        element = self.elements.get(keyword)
        return None if element is None else element.numbers

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Returns the text values of an element without padding."""
        element = self.elements.get(keyword)
        if element is None:
            return ()
        character_set = self.elements.get("SpecificCharacterSet")
        return element.texts(b"" if character_set is None else character_set.content)


Header: TypeAlias = "Dataset | ScannedHeader"

_TAGS: dict[str, int] = {}
_ONE_TEXT = frozenset({"LT", "ST", "UT"})  # VRs with a single value, in which a backslash does not separate values
BINARY_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
"""Formats of :mod:`struct` for binary numbers, by VR."""


def _tag(keyword: str) -> int:
    tag = _TAGS.get(keyword)
    if tag is None:
        found = tag_for_keyword(keyword)
        if found is None:
            raise KeyError(keyword)
        tag = _TAGS[keyword] = found
    return tag


def _parsed_texts(vr: str, content: bytes, character_set: bytes) -> tuple[str, ...]:
    plain = decoded(vr, content, character_set).strip(" \0")
    values = [plain] if vr in _ONE_TEXT else plain.split("\\")
    # "=" at the end of a person's name precedes only empty groups (PS3.5, section 6.2.1)
    padding = " \0=" if vr == "PN" else " \0"
    return tuple(part.lstrip(" \0").rstrip(padding) for part in values) if plain else ()


@lru_cache(maxsize=4096)
def _parsed_numbers(vr: str, content: bytes) -> tuple[float, ...] | None:
    """Parses numbers that are little endian binary or text; None if one of them is malformed or not finite."""
    try:
        form = BINARY_FORMATS.get(vr)
        if vr == "AT":
            values = tuple(float(group << 16 | element) for group, element in struct.iter_unpack("<HH", content))
        elif form is not None:
            size = struct.calcsize(form)
            values = tuple(float(one) for one in struct.unpack(f"<{len(content) // size}{form}", content))
        else:
            values = tuple(_float(part) for part in content.decode("latin-1").strip(" \0").split("\\"))
    except (ValueError, struct.error):
        return None
    return values if values and all(map(math.isfinite, values)) else None


def _float(number: object) -> float:
    """Returns a number of a header; raises ValueError for what Python takes for a number and DICOM does not."""
    if isinstance(number, str) and "_" in number:
        raise ValueError
    return float(number)  # type: ignore[arg-type]


def _parsed(read: Callable[[], Any]) -> Any:
    """Returns the result of reading from a dataset; None if the reading raises an exception."""
    try:
        return read()
    except Exception:  # noqa: BLE001 pydicom raises whatever the malformed value provokes; malformed counts as absent
        return None


def _value(dataset: Dataset, tag: int) -> Any:
    """Returns the value of an element; None if it is absent or cannot be parsed."""
    return _parsed(lambda: dataset[tag].value) if tag in dataset else None


def numbers(header: Header, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """Returns the numbers of an element; None if it is absent or malformed, or if there are not ``count`` numbers.

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
    raw: object = _parsed(lambda: dataset.get_item(_tag(keyword)))
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):  # parses the bytes, faster than pydicom
        is_text, is_binary = raw.VR in {"DS", "IS"}, raw.VR in BINARY_FORMATS and raw.is_little_endian
        if is_text or is_binary:
            return _parsed_numbers(str(raw.VR), raw.value)
    value = _value(dataset, _tag(keyword))
    if value is None or value == "" or isinstance(value, bytes):  # bytes: the file does not state the type
        return None
    if isinstance(value, str | int | float):
        value = (value,)
    try:
        result = tuple(_float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if result and all(map(math.isfinite, result)) else None


def is_malformed(header: Header, keyword: str) -> bool:
    """Returns whether an element has a value that should be numbers, but is not.

    Example:
        >>> header = ScannedHeader(
        ...     {"RescaleSlope": ScannedElement("DS", b"0,5 "), "Rows": ScannedElement("US", bytes(2))}
        ... )
        >>> is_malformed(header, "RescaleSlope"), is_malformed(header, "Rows"), is_malformed(header, "Columns")
        (True, False, False)
    """
    if keyword not in header or numbers(header, keyword) is not None:
        return False
    if isinstance(header, ScannedHeader):
        return bool(header.texts(keyword))
    value = _parsed(lambda: header.get_item(_tag(keyword)).value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return bool(value.strip(" \0")) if isinstance(value, str) else value is not None


def number(header: Header, keyword: str) -> float | None:
    """Returns the first number of an element; None if it is absent or malformed."""
    values = numbers(header, keyword)
    return values[0] if values else None


def integer(header: Header, keyword: str) -> int | None:
    """Returns the first number of an element if that is a whole number; None otherwise."""
    values = numbers(header, keyword)
    return int(values[0]) if values and values[0] == int(values[0]) else None


def texts(header: Header, keyword: str) -> tuple[str, ...]:
    """Returns the text values of an element without padding; empty if it is absent."""
    if isinstance(header, ScannedHeader):
        return header.texts(keyword)
    raw: object = _parsed(lambda: header.get_item(_tag(keyword)))
    if isinstance(raw, RawDataElement) and raw.VR in {"CS", "UI"} and isinstance(raw.value, bytes):
        return _parsed_texts(str(raw.VR), raw.value, b"")  # parses the bytes, faster than pydicom
    if isinstance(raw, RawDataElement) and raw.VR in LOCAL_TEXTS and isinstance(raw.value, bytes):
        character_set = _value(header, _tag("SpecificCharacterSet"))
        if character_set:  # pydicom would split the bytes at each backslash, which may be a part of a character
            terms = (character_set,) if isinstance(character_set, str) else tuple(map(str, character_set))
            return _parsed_texts(str(raw.VR), raw.value, "\\".join(terms).encode("latin-1", "replace"))
    value = _value(header, _tag(keyword))
    if value is None or value == "":
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):  # one value, not several
        value = (value,)
    return tuple(without_designations(str(part)).strip(" \0") for part in value)


def text(header: Header, keyword: str) -> str:
    """Returns the first text value of an element; empty if it is absent."""
    values = texts(header, keyword)
    return values[0] if values else ""


def items(header: Header, keyword: str) -> tuple[Dataset, ...]:
    """Returns the items of a sequence; an empty tuple if it is absent."""
    if isinstance(header, ScannedHeader):
        return ()
    value = _value(header, _tag(keyword))
    return tuple(value) if isinstance(value, Items) else ()


def item(header: Header, keyword: str) -> Dataset | None:
    """Returns the first item of a sequence; None if there is none."""
    found = items(header, keyword)
    return found[0] if found else None


def in_groups(places: Sequence[Header], macro: str, read: Callable[[Header, str], Any], keyword: str) -> Any:
    """Reads an attribute from the functional groups of a frame, or from the top level if no group has it.

    Args:
        places: The datasets to search, in this order; the last one is the header.
        macro: Keyword of the functional group.
        read: Function that reads the attribute from a dataset; None means that it is absent.
        keyword: Keyword of the attribute.
    """
    for place in places[:-1]:
        group = item(place, macro)
        value = read(group, keyword) if group is not None else None
        if value is not None:
            return value
    return read(places[-1], keyword)


def tag_value(header: Header, tag: int) -> Any:
    """Returns the value of the element with a tag; None if it is absent or malformed.

    Private values of a scanned header, whose type may be unknown, are bytes, except for binary numbers.
    """
    if isinstance(header, ScannedHeader):
        element = header.elements.get(tag)
        if element is None:
            return None
        parsed = element.numbers if element.vr in BINARY_FORMATS else None
        return element.content if parsed is None else parsed[0]
    return _value(header, tag)
