"""Reads all short public elements of a file's header as bytes, to compare them with those of another file."""

from __future__ import annotations

from functools import lru_cache
from struct import error as struct_error
from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import open_regular
from dcm_processor_service.imaging.headers.raw_elements import (
    UNDEFINED,
    VR_NAMES,
    NeedsPydicomError,
    after_undefined,
    read_element,
    transfer_syntax,
)
from dcm_processor_service.imaging.headers.values import ScannedHeader

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

__all__ = ["short_elements", "short_elements_of"]

_LONGEST_BYTES = 64
_CHUNK_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 22
_PIXELS = 0x7FE0
_TIMES = frozenset({"DT", "TM"})
_SEQUENCES = frozenset({"SQ", "UN"})


def short_elements(instance: InstanceFile) -> dict[int, bytes]:
    """Returns the values of short public elements by tag, without padding; times and sequences are left out.

    The result is empty if the file cannot be read as raw bytes, for example because it is big endian.
    """
    if instance.short_elements is not None:
        return dict(instance.short_elements)
    header = instance.header
    if not isinstance(header, ScannedHeader):
        tags = [tag for tag in header.keys() if tag.element and not tag.is_private]  # noqa: SIM118 values are slow
        raw: list[object] = [header.get_item(tag) for tag in tags]
        return {
            int(one.tag): one.value.strip(b" \0")
            for one in raw
            if isinstance(one, RawDataElement)
            and isinstance(one.value, bytes)
            and len(one.value) <= _LONGEST_BYTES
            and one.VR not in _TIMES | _SEQUENCES
        }
    if not instance.is_there:
        return {}
    try:
        return _read(instance.path)
    except (NeedsPydicomError, InvalidSeriesError, OSError, IndexError, ValueError, struct_error):
        return {}


def short_elements_of(head: bytes) -> dict[int, bytes]:
    """Does the same as :func:`short_elements`, but from the first bytes of a file.

    The result is empty if the header is longer than these bytes.
    """
    try:
        return _walk(head)
    except (NeedsPydicomError, IndexError, ValueError, struct_error):
        return {}


def _read(path: Path) -> dict[int, bytes]:
    with open_regular(path, buffering=0) as file:
        buffer = file.read(_CHUNK_BYTES)
        while True:
            try:
                return _walk(buffer)
            except (struct_error, IndexError):
                more = file.read(len(buffer) * 4) if len(buffer) < _MOST_HEADER_BYTES else b""
                if not more:
                    raise
                buffer += more


def _walk(buffer: bytes) -> dict[int, bytes]:
    syntax, position = transfer_syntax(buffer)
    if syntax in {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian} or syntax.is_private:
        raise NeedsPydicomError
    implicit = syntax == ImplicitVRLittleEndian
    found: dict[int, bytes] = {}
    while True:
        tag, vr, length, value = read_element(buffer, position, implicit)
        group = tag >> 16
        if group >= _PIXELS:
            return found
        position = after_undefined(buffer, value, implicit) if length == UNDEFINED else value + length
        if group % 2 or length > _LONGEST_BYTES or not tag & 0xFFFF or _is_left_out(tag, vr):
            continue
        found[tag] = buffer[value:position].strip(b" \0")


def _is_left_out(tag: int, vr: bytes) -> bool:
    """Returns whether an element is a time or a sequence; without a VR in the file, the dictionary says so."""
    name = VR_NAMES[vr] if vr else _vr_of(tag)
    return name in _TIMES or name in _SEQUENCES


@lru_cache(maxsize=1024)
def _vr_of(tag: int) -> str:
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
