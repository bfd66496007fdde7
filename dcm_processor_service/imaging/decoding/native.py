"""Replaces encoded frames by decoded ones, and sets the attributes that depend on the encoding (PS3.5, 8.2 and A.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.uid import ExplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["drop_offset_tables", "put_frames"]

_BYTE_BITS = 8
_MOST_BYTES = 2**32 - 2
"""The greatest length of a value: lengths are even, and 2**32 - 1 means an undefined length (PS3.5, section 7.1)."""


def put_frames(dataset: Dataset, frames: Iterable[NDArray[Any]]) -> None:
    """Writes decoded frames as native pixel data in Explicit VR Little Endian.

    Args:
        dataset: Dataset with encapsulated PixelData. Its photometric interpretation is not changed.
        frames: All frames in their order, little-endian, of shape (rows, columns) or (rows, columns, samples), in which
            the samples of a pixel lie side by side.

    Raises:
        ValueError: The frames together are longer than native pixel data can be, 4 GB.
    """
    content = b"".join(frame.tobytes() for frame in frames)
    if len(content) > _MOST_BYTES:
        raise ValueError("the decoded frames are longer than the 4 GB that native pixel data can have")
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    element = dataset["PixelData"]
    element.VR = "OB" if dataset.BitsAllocated <= _BYTE_BITS else "OW"
    element.is_undefined_length = False
    if dataset.get("SamplesPerPixel", 1) > 1:
        dataset.PlanarConfiguration = 0
    drop_offset_tables(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def drop_offset_tables(dataset: Dataset) -> None:
    """Removes the offset tables of encoded frames, which native pixel data does not have (PS3.3, C.7.6.3.1.8)."""
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
