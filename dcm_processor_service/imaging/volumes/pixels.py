"""Pixel values into arrays: uncompressed ones straight from the file, compressed ones through pydicom's decoders."""

from __future__ import annotations

import sys
from collections import defaultdict
from io import FileIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.series.geometry_findings import transfer_syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.frames.pixel_format import PixelFormat
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

__all__ = ["read_pixels"]


def read_pixels(frames: Sequence[FrameInfo], target: Callable[[int], NDArray[Any]]) -> Iterator[int]:
    """Reads the stored values of frames, file by file; yields the index of each frame once it is read.

    Args:
        frames: All of one format.
        target: Gives, just before the frame of that index is read, a contiguous array of shape (rows, columns) and of
            the stored type to read it into; it may be the same one every time.

    Raises:
        InvalidSeriesError: The pixel data is damaged.
        UnsupportedTransferSyntaxError: It is compressed in a way that cannot be decoded here.
    """
    by_file: dict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        by_file[id(frame.instance)].append(index)
    for indices in by_file.values():
        indices.sort(key=lambda index: frames[index].number)
        instance = frames[indices[0]].instance
        pixels = frames[indices[0]].pixel_format
        numbers = [frames[index].number for index in indices]
        targets = (target(index) for index in indices)
        read = _read_raw if _lies_plain(instance, pixels) else _decode
        for index, _ in zip(indices, read(instance, pixels, numbers, targets), strict=True):
            yield index


def _lies_plain(instance: InstanceFile, pixels: PixelFormat) -> bool:
    if instance.is_compressed or instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return False
    # bytes of 8 bits in big endian words come in swapped pairs (PS3.5, section 8.1.2): left to pydicom
    return instance.transfer_syntax_uid != ExplicitVRBigEndian or pixels.bits_allocated > 8  # noqa: PLR2004 bits


def _read_raw(
    instance: InstanceFile, pixels: PixelFormat, numbers: Sequence[int], targets: Iterator[NDArray[Any]]
) -> Iterator[None]:
    where = instance.pixels
    is_big_endian = instance.transfer_syntax_uid == ExplicitVRBigEndian
    swap = is_big_endian != (sys.byteorder == "big")
    with FileIO(instance.path) as file:
        for number, target in zip(numbers, targets, strict=True):
            file.seek((where.offset_bytes if where else 0) + (number - 1) * pixels.frame_bytes)
            if _read_fully(file, target.data.cast("B")) < pixels.frame_bytes:
                raise InvalidSeriesError(f"{instance.label} ends inside its pixel data, it was cut off: get it again")
            if swap:
                target.byteswap(inplace=True)
            _clean_bits(target, pixels)
            yield


def _read_fully(file: Any, target: memoryview) -> int:
    """Fills ``target``; a raw read may stop early."""
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled:])
        if not count:
            break
        filled += count
    return filled


def _clean_bits(array: NDArray[Any], pixels: PixelFormat) -> None:
    """Takes away what is not the stored value: overlays in spare bits; extends the sign (PS3.5, section 8.1.1)."""
    if pixels.is_float or pixels.bits_stored == pixels.bits_allocated:
        return
    spare = pixels.bits_allocated - pixels.bits_stored
    if pixels.is_signed:
        np.left_shift(array, spare, out=array)
        np.right_shift(array, spare, out=array)
    else:
        np.bitwise_and(array, (1 << pixels.bits_stored) - 1, out=array)


def _decode(
    instance: InstanceFile, pixels: PixelFormat, numbers: Sequence[int], targets: Iterator[NDArray[Any]]
) -> Iterator[None]:
    syntax = transfer_syntax(instance.transfer_syntax_uid)
    if not syntax.is_decodable:
        raise UnsupportedTransferSyntaxError(
            f"the pixels of {instance.label} are compressed as {syntax.name}, which cannot be decoded here: "
            f"it needs {syntax.needs}"
        )
    decoded = _decoded(instance, numbers)
    for number, target in zip(numbers, targets, strict=True):
        try:
            with contained():
                target[...] = next(decoded)
        except Exception as error:  # decoders raise whatever a damaged stream provokes
            raise InvalidSeriesError(
                f"frame {number} of {instance.label} cannot be decoded ({syntax.name}): it is damaged, get it again"
            ) from error
        if not syntax.is_compressed:
            _clean_bits(target, pixels)
        yield


def _decoded(instance: InstanceFile, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
    dataset = dcmread(instance.path, force=True)
    dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
    decoder = get_decoder(instance.transfer_syntax_uid)
    for values, _ in decoder.iter_array(dataset, indices=[number - 1 for number in numbers]):
        yield values
