"""Writes an object to a file as pydicom does, but without encoding again the elements that are still raw bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

from pydicom.charset import default_encoding
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import tag_in_exception
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import AMBIGUOUS_VR, EXPLICIT_VR_LENGTH_32, IS, DSdecimal, DSfloat

from dcm_processor_service.derived.attributes.values import written
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from pydicom import Dataset
    from pydicom.dataelem import DataElement
    from pydicom.dataset import FileMetaDataset
    from pydicom.tag import BaseTag

__all__ = ["write_object"]

_PREAMBLE_BYTES = 128
_FIRST_OF_OBJECTS = 0x00030000
_LAST_WITH_GROUP_LENGTH = 6
_MOST_SHORT = 0xFFFF
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset(map(str, EXPLICIT_VR_LENGTH_32))
_BYTES = frozenset({"OB", "OW"})
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UI"})
_ADDED = ("FileMetaInformationVersion", "ImplementationClassUID", "ImplementationVersionName")
_ITEM = b"\xfe\xff\x00\xe0"


def write_object(file: BinaryIO, dataset: Dataset) -> None:
    """Writes the same bytes as ``dataset.save_as(file, enforce_file_format=True)``, for most objects five times faster.

    Args:
        file: File that is open for writing.
        dataset: Any object. Raw elements (:class:`.attributes.encoded.Encoded`) are written unchanged, and texts are
            encoded here. pydicom encodes the other elements, and writes the whole object if its encoding is not
            Explicit VR Little Endian. An element that may have one of several VRs gets the VR that other elements of
            the object decide; pydicom alone would refuse it in an object that is still in the encoding of its file.

    Raises:
        DerivedObjectError: An element may have one of several VRs, and no other element decides which.
    """
    with contained():
        if not _keeps_bytes(dataset):
            dataset.save_as(file, enforce_file_format=True)
            return
        if "PixelData" in dataset:
            dataset["PixelData"].is_undefined_length = False  # code that decompresses pixels itself may leave it True
        file.write(dataset.preamble + b"DICM")
        file.write(_meta(dataset.file_meta))
        file.writelines(_elements(dataset))


def _keeps_bytes(dataset: Dataset) -> bool:
    """Returns whether raw elements have the file's encoding, and pydicom would add nothing to the file's header."""
    meta = getattr(dataset, "file_meta", None)
    return (
        meta is not None
        and all(keyword in meta for keyword in _ADDED)
        and text(meta, "TransferSyntaxUID") == ExplicitVRLittleEndian
        and dataset.original_encoding == (False, True)
        and dataset.is_original_encoding
        and len(getattr(dataset, "preamble", None) or b"") == _PREAMBLE_BYTES
        and all(
            "" != text(dataset, keyword) == text(meta, f"MediaStorage{keyword}")
            for keyword in ("SOPClassUID", "SOPInstanceUID")
        )
        and min(dataset.keys()) >= _FIRST_OF_OBJECTS
    )


def _meta(meta: FileMetaDataset) -> bytes:
    tags = sorted((tag for tag in meta.keys() if tag.element), key=int)  # noqa: SIM118 the data set itself yields elements, not tags
    content = b"".join(part for tag in tags for part in _written(meta, tag))
    return struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(content)) + content


def _elements(dataset: Dataset) -> Iterator[bytes]:
    for tag in sorted(dataset.keys(), key=int):  # integers are compared faster than tags, whose comparison is in Python
        if tag.element or tag.group <= _LAST_WITH_GROUP_LENGTH:  # group lengths are retired (PS3.5, section 7.2)
            yield from _written(dataset, tag)


def _written(dataset: Dataset, tag: BaseTag) -> tuple[bytes, ...]:
    element: DataElement | RawDataElement = dataset.get_item(tag)
    content = _content(element)
    if content is not None:
        return _head(tag, str(element.VR), len(content)), content
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    if element.VR in AMBIGUOUS_VR:
        element = _of_one_type(element, dataset)
    with tag_in_exception(tag):
        write_data_element(file, element, dataset.get("SpecificCharacterSet", default_encoding))
    return (file.getvalue(),)


def _of_one_type(element: DataElement | RawDataElement, dataset: Dataset) -> DataElement | RawDataElement:
    """Returns an element of the type that the dataset decides, such as US or SS by PixelRepresentation."""
    try:
        found = correct_ambiguous_vr_element(element, dataset, is_little_endian=True)
    except Exception:  # noqa: BLE001 without the deciding attribute pydicom raises errors of any type
        found = element
    if found.VR in AMBIGUOUS_VR:
        raise DerivedObjectError(
            f"{element.tag} {keyword_for_tag(element.tag)} may be {element.VR}, and the object does not decide it: set "
            "its VR, or the attributes that its type depends on"
        )
    return found


def _head(tag: int, vr: str, length: int) -> bytes:
    if vr in _LONG:
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def _content(element: DataElement | RawDataElement) -> bytes | None:
    """Returns the bytes of an element; None if pydicom must encode it."""
    vr, value = str(element.VR), cast("Any", element.value)
    if isinstance(element, RawDataElement):
        is_spelt = element.length != _UNDEFINED and not element.is_implicit_VR and element.is_little_endian
        content = value if is_spelt and len(vr) == 2 else None  # noqa: PLR2004 letters
    elif element.is_undefined_length:
        content = None
    elif vr == "SQ":
        content = _items(value)
    elif vr in _TEXTS:
        content = _plain(value, b"\0" if vr == "UI" else b" ")
    else:
        content = value if vr in _BYTES and isinstance(value, bytes) and len(value) % 2 == 0 else None
    return content if content is not None and (vr in _LONG or len(content) <= _MOST_SHORT) else None


def _plain(value: object, padding: bytes) -> bytes | None:
    """Returns the bytes of text, or of numbers as text, in ASCII; None if the value is not ASCII, or not text."""
    parts = value if isinstance(value, MultiValue) else () if value is None else (value,)
    if not all(isinstance(part, str | DSfloat | DSdecimal | IS) for part in parts):
        return None
    spelt = "\\".join(map(written, parts))
    return spelt.encode() + padding * (len(spelt) % 2) if spelt.isascii() else None


def _items(items: Iterable[Dataset]) -> bytes | None:
    """Returns the bytes of a sequence's items; None if pydicom must encode one of their elements."""
    found = []
    for item in items:
        if getattr(item, "is_undefined_length_sequence_item", False):
            return None
        body: list[bytes] = []
        for tag in sorted(item.keys(), key=int):
            element = item.get_item(tag)
            content = None if element.is_raw else _content(element)
            if content is None:
                return None
            body += _head(tag, str(element.VR), len(content)), content
        found += [_ITEM, struct.pack("<I", sum(map(len, body))), *body]
    return b"".join(found)
