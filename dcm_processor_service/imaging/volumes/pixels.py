"""Reads pixel values into arrays: uncompressed values from the file, compressed values through separate processes."""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSNearLossless, RLELossless

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.decoding.decoders import LOSSY, decoders_of
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames, decode_one
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as
from dcm_processor_service.imaging.series.geometry_findings import transfer_syntax
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.frames.pixel_format import PixelFormat
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

__all__ = ["read_pixels"]

_LIMITS = Limits()
_LOSSY_NOISE = 4


def read_pixels(
    frames: Sequence[FrameInfo], target: Callable[[int], NDArray[Any]], limits: Limits = _LIMITS
) -> Iterator[int]:
    """Reads the stored values of frames, file by file; yields the index of each frame after it was read.

    Args:
        frames: Frames whose pixels have the same format.
        target: A function, called with the index of a frame just before that frame is read. It returns the array for
            the frame's values, which is contiguous, has shape (rows, columns), and is of the stored type. It may return
            the same array each time.
        limits: Limits of the processes that decode compressed pixels.

    Raises:
        InvalidSeriesError: The pixel data is damaged, or two decoders do not agree on it.
        UnsupportedTransferSyntaxError: The pixel data is compressed in a way that cannot be decoded here.
    """
    encoded = [index for index, frame in enumerate(frames) if frame.instance.is_compressed]
    by_file: dict[int, list[int]] = defaultdict(list)
    most_bits = max((frame.pixel_format.bits_stored for frame in frames), default=0)
    for index, frame in enumerate(frames):
        if not frame.instance.is_compressed:
            by_file[id(frame.instance)].append(index)
    for indices in by_file.values():
        indices.sort(key=lambda index: frames[index].number)
        instance = frames[indices[0]].instance
        pixels = frames[indices[0]].pixel_format
        numbers = [frames[index].number for index in indices]
        targets = (_Target(index, target) for index in indices)
        read = _read_raw if _lies_plain(instance, pixels) else _read_by_pydicom
        for done in read(instance, pixels, numbers, targets):
            _clean_bits(done.array, frames[done.index], most_bits)
            yield done.index
    if encoded:
        yield from _read_encoded(frames, encoded, target, limits)


@dataclass
class _Target:
    """The array for one frame, requested just before the frame is read."""

    index: int
    of: Callable[[int], NDArray[Any]]

    @cached_property
    def array(self) -> NDArray[Any]:
        return self.of(self.index)


def _lies_plain(instance: InstanceFile, pixels: PixelFormat) -> bool:
    """Returns whether uncompressed pixels lie in the file as in memory, apart from their byte order."""
    if instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return False
    # in big endian files, values of 8 bits come in swapped pairs (PS3.5, section 8.1.2); pydicom reads these
    return instance.transfer_syntax_uid != ExplicitVRBigEndian or pixels.bits_allocated > 8  # noqa: PLR2004 bits


def _read_raw(
    instance: InstanceFile, pixels: PixelFormat, numbers: Sequence[int], targets: Iterator[_Target]
) -> Iterator[_Target]:
    where = instance.pixels
    is_big_endian = instance.transfer_syntax_uid == ExplicitVRBigEndian
    swap = is_big_endian != (sys.byteorder == "big")
    with FileIO(instance.path) as file:
        for number, target in zip(numbers, targets, strict=True):
            file.seek((where.offset_bytes if where else 0) + (number - 1) * pixels.frame_bytes)
            if _read_fully(file, target.array.data.cast("B")) < pixels.frame_bytes:
                raise InvalidSeriesError(f"{instance.label} ends inside its pixel data, it was cut off: get it again")
            if swap:
                target.array.byteswap(inplace=True)
            yield target


def _read_fully(file: Any, target: memoryview) -> int:
    """Fills ``target`` by repeated reads, as one raw read may return less; returns the number of bytes read."""
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled:])
        if not count:
            break
        filled += count
    return filled


def _clean_bits(array: NDArray[Any], frame: FrameInfo, most_bits: int) -> None:
    """Clears the bits above BitsStored, which may hold overlays; extends the sign into them if values are signed.

    PS3.5, section 8.1.1, has the rules.

    Raises:
        InvalidSeriesError: These bits are not empty, and other slices of the volume declare them as bits of the value.
    """
    pixels = frame.pixel_format
    if pixels.is_float or pixels.bits_stored == pixels.bits_allocated:
        return
    before = array.copy() if pixels.bits_stored < most_bits else None
    spare = pixels.bits_allocated - pixels.bits_stored
    if pixels.is_signed:
        np.left_shift(array, spare, out=array)
        np.right_shift(array, spare, out=array)
    else:
        np.bitwise_and(array, (1 << pixels.bits_stored) - 1, out=array)
    if before is None or np.array_equal(before, array):
        return
    if np.array_equal(before & ((1 << pixels.bits_stored) - 1), before):
        return  # all of these bits were zero, so nothing is lost: the file just does not extend the sign
    raise InvalidSeriesError(
        f"{frame.instance.label} declares {pixels.bits_stored} bits of a value, but uses more bits, and other slices "
        f"declare {most_bits}: it is unknown which bits belong to the value, correct BitsStored"
    )


