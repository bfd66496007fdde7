"""Reads palettes: tables of red, green and blue in which stored values are looked up (PS3.3, section C.7.9).

Tables that contradict each other are not used, nor are tables whose entries may mean dark or bright colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.values import Header, integer, text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["Palette", "is_palette", "palette_of"]

_MOST_ENTRIES = 1 << 16
_BYTE, _WORD = 8, 16
_BRIGHTEST = 255
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of stored values."""

    first: int
    """The stored value to which the first entry belongs. Lower values get the first entry, values beyond the table get
    the last one."""

    entries: NDArray[np.uint8]
    """Shape (entries, 3): red, green and blue."""

    def apply(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Returns the colour of each stored value, on a new last axis.

        Example:
            >>> palette = Palette(1, np.array([[0, 0, 9], [255, 0, 0]], np.uint8))
            >>> palette.apply(np.array([0, 1, 2, 3], np.uint8)).tolist()
            [[0, 0, 9], [0, 0, 9], [255, 0, 0], [255, 0, 0]]
        """
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        colours: NDArray[np.uint8] = self.entries[index]
        return colours


def is_palette(header: Header) -> bool:
    """Returns whether stored values are looked up in tables of colours."""
    return text(header, "PhotometricInterpretation").upper() == "PALETTE COLOR"


def palette_of(header: Dataset) -> Palette | None:
    """Returns the palette of an image; None if it has none, or if its colours are uncertain.

    Only the upper 8 bits of entries of 16 bits are used, as in DCMTK. A palette of 16 bits in which no entry is above
    255 is not used, because some writers mean 8 bits by it and others dark colours. Signed pixels have no palette.
    """
    if integer(header, "PixelRepresentation") != 0 or "AlphaPaletteColorLookupTableData" in header:
        return None
    try:
        with contained():
            described = {
                tuple(int(value) & 0xFFFF for value in header[f"{colour}PaletteColorLookupTableDescriptor"].value)
                for colour in _COLOURS
            }
            [(size, first, depth)] = described
            size = size or _MOST_ENTRIES
            tables = _plain(header, size, depth) if "RedPaletteColorLookupTableData" in header else None
            if "SegmentedRedPaletteColorLookupTableData" in header:
                tables = None if tables is not None else _segmented(header, size, first, depth)
    except Exception:  # noqa: BLE001 pydicom raises whatever the malformed value provokes
        return None
    if tables is None or tables.shape != (size, len(_COLOURS)):
        return None
    if depth == _BYTE:
        return Palette(first, tables.astype(np.uint8)) if tables.max() <= _BRIGHTEST else None
    return Palette(first, (tables >> _BYTE).astype(np.uint8)) if tables.max() > _BRIGHTEST else None


def _plain(header: Dataset, size: int, depth: int) -> NDArray[np.uint16] | None:
    """Returns the three tables of the header, shape (size, 3); entries of 8 bits may be stored in 16 bits each."""
    is_little = header.original_encoding[1] is not False
    columns = []
    for colour in _COLOURS:
        content = header[f"{colour}PaletteColorLookupTableData"].value
        if depth in {_BYTE, _WORD} and len(content) == 2 * size:
            columns.append(np.frombuffer(content, "<u2" if is_little else ">u2"))
        elif depth == _BYTE and len(content) == size + size % 2 and is_little:
            columns.append(np.frombuffer(content, np.uint8)[:size].astype(np.uint16))
        else:
            return None
    return np.stack(columns, axis=-1)


def _segmented(header: Dataset, size: int, first: int, depth: int) -> NDArray[np.uint16] | None:
    """Returns the three tables of a header that stores them in segments (PS3.3, section C.7.9.2), shape (size, 3)."""
    if depth not in {_BYTE, _WORD} or (depth == _BYTE and size > _BRIGHTEST + 1):
        return None
    tables: NDArray[np.uint16] = apply_color_lut(np.arange(first, first + size), header).astype(np.uint16)
    return tables
