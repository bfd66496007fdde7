"""Siemens' CSA header and mosaics, written by their published layout; uses nothing of the package under test."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset


def csa_header(**elements: tuple[str, list[Any]]) -> bytes:
    """Elements by their names, each a VR and its values."""
    content = b"SV10\4\3\2\1" + struct.pack("<2I", len(elements), 77)
    for name, (vr, values) in elements.items():
        content += struct.pack("<64si4siii", name.encode(), len(values), vr.encode(), 0, len(values), 77)
        for value in values:
            text = f"{value}".encode() + b"\0"
            content += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)
    return content


def add_csa(ds: Dataset, **elements: tuple[str, list[Any]]) -> None:
    ds.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    ds.add_new(0x00291010, "OB", csa_header(**elements))


def tiled(volume: np.ndarray[Any, Any], side: int) -> np.ndarray[Any, Any]:
    """A mosaic of side by side tiles, shape (i, j), of a volume of shape (i, j, k): row by row, from the top left."""
    columns, rows, slices = volume.shape
    mosaic = np.zeros((columns * side, rows * side), volume.dtype)
    for k in range(slices):
        down, across = divmod(k, side)
        mosaic[across * columns : (across + 1) * columns, down * rows : (down + 1) * rows] = volume[:, :, k]
    return mosaic
