"""Draws a contact sheet of any series: its largest volume, or its images one by one if it has no volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.utils import pixel_array

from dcm_processor_service.errors import DicomError, InvalidSeriesError
from dcm_processor_service.imaging.decoding.decoders import decoders_of
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_one
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.frames.palette import is_palette, palette_of
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as, read_header
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.pictures.contact_sheet import MOST_TILES, draw_sheet, preview_volume, spread
from dcm_processor_service.imaging.pictures.panel import Panel
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout
    from dcm_processor_service.imaging.series.inspection import Inspection

__all__ = ["display_bytes", "display_pixels", "preview_series"]

_LIMITS = Limits()


def preview_series(paths: Sequence[Path], *, layout: SheetLayout = "both", limits: Limits = _LIMITS) -> bytes:
    """Draws a contact sheet of a series: its largest volume, or its images one by one if it has no volume.

    Args:
        paths: The files of one series, in any order.
        layout: For a volume: planes, a grid of slices, or both.
        limits: Limits of memory and time for reading.

    Raises:
        InvalidSeriesError: The series holds no image that can be shown.
    """
    inspection = examine(paths, limits)
    uid = inspection.report.series_instance_uid
    with foreign_errors_as(lambda: InvalidSeriesError(f"series {uid} cannot be drawn: a file is damaged")):
        try:
            [volume] = volumes_of(inspection, "largest", limits=limits)
        except DicomError:
            return _draw_images_singly(inspection, limits)
        middle = volume.shape[3] // 2 if volume.array.ndim > 3 else 0  # noqa: PLR2004 the volumes' axis
        return preview_volume(volume, layout=layout, index=middle)


def _draw_images_singly(inspection: Inspection, limits: Limits) -> bytes:
    """Draws each image of a series that is not a volume: radiographs, films, localizers, colour images."""
    frames = [frame for instance in inspection.instances for frame in frames_of(instance)]
    panels = []
    for index in spread(len(frames), MOST_TILES):
        frame = frames[index]
        try:
            pixels = display_pixels(frame, limits)
        except DicomError:  # leaves out an image that cannot be decoded, and shows the others
            continue
        spacing = frame.pixel_spacing
        size = (spacing[0], spacing[1]) if spacing else None
        is_monochrome1 = text(frame.instance.header, "PhotometricInterpretation").upper() == "MONOCHROME1"
        panels.append(Panel(display_bytes(pixels, is_monochrome1=is_monochrome1), size, caption=str(index + 1)))
    if not panels:
        raise InvalidSeriesError(
            f"series {inspection.report.series_instance_uid} holds no image that can be shown", inspection.report
        )
    report = inspection.report
    caption = f"{report.modality}   {report.kind.value}   {counted(report.frame_count, 'image')}".strip()
    if len(panels) == 1:
        return draw_sheet(panels, [], caption)
    return draw_sheet([], panels, caption)


def display_pixels(frame: FrameInfo, limits: Limits) -> NDArray[Any]:
    """Returns the pixels of one image for display; colours and palettes are converted to RGB.

    Raises:
        InvalidSeriesError: The image cannot be decoded, or its header declares more pixels than the file holds.
    """
    instance = frame.instance
    message = f"frame {frame.number} of {instance.label} cannot be shown: its pixels are damaged, or not decodable here"
    if instance.is_cut_off or not limits.allow_expansion(instance.file_size_bytes, frame.pixel_format.frame_bytes):
        raise InvalidSeriesError(message)
    if is_palette(instance.header):
        palette = palette_of(read_header(instance.path, limits))
        if palette is None:
            raise InvalidSeriesError(
                f"frame {frame.number} of {instance.label} cannot be shown: its palette does not say for certain which "
                "colours it means"
            )
        return palette.apply(_stored(frame, message, limits))
    return _stored(frame, message, limits)


def _stored(frame: FrameInfo, message: str, limits: Limits) -> NDArray[Any]:
    """Returns the stored pixels of one image; colours of three samples are converted to RGB."""
    instance = frame.instance
    if not instance.is_compressed:
        with foreign_errors_as(lambda: InvalidSeriesError(message)), contained():
            return pixel_array(instance.path, index=frame.number - 1)
    decoders = decoders_of(str(instance.transfer_syntax_uid))
    if not decoders:
        raise InvalidSeriesError(message)
    return decode_one(EncodedFrame(instance, frame.number, decoders[0], for_display=True), limits)


def display_bytes(pixels: NDArray[Any], *, is_monochrome1: bool) -> NDArray[np.uint8]:
    """Returns the display values of an image; colours stay, others are windowed from the 1st to the 99th percentile."""
    if pixels.ndim > 2 and pixels.dtype == np.uint8:  # noqa: PLR2004 colour comes as rows, columns, samples
        return pixels
    return apply_window(pixels, percentile_window(pixels), is_monochrome1=is_monochrome1)
