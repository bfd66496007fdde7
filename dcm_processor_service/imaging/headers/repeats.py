"""Whether two files of one SOPInstanceUID hold the same instance, or two that share a UID by mistake."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING, Any

from pydicom import Dataset

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.instance_file import read_dataset

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_same_instance"]

# what archives change: whose it is, who asked for it, when it came, how it is stored
_OF_ARCHIVES = frozenset(
    {0x0002, 0x0004, 0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040, 0x0088, 0x0100, 0x2050, 0xFFFA, 0xFFFC}
)
_SERIES_NUMBER = 0x00200011
_REAL_WORLD = 0x00409096
_CONTENT = range(0x0040A000, 0x0040E000)  # of reports


def is_same_instance(first: Path, second: Path) -> bool:
    """Returns whether two files are equal, or have the same content at the same place, as copies of archives do.

    The content is what they show or say: pixels and how they are to be read, segments, structures, text. Names, dates
    and requests may differ, which archives correct, and private elements, which they leave out.

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
            return len(syntaxes) == 1 and _content_of(one) == _content_of(other)
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes, and then nothing is certain
        return False


def _content_of(dataset: Dataset) -> dict[str, Any]:
    """Returns the elements that say what it shows, and where that lies."""
    found = Dataset()
    for tag in dataset.keys():  # noqa: SIM118 a dataset iterates over its elements
        is_kept = tag.group not in _OF_ARCHIVES or tag == _REAL_WORLD or tag in _CONTENT
        if is_kept and not tag.is_private and tag != _SERIES_NUMBER:
            found[tag] = dataset[tag]
    return found.to_json_dict()
