"""Tells whether two files with one SOPInstanceUID hold the same instance, or two that share a UID by mistake."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.instance_file import read_dataset

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_same_instance"]

# groups that archives do not change: acquisition, place, pixels, nuclear medicine and PET, dose, functional groups
_GROUPS = frozenset({0x0018, 0x0020, 0x0028, 0x0054, 0x3004, 0x5200, 0x7FE0})
_SERIES_NUMBER = 0x00200011


def is_same_instance(first: Path, second: Path) -> bool:
    """Returns whether two files are equal, or have the same pixels at the same place, as copies of archives do.

    Two encodings of one instance do not count as equal: one of them may have lost something.

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
            syntaxes = {str(dataset.file_meta.get("TransferSyntaxUID", "")) for dataset in (one, other)}
            return len(syntaxes) == 1 and _image_of(one).to_json_dict() == _image_of(other).to_json_dict()
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes, and then nothing is certain
        return False


def _image_of(dataset: Dataset) -> Dataset:
    """Returns the elements that describe the pixels and their place."""
    found = Dataset()
    for tag in dataset.keys():  # noqa: SIM118 a dataset iterates over its elements
        if tag.group in _GROUPS and tag != _SERIES_NUMBER:
            found[tag] = dataset[tag]
    return found
