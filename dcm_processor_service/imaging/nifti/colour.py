"""Reads colour series with a place in the patient as RGB images for NIfTI, since a :class:`Volume` holds no colours.

NIfTI-1 has a type for such images (``RGB24``, code 128: red, green and blue of 8 bits). Palettes, uncompressed RGB and
uncompressed YBR are converted. Compressed colours are converted only if the standard leaves no doubt about the meaning
of the decoded numbers (PS3.5, section 8.2).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.decoding.decoders import LOSSY, decoders_of, is_decodable
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames, decode_one
from dcm_processor_service.imaging.frames.palette import is_palette, palette_of
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as, read_header
from dcm_processor_service.imaging.headers.values import integer, text
from dcm_processor_service.imaging.series.policies import largest_stack, open_findings, refusal, split_stacks
from dcm_processor_service.imaging.volumes.interop import RGB24
from dcm_processor_service.imaging.volumes.pixels import read_pixels
from dcm_processor_service.imaging.volumes.read import read_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
    from dcm_processor_service.models.images.limits import Limits
    from dcm_processor_service.models.images.nifti import Policy

__all__ = ["colour_images"]

_RGB_SAMPLES, _RGB_BITS = 3, 8
_PALETTE_BITS = frozenset({8, 16})
_UNCOMPRESSED = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422"})
_YBR_BY_JPEG = frozenset({"YBR_FULL", "YBR_FULL_422"})
_ALIKE = frozenset({"imagecodecs", "pyjpegls"})
"""Decoders that use the same library, so that comparing their results would prove nothing."""
# For each syntax, the photometric interpretations that can be believed. RGB in JPEG cannot: the encoder may have
# transformed the colours.
_COLOURS: dict[str, frozenset[str]] = {
    RLELossless: frozenset({"RGB", "YBR_FULL"}),
    JPEGLSLossless: frozenset({"RGB"}),
    JPEG2000Lossless: frozenset({"RGB", "YBR_RCT"}),
    HTJ2KLossless: frozenset({"RGB", "YBR_RCT"}),
    HTJ2KLosslessRPCL: frozenset({"RGB", "YBR_RCT"}),
    JPEG2000: frozenset({"RGB", "YBR_RCT", "YBR_ICT"}),
    HTJ2K: frozenset({"RGB", "YBR_RCT", "YBR_ICT"}),
    JPEGBaseline8Bit: _YBR_BY_JPEG,
}


def colour_images(task: ConversionTask) -> list[VoxelGrid]:
    """Reads the images of a colour series that the policy chooses; each voxel is of type ``RGB24``.

    Raises:
        InvalidSeriesError: The policy refuses the series, or the colours of its pixels are uncertain; the error has the
            report.
    """
    stacks = _chosen(task.inspection, task.policy)
    report = task.inspection.report
    message = (
        f"series {report.series_instance_uid} cannot be read: a file of it is damaged, or it needs too much memory"
    )
    with foreign_errors_as(lambda: InvalidSeriesError(message, report)):
        return [read_stack(stack, report, task.limits, _assemble) for stack in stacks]


def _chosen(inspection: Inspection, policy: Policy) -> list[Stack]:
    """Returns the stacks that the policy chooses; raises an error if the colours of a frame are uncertain."""
    found = open_findings(inspection, policy)
    others = [finding for finding in found if finding.code != "COLOUR"]
    if others or not inspection.stacks:
        raise refusal(inspection.report, others or found)
    stacks = split_stacks(inspection) if policy in {"split", "largest"} else list(inspection.stacks)
    frames = [frame for stack in stacks for line in stack.grid for frame in line]
    if policy == "resample":
        message = f"series {inspection.report.series_instance_uid} is refused: COLOUR: colours are not interpolated, "
        raise InvalidSeriesError(f"{message}convert with policy strict, split or largest", inspection.report)
    doubtful = next((frame for frame in frames if not _has_certain_colours(frame)), None)
    if doubtful is not None:
        raise _doubt(inspection, doubtful)
    return [largest_stack(stacks)] if policy == "largest" else stacks


def _doubt(inspection: Inspection, frame: FrameInfo) -> InvalidSeriesError:
    pixels, colours = frame.pixel_format, text(frame.places[-1], "PhotometricInterpretation") or "no colours"
    said = f"{pixels.samples} x {pixels.bits_stored} of {pixels.bits_allocated} bits, {colours}"
    return InvalidSeriesError(
        f"series {inspection.report.series_instance_uid} is refused: COLOUR: {frame.instance.label} does not say for "
        f"certain which colours its pixels are ({said}, {frame.instance.transfer_syntax_uid.name}): get it as "
        "uncompressed RGB of 8 bits",
        inspection.report,
    )


def _has_certain_colours(frame: FrameInfo) -> bool:
    pixels, syntax = frame.pixel_format, str(frame.instance.transfer_syntax_uid)
    if is_palette(frame.places[-1]):
        is_read = not frame.instance.is_compressed or is_decodable(syntax)
        is_place = pixels.is_supported and pixels.bits_allocated in _PALETTE_BITS
        return is_place and is_read and palette_of(read_header(frame.instance.path)) is not None
    if (pixels.samples, pixels.bits_allocated, pixels.bits_stored) != (_RGB_SAMPLES, _RGB_BITS, _RGB_BITS):
        return False
    if pixels.is_signed:
        return False  # colours are without a sign (PS3.3, section C.7.6.3.1.2)
    colours = text(frame.places[-1], "PhotometricInterpretation").upper()
    if frame.instance.is_compressed:
        return colours in _COLOURS.get(syntax, ()) and is_decodable(syntax)
    if colours == "YBR_FULL_422":  # two neighbours in a row share their hue, so columns are even (PS3.3, C.7.6.3.1.2)
        return pixels.columns % 2 == 0 and not integer(frame.places[-1], "PlanarConfiguration")
    return colours in _UNCOMPRESSED


def _assemble(
    frames: Sequence[FrameInfo], volumes: int, slices: int, limits: Limits
) -> tuple[NDArray[Any], list[FrameInfo]]:
    """Returns the colours of frames in the order (t, k), as an array (i, j, k) or (i, j, k, t) of ``RGB24``."""
    pixels = frames[0].pixel_format
    colours = np.empty((len(frames), pixels.rows, pixels.columns, _RGB_SAMPLES), np.uint8)
    if is_palette(frames[0].places[-1]):
        _look_up(frames, colours, limits)
    else:
        _read(frames, colours, limits)
    array = colours.view(RGB24)[..., 0].reshape(volumes, slices, pixels.rows, pixels.columns).transpose(3, 2, 1, 0)
    return array[..., 0] if volumes == 1 else array, []


def _look_up(frames: Sequence[FrameInfo], colours: NDArray[np.uint8], limits: Limits) -> None:
    """Fills ``colours`` with the colours of frames, from the palette of each file."""
    pixels = frames[0].pixel_format
    scratch = np.empty((len(frames), pixels.rows, pixels.columns), pixels.stored_type)
    for index in read_pixels(frames, scratch.__getitem__, limits):
        palette = palette_of(read_header(frames[index].instance.path, limits))
        assert palette is not None
        colours[index] = palette.apply(scratch[index])


def _read(frames: Sequence[FrameInfo], colours: NDArray[np.uint8], limits: Limits) -> None:
    """Fills ``colours`` with the colours of frames that have three samples a pixel."""
    by_file: dict[int, list[int]] = defaultdict(list)
    _decode([(index, frame) for index, frame in enumerate(frames) if frame.instance.is_compressed], colours, limits)
    for index, frame in enumerate(frames):
        if not frame.instance.is_compressed:
            by_file[id(frame.instance)].append(index)
    for indices in by_file.values():
        instance = frames[indices[0]].instance
        with contained():
            dataset = dcmread(instance.path, force=True)
            dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
            decoder = get_decoder(instance.transfer_syntax_uid)
            for index in indices:
                colours[index], _ = decoder.as_array(dataset, index=frames[index].number - 1)


def _decode(numbered: Sequence[tuple[int, FrameInfo]], colours: NDArray[np.uint8], limits: Limits) -> None:
    """Fills ``colours`` with the colours of compressed frames, which separate processes decode.

    Raises:
        InvalidSeriesError: A frame cannot be decoded, or is another image than its header says; or two decoders decode
            it to different colours.
    """
    encoded = [_encoded(frame, decoders_of(str(frame.instance.transfer_syntax_uid))[0]) for _, frame in numbered]
    for place, answer in decode_frames(encoded, limits):
        index, frame = numbered[place]
        values = answer.read()
        if values.shape != colours.shape[1:] or values.dtype != colours.dtype:
            raise InvalidSeriesError(
                f"frame {frame.number} of {frame.instance.label} is decoded to {values.dtype} of shape {values.shape}, "
                f"its header says {colours.dtype} of {colours.shape[1:]}: get it again"
            )
        colours[index] = values
    for index, frame in numbered[:1]:
        _compare_with_second(frame, colours[index], limits)


def _encoded(frame: FrameInfo, decoder: str) -> EncodedFrame:
    return EncodedFrame(frame.instance, frame.number, decoder, for_display=True)


def _compare_with_second(frame: FrameInfo, colours: NDArray[np.uint8], limits: Limits) -> None:
    """Compares colours with those that another decoder returns, if one is installed and the compression is lossless.

    Raises:
        InvalidSeriesError: The other decoder returns other colours.
    """
    syntax = frame.instance.transfer_syntax_uid
    others = [] if syntax in LOSSY else [name for name in decoders_of(str(syntax))[1:] if name not in _ALIKE]
    if not others:
        return
    try:
        second = decode_one(_encoded(frame, others[0]), limits)
    except InvalidSeriesError:
        return  # the second decoder cannot decode the frame, so there is nothing to compare
    if not np.array_equal(second, colours):
        raise InvalidSeriesError(
            f"frame {frame.number} of {frame.instance.label} ({syntax.name}) is decoded to other colours by "
            f"{others[0]} than by the decoder that is used: it is damaged, or one of the two is at fault; get it "
            "uncompressed"
        )
