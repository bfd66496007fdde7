"""The Modality LUT Sequence (0028,3000): a table from stored values to real ones (PS3.3, section C.11.1).

The table takes the place of slope and intercept: a header has either the table or these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset

from dcm_processor_service.imaging.headers.values import integer, items

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["ModalityLut", "modality_lut"]

_MOST_ENTRIES = 1 << 16
_DEPTHS = range(8, 17)


@dataclass(frozen=True, eq=False)
class ModalityLut:
    """A table from stored values to real ones; files with equal tables share one object."""

    first: int
    """The stored value to which the first entry belongs. Lower values get the first entry, values beyond the table get
    the last one."""

    entries: NDArray[np.uint16]

    def apply(self, stored: NDArray[Any]) -> NDArray[np.uint16]:
        """Returns the entry for each stored value, in an array of the same shape.

        Example:
            >>> table = ModalityLut(-1, np.array([7, 8, 9], np.uint16))
            >>> table.apply(np.array([-5, -1, 0, 1, 2], np.int16)).tolist()
            [7, 7, 8, 9, 9]
        """
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        mapped: NDArray[np.uint16] = self.entries[index]
        return mapped


def modality_lut(header: Header) -> ModalityLut | None:
    """Returns the table of a header; None if there is none that can be read."""
    found = items(header, "ModalityLUTSequence")
    if len(found) != 1 or not isinstance(header, Dataset):
        return None
    try:
        size, first, depth = (int(value) & 0xFFFF for value in found[0].LUTDescriptor)
        content = _words(found[0], is_little=header.original_encoding[1] is not False)
    except Exception:  # noqa: BLE001 pydicom raises whatever the malformed value provokes
        return None
    if integer(header, "PixelRepresentation") == 1 and first >= _MOST_ENTRIES // 2:
        first -= _MOST_ENTRIES  # if pixels are signed, the first value is signed too, even if its VR is US
    return _table(size or _MOST_ENTRIES, first, depth, content)


def _words(table: Dataset, *, is_little: bool) -> bytes:
    """Returns the table's content as little endian words; LUTData (0028,3006) is of type US or OW."""
    value = table["LUTData"].value
    if isinstance(value, bytes):
        return value if is_little else np.frombuffer(value, ">u2").astype("<u2").tobytes()
    return np.array(value, dtype="<u2", ndmin=1).tobytes()


@lru_cache(maxsize=64)
def _table(size: int, first: int, depth: int, content: bytes) -> ModalityLut | None:
    if depth not in _DEPTHS:
        return None
    if len(content) == 2 * size:  # some writers store even entries of 8 bits in 16 bits each
        entries = np.frombuffer(content, "<u2")
    elif depth == _DEPTHS[0] and len(content) == size + size % 2:
        entries = np.frombuffer(content, np.uint8)[:size]
    else:
        return None
    if entries.max() >= 1 << depth:
        return None  # some writers state a wrong number of bits, others leave something in the spare ones
    return ModalityLut(first, entries.astype(np.uint16))
