"""The frames of a SEG: the segment, the place and the pixels of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as, open_regular, read_dataset
from dcm_processor_service.imaging.headers.values import in_groups, integer, text
from dcm_processor_service.imaging.volumes.pixels import read_pixels
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.models.images.limits import Limits

__all__ = ["SegFrames"]

_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_BITS = 1
_PLAIN_WIDTHS = (8, 16)


@dataclass(frozen=True)
class SegFrames:
    """The frames of one SEG."""

    instance: InstanceFile
    frames: tuple[FrameInfo, ...]
    numbers: tuple[int, ...]
    """The segment number of each frame; empty for a label map, whose pixels hold it."""

    kind: str
    """``BINARY``, ``FRACTIONAL`` or ``LABELMAP``."""

    most: int
    """The stored value that means 1 in a fractional SEG."""

    limits: Limits

    @classmethod
    def of(cls, instance: InstanceFile, limits: Limits) -> SegFrames:
        """Reads segment numbers and type of a SEG from its header.

        Raises:
            InvalidSeriesError: The header contradicts itself, or the file is cut off.
        """
        header = instance.header
        kind = text(header, "SegmentationType").upper()
        if text(header, "SOPClassUID") == _LABEL_MAP:
            kind = "LABELMAP"
        if kind not in {"BINARY", "FRACTIONAL", "LABELMAP"}:
            raise InvalidSeriesError(f"{instance.label} is a segmentation of the unknown type {kind!r}: get it again")
        frames = tuple(frames_of(instance))
        declared = integer(header, "NumberOfFrames") or 1
        if instance.is_cut_off or len(frames) != declared or not frames:
            raise InvalidSeriesError(
                f"{instance.label} declares {counted(declared, 'frame')} and describes {len(frames)}, or ends inside "
                "its pixels: get it again"
            )
        numbers = () if kind == "LABELMAP" else tuple(_segment_of(frame) for frame in frames)
        found = cls(instance, frames, numbers, kind, integer(header, "MaximumFractionalValue") or 255, limits)
        found._check_pixels()
        return found

    def _check_pixels(self) -> None:
        pixels = self.frames[0].pixel_format
        bits = pixels.bits_allocated
        if pixels.samples != 1 or pixels.is_empty or bits not in {_BITS, *_PLAIN_WIDTHS}:
            raise InvalidSeriesError(
                f"{self.instance.label} has {pixels.columns} x {pixels.rows} pixels of {pixels.samples} x {bits} bits, "
                "which no segmentation has: get it again"
            )
        if bits == _BITS and self.instance.is_compressed:
            raise UnsupportedTransferSyntaxError(
                f"the pixels of {self.instance.label} are single bits compressed as "
                f"{self.instance.transfer_syntax_uid.name}, which cannot be decoded here: get it uncompressed"
            )
        where = self.instance.pixels
        need = (len(self.frames) * pixels.rows * pixels.columns * bits + 7) // 8
        if where is not None and not self.instance.is_compressed and (where.size_bytes or 0) < need:
            raise InvalidSeriesError(
                f"{self.instance.label} declares {need} bytes of pixels and holds {where.size_bytes}: get it again"
            )

    def of_segment(self, number: int) -> list[FrameInfo]:
        """Returns the frames in which a segment may be: its own, or all of a label map."""
        if self.kind == "LABELMAP":
            return list(self.frames)
        return [frame for frame, owner in zip(self.frames, self.numbers, strict=True) if owner == number]

    def masks(self, number: int, frames: Sequence[FrameInfo]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yields the index of each given frame and its mask of a segment, of shape (rows, columns).

        Raises:
            InvalidSeriesError: The pixels are damaged, or a value exceeds 1 or MaximumFractionalValue.
        """
        for index, stored in self._stored(frames):
            if self.kind == "LABELMAP":
                yield index, stored == number
            elif self.kind == "BINARY":
                if stored.max() > 1:
                    raise InvalidSeriesError(f"{self.instance.label} is binary and holds {stored.max()}: get it again")
                yield index, stored.astype(bool)
            else:
                if stored.max() > self.most:
                    raise InvalidSeriesError(
                        f"{self.instance.label} holds the fraction {stored.max()} of {self.most}: get it again"
                    )
                yield index, stored.astype(np.float32) / np.float32(self.most)

    def _stored(self, frames: Sequence[FrameInfo]) -> Iterator[tuple[int, NDArray[Any]]]:
        pixels = self.frames[0].pixel_format
        if pixels.bits_allocated == _BITS:
            read = self._bits_by_pydicom if self._needs_pydicom else self._bits
            yield from enumerate(read([frame.number for frame in frames]))
            return
        scratch = np.empty((pixels.rows, pixels.columns), pixels.stored_type)
        for index in read_pixels(frames, lambda _: scratch, self.limits):
            yield index, scratch

    @property
    def _needs_pydicom(self) -> bool:
        return self.instance.transfer_syntax_uid in {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}

    def _bits(self, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Reads frames of single bits, which follow each other without padding (PS3.5, section 8.1.1)."""
        pixels, where = self.frames[0].pixel_format, self.instance.pixels
        size = pixels.rows * pixels.columns
        with open_regular(self.instance.path) as file:
            for number in numbers:
                first = (number - 1) * size
                file.seek((where.offset_bytes if where else 0) + first // 8)
                content = file.read((first % 8 + size + 7) // 8)
                if len(content) * 8 < first % 8 + size:
                    raise InvalidSeriesError(f"{self.instance.label} ends inside its pixel data: get it again")
                unpacked = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
                yield unpacked[first % 8 : first % 8 + size].reshape(pixels.rows, pixels.columns)

    def _bits_by_pydicom(self, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
        message = f"the pixels of {self.instance.label} are damaged: get it again"
        with foreign_errors_as(lambda: InvalidSeriesError(message)):
            dataset = read_dataset(self.instance.path, self.limits)
            decoder = get_decoder(self.instance.transfer_syntax_uid)
            for number in numbers:
                yield decoder.as_array(dataset, index=number - 1, raw=True)[0]


def _segment_of(frame: FrameInfo) -> int:
    number = in_groups(frame.places, "SegmentIdentificationSequence", integer, "ReferencedSegmentNumber")
    if number is None:
        raise InvalidSeriesError(
            f"frame {frame.number} of {frame.instance.label} does not say which segment it is of: get it again"
        )
    return int(number)
