"""Compares two files of one SOPInstanceUID: do they hold the same instance, or two that share a UID by mistake?"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as Items
from pydicom.valuerep import PersonName

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.instance_file import read_dataset
from dcm_processor_service.imaging.headers.private_tags import PRIVATE_TAGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset
    from pydicom.dataelem import DataElement
    from pydicom.dataset import FileDataset
    from pydicom.tag import BaseTag

__all__ = ["is_same_instance"]

_LAST_CREATOR = 0x00FF
# groups in which archives change elements: about patient, request, arrival, storage, original attributes
_OF_ARCHIVES = frozenset(
    {0x0002, 0x0004, 0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040, 0x0088, 0x0100, 0x0400, 0x2050, 0xFFFA, 0xFFFC}
)
# attributes in these groups that archives do not change, as they belong to the content
_NOT_OF_ARCHIVES = frozenset(
    {
        0x00080008,  # ImageType
        0x00080016,  # SOPClassUID
        *(0x00080022, 0x0008002A, 0x00080032),  # AcquisitionDate, AcquisitionDateTime, AcquisitionTime
        *(0x00080023, 0x00080033),  # ContentDate, ContentTime
        *(0x00080060, 0x00080070),  # Modality and Manufacturer, which say where to look for slope and intercept
        0x00409096,  # RealWorldValueMappingSequence
    }
)
_OF_REPORTS = range(0x0040A000, 0x0040E000)
_OF_PHILIPS = 0x2005
"""The private group in which Philips states the scale of values."""
_PRIVATE = frozenset(tag for tag in PRIVATE_TAGS if tag & 0xFFFF > _LAST_CREATOR)
# attributes in other groups that archives and viewers change: StudyID, SeriesNumber, counts, ImageComments, the window
_CHANGED = frozenset(
    {0x00200010, 0x00200011, *range(0x00201200, 0x0020120A), 0x00204000, 0x00281050, 0x00281051, 0x00281055}
)
_PIXELS = 0x7FE00010


def is_same_instance(first: Path, second: Path) -> bool:
    """Returns whether two files are equal, or have the same content, as copies from an archive do.

    The content is what an instance shows or says: pixels and their meaning, their place and time, segments, structures,
    text. Patients, requests, descriptions and windows may differ, because archives correct them. A value of the content
    that only one file has is a difference. Copies with different compression count as different, because one of them
    may have lost something.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> path = Path(get_testdata_file("CT_small.dcm"))
        >>> is_same_instance(path, path)
        True
    """
    try:
        if filecmp.cmp(first, second, shallow=False):
            return True
        with contained():
            one, other = read_dataset(first), read_dataset(second)
            return _encoding_of(one) == _encoding_of(other) and _is_alike(one, other, _is_of_content)
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes, and then nothing is certain
        return False


def _encoding_of(dataset: FileDataset) -> tuple[bool, str]:
    """Returns whether values are little endian, and the compression of pixels.

    Deflation and implicit VRs do not count, because they change no value.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    return syntax.is_little_endian, str(syntax) if syntax.is_compressed else ""


def _is_of_content(tag: BaseTag) -> bool:
    """Returns whether an element belongs to the content: what the instance shows or says, its place, and its time."""
    if tag.is_private:
        return tag.group == _OF_PHILIPS or tag in _PRIVATE
    if tag in _CHANGED:
        return False
    return (
        tag.group not in _OF_ARCHIVES or tag in _NOT_OF_ARCHIVES or int(tag) in _OF_REPORTS
    )  # int(tag): Python finds an int in a range at once, but compares a tag with each number of it


def _is_alike(one: Dataset, other: Dataset, counts: Callable[[BaseTag], bool]) -> bool:
    tags, others = (
        {tag for tag in dataset.keys() if tag.element and counts(tag) and not _is_empty(dataset.get_item(tag))}  # noqa: SIM118 a dataset iterates over its elements
        for dataset in (one, other)
    )
    return tags == others and all(_has_equal(tag, one, other) for tag in tags)


def _is_empty(element: DataElement | RawDataElement) -> bool:
    value = element.value
    return value is None or (isinstance(value, str | bytes | PersonName | Sequence) and not value)


def _has_equal(tag: BaseTag, one: Dataset, other: Dataset) -> bool:
    """Returns whether two datasets have the same value of an element.

    Bytes are compared first: that is fast for pixels, and NaN would not equal itself as a number.
    """
    raw = one.get_item(tag), other.get_item(tag)
    if all(isinstance(each, RawDataElement) for each in raw):
        types = {str(each.VR) for each in raw} - {"None", "UN"}
        if len(types) <= 1 and _is_equal_padded(raw[0].value, raw[1].value, is_padded=tag == _PIXELS):
            return True
    value, another = one[tag].value, other[tag].value
    if isinstance(value, Items) and isinstance(another, Items):
        pairs = zip(value, another, strict=False)
        return len(value) == len(another) and all(_is_alike(*pair, lambda _tag: True) for pair in pairs)
    return bool(value == another)


def _is_equal_padded(one: bytes, other: bytes, *, is_padded: bool) -> bool:
    """Returns whether values are equal, apart from the zero at the end that pads pixels of odd length."""
    if not is_padded or len(one) == len(other):
        return one == other
    short, long = sorted((one, other), key=len)
    return len(short) % 2 == 1 and len(long) == len(short) + 1 and long[-1] == 0 and long.startswith(short)