def _read_by_pydicom(
    instance: InstanceFile, pixels: PixelFormat, numbers: Sequence[int], targets: Iterator[_Target]
) -> Iterator[_Target]:
    """Reads uncompressed pixels that do not lie in the file as in memory: deflated, or 8 bits in big endian words."""
    damaged = f"the pixels of {instance.label} cannot be read: the file is damaged, get it again"
    with foreign_errors_as(lambda: InvalidSeriesError(damaged)), contained():
        dataset = dcmread(instance.path, force=True)
        dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
        decoder = get_decoder(instance.transfer_syntax_uid)
        decoded = [values for values, _ in decoder.iter_array(dataset, indices=[number - 1 for number in numbers])]
    for values, target in zip(decoded, targets, strict=True):
        if values.shape != (pixels.rows, pixels.columns):
            raise InvalidSeriesError(damaged)
        target.array[...] = values
        yield target


def _read_encoded(
    frames: Sequence[FrameInfo], encoded: Sequence[int], target: Callable[[int], NDArray[Any]], limits: Limits
) -> Iterator[int]:
    """Reads compressed frames, and checks the first frame and a random one with a second decoder."""
    ordered = sorted(encoded, key=lambda index: (str(frames[index].instance.path), frames[index].number))
    wanted = [EncodedFrame(frames[index].instance, frames[index].number, _decoder(frames[index])) for index in ordered]
    # the UID is the seed, so that each run checks the same random frame and comes to the same result
    sampled = {encoded[0], random.Random(frames[encoded[0]].instance.sop_instance_uid).choice(encoded)}  # noqa: S311
    samples = {}
    for place, answer in decode_frames(wanted, limits):
        index = ordered[place]
        pixels = frames[index].pixel_format
        if answer.shape != (pixels.rows, pixels.columns) or answer.dtype != pixels.stored_type.str:
            raise InvalidSeriesError(
                f"frame {frames[index].number} of {frames[index].instance.label} is decoded to {answer.dtype} of shape "
                f"{answer.shape}, its header says {pixels.stored_type} of ({pixels.rows}, {pixels.columns}): get it "
                "again"
            )
        array = answer.read_into(target(index))
        if index in sampled:
            samples[index] = array.copy()
        if frames[index].instance.transfer_syntax_uid == RLELossless:
            _clean_bits(array, frames[index], 0)
        else:
            _extend_sign(array, pixels)
            _refuse_further_bits(array, frames[index])
        yield index
    for index, values in samples.items():
        _ask_second_decoder(frames[index], values, limits)


def _decoder(frame: FrameInfo) -> str:
    syntax = transfer_syntax(frame.instance.transfer_syntax_uid)
    if not syntax.is_decodable:
        raise UnsupportedTransferSyntaxError(
            f"the pixels of {frame.instance.label} are compressed as {syntax.name}, which cannot be decoded here: "
            f"it needs {syntax.needs}"
        )
    return decoders_of(str(frame.instance.transfer_syntax_uid))[0]


def _extend_sign(array: NDArray[Any], pixels: PixelFormat) -> None:
    """Restores negative values that a decoder has returned as unsigned numbers of BitsStored bits."""
    spare = pixels.bits_allocated - pixels.bits_stored
    if not pixels.is_signed or not spare:
        return
    least, greatest = int(array.min()), int(array.max())
    if least >= 0 and 1 << (pixels.bits_stored - 1) <= greatest < 1 << pixels.bits_stored:
        np.left_shift(array, spare, out=array)
        np.right_shift(array, spare, out=array)


def _refuse_further_bits(array: NDArray[Any], frame: FrameInfo) -> None:
    """Refuses values that need more bits than declared: they hold an overlay, or BitsStored is wrong.

    Lossy compression may exceed the range a little.

    Raises:
        InvalidSeriesError: There are such values.
    """
    pixels = frame.pixel_format
    if pixels.is_float or pixels.bits_stored == pixels.bits_allocated:
        return
    count = 1 << pixels.bits_stored
    least, end = (-count // 2, count // 2) if pixels.is_signed else (0, count)
    noise = count // 4 if frame.instance.transfer_syntax_uid in {*LOSSY, JPEGLSNearLossless} else 0
    if int(array.min()) < least - noise or int(array.max()) >= end + noise:
        raise InvalidSeriesError(
            f"frame {frame.number} of {frame.instance.label} declares {pixels.bits_stored} bits of a value and uses "
            "more: it is unknown which of them count, correct BitsStored"
        )


def _ask_second_decoder(frame: FrameInfo, values: NDArray[Any], limits: Limits) -> None:
    """Compares a decoded frame with the result of another decoder, if one is installed and can decode it.

    Raises:
        InvalidSeriesError: The two decoders do not agree.
    """
    syntax = frame.instance.transfer_syntax_uid
    first, *others = decoders_of(str(syntax))
    if not others:
        return
    try:
        second = decode_one(EncodedFrame(frame.instance, frame.number, others[0]), limits)
    except InvalidSeriesError:
        return  # the second decoder cannot decode the frame, so there is nothing to compare
    if second.shape != values.shape:
        difference = math.inf
    else:
        difference = float(np.abs(second.astype(np.int64) - values.astype(np.int64)).max())
    allowed = max(_LOSSY_NOISE, 2**frame.pixel_format.bits_stored // 256) if syntax in LOSSY else 0
    if difference > allowed:
        raise InvalidSeriesError(
            f"frame {frame.number} of {frame.instance.label} ({syntax.name}) is decoded to other values by {others[0]} "
            f"than by {first}: it is damaged, or one of the two is at fault; get it uncompressed"
        )
