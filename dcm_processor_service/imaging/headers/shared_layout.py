"""Learns the layout that the headers of a series share, so that equal parts are compared at once and not parsed again.

The files of a series hold the same elements in the same order, most of them with the same values. So a layout divides a
header into blocks of bytes that were the same in all files so far, and the few elements between the blocks whose values
differ. If a new file has the same blocks, and elements with the same tags and VRs between them, it has all elements of
the file that was parsed, because each element begins where the previous one ends. Any other file is parsed element by
element, and the layout learns from it.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.imaging.headers.raw_elements import (
    FIRST_ELEMENT,
    SHORT_VRS,
    UNDEFINED,
    after_undefined,
    read_element,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeaderLayout", "Value"]

_TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"
_MOST_MISSES = 8
_HITS_PER_MISS = 4

_short_length = Struct("<H").unpack_from
_long_length = Struct("<I").unpack_from


class Value(NamedTuple):
    """The value, in one file, of an element whose values differ between files."""

    tag: int
    vr: bytes
    content: bytes
    length: int


class _Element(NamedTuple):
    tag: int
    head: bytes
    """Tag and VR as bytes of the file."""

    vr: bytes
    is_undefined: bool
    start: int
    end: int


class HeaderLayout:
    """The parts of a header that all files of one series have had in common so far; for explicit transfer syntaxes."""

    def __init__(self) -> None:
        self._steps: list[tuple[bytes, _Element | None]] = []
        self._elements: list[_Element] = []
        self._buffer = b""
        self._differing: set[int] = set()
        self._hits = self._misses = 0

    @property
    def is_of_use(self) -> bool:
        """Whether the layout has matched files so often that it is worth trying on the next one."""
        return self._misses <= _MOST_MISSES + self._hits // _HITS_PER_MISS

    def differing_tags(self) -> frozenset[int]:
        """Returns the tags of the elements whose values differ."""
        return frozenset(self._elements[index].tag for index in self._differing)

    def match(self, buffer: bytes, is_wanted: Callable[[int], object]) -> tuple[list[Value], int] | None:
        """Compares a header with the layout.

        Returns the wanted ones among the values that differ between files, and the position of the pixel data's value;
        None if the header has another layout.

        Raises:
            struct.error: The buffer ends.
        """
        if not self._steps:
            return None
        position = FIRST_ELEMENT
        values = []
        for block, element in self._steps:
            if not buffer.startswith(block, position):
                return None
            position += len(block)
            if element is None:
                continue
            if not buffer.startswith(element.head, position):
                return None
            if element.vr in SHORT_VRS:
                (length,) = _short_length(buffer, position + 6)
                value = position + 8
            else:
                (length,) = _long_length(buffer, position + 8)
                value = position + 12
                if (length == UNDEFINED) != element.is_undefined:
                    return None
                if element.is_undefined:
                    position = after_undefined(buffer, value, False)
                    continue
            position = value + length
            if length and is_wanted(element.tag) is not None:
                values.append(Value(element.tag, element.vr, buffer[value:position], length))
        self._hits += 1
        return values, position

    def learn(self, buffer: bytes, pixels_start: int, pixels_value: int) -> None:
        """Learns from a header that was parsed.

        Args:
            buffer: First bytes of the file.
            pixels_start: Position at which the pixel data element begins.
            pixels_value: Position at which its value begins.
        """
        self._misses += 1
        elements = _split(buffer, pixels_start)
        if [one.head for one in elements] == [one.head for one in self._elements]:
            self._differing |= {
                index
                for index, (new, old) in enumerate(zip(elements, self._elements, strict=True))
                if buffer[new.start : new.end] != self._buffer[old.start : old.end]
            }
        else:
            self._differing = set()
        if any(elements[index].head == _TRANSFER_SYNTAX for index in self._differing):
            self._differing = set()  # begins again, because the transfer syntax says how to read all other elements
        self._buffer, self._elements = buffer[:pixels_value], elements
        self._steps = []
        begin = FIRST_ELEMENT
        for index in sorted(self._differing):
            self._steps.append((buffer[begin : elements[index].start], elements[index]))
            begin = elements[index].end
        self._steps.append((buffer[begin:pixels_value], None))


def _split(buffer: bytes, end: int) -> list[_Element]:
    elements = []
    position = FIRST_ELEMENT
    while position < end:
        start = position
        tag, vr, length, value = read_element(buffer, position, False)
        is_undefined = length == UNDEFINED
        position = after_undefined(buffer, value, False) if is_undefined else value + length
        elements.append(_Element(tag, buffer[start : start + 6], vr, is_undefined, start, position))
    return elements
