"""Whether two files of one SOPInstanceUID hold the same instance, or two that share a UID by mistake."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.instance_file import read_dataset

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_same_instance"]


def is_same_instance(first: Path, second: Path) -> bool:
    """Returns whether two files are equal, or differ in their file meta information alone, as copies of archives do.

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
            return len(syntaxes) == 1 and one.to_json_dict() == other.to_json_dict()
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes, and then nothing is certain
        return False
