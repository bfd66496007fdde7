"""Whether two files of one SOPInstanceUID hold the same instance, or two that share a UID by mistake."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as Items

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
# acquisition, place, pixels, nuclear medicine and PET, Philips' scale, dose, functional groups
_GROUPS = frozenset({0x0018, 0x0020, 0x0028, 0x0054, 0x2005, 0x3004, 0x5200, 0x7FE0})
_FURTHER = frozenset(
    {
        0x00080008,  # ImageType
        0x00080016,  # SOPClassUID
        *(0x00080022, 0x0008002A, 0x00080032),  # AcquisitionDate, AcquisitionDateTime, AcquisitionTime
        *(0x00080023, 0x00080033),  # ContentDate, ContentTime
        *(0x00080060, 0x00080070),  # Modality and Manufacturer: where slopes and intercepts are looked for
        0x00409096,  # RealWorldValueMappingSequence
        *(tag for tag in PRIVATE_TAGS if tag & 0xFFFF > _LAST_CREATOR),
    }
)
# what archives and viewers do change: StudyID, SeriesNumber, counts of members, ImageComments, the window
_CHANGED = frozenset(
    {0x00200010, 0x00200011, *range(0x00201200, 0x0020120A), 0x00204000, 0x00281050, 0x00281051, 0x00281055}
)
_PIXELS = 0x7FE00010


def is_same_instance(first: Path, second: Path) -> bool:
    """Returns whether two files are equal, or have the same pixels at the same place, as copies of archives do.

    Two compressions of one instance do not count as equal: one of them may have lost something. Patients, descriptions
    and windows may differ, which archives correct. A value of the image that one file alone has is a difference.

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
            return _encoding_of(one) == _encoding_of(other) and _is_alike(one, other, _of_image)
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes, and then nothing is certain
        return False


def _encoding_of(dataset: FileDataset) -> tuple[bool, str]:
    """Returns how values are encoded; whether a file names their types, and is deflated, does not change them."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return syntax.is_little_endian, str(syntax) if syntax.is_compressed else ""


def _of_image(tag: BaseTag) -> bool:
    """Whether an element says which pixels lie where, when they were taken, and what they mean."""
    return (tag.group in _GROUPS or tag in _FURTHER) and tag not in _CHANGED


def _is_alike(one: Dataset, other: Dataset, counts: Callable[[BaseTag], bool]) -> bool:
    tags, others = (
        {tag for tag in dataset.keys() if tag.element and counts(tag) and not _is_empty(dataset.get_item(tag))}  # noqa: SIM118 a dataset iterates over its elements
        for dataset in (one, other)
    )
    return tags == others and all(_has_equal(tag, one, other) for tag in tags)


def _is_empty(element: DataElement | RawDataElement) -> bool:
    return element.value is None or (isinstance(element.value, str | bytes | Sequence) and not element.value)


def _has_equal(tag: BaseTag, one: Dataset, other: Dataset) -> bool:
    """Whether two datasets have an element alike, by its bytes if they are: numbers may be NaN, and pixels many."""
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
    """Whether bytes are equal, or are but for the byte that pixels of odd length get at their end."""
    if not is_padded or len(one) == len(other):
        return one == other
    short, long = sorted((one, other), key=len)
    return len(short) % 2 == 1 and len(long) == len(short) + 1 and long[-1] == 0 and long.startswith(short)
