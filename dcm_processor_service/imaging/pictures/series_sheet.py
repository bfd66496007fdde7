"""A contact sheet of a series, whatever it holds: its largest volume, else its images as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.utils import pixel_array

from dcm_processor_service.errors import DicomError, InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.pictures.contact_sheet import MOST_TILES, draw_sheet, preview_volume, spread
from dcm_processor_service.imaging.pictures.panel import Panel
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout
    from dcm_processor_service.imaging.series.inspection import Inspection

__all__ = ["preview_series"]


def preview_series(paths: Sequence[Path], *, layout: SheetLayout = "both") -> bytes:
    """Draws a contact sheet of a series, whatever it holds: its largest volume, else its images as they are.

    Raises:
        InvalidSeriesError: The series holds no image that can be shown.
    """
    inspection = examine(paths)
    try:
        [volume] = volumes_of(inspection, "largest")
    except DicomError:
        return _images_as_they_are(inspection)
    return preview_volume(volume, layout=layout, index=(volume.shape[3] // 2 if volume.array.ndim > 3 else 0))  # noqa: PLR2004 t


def _images_as_they_are(inspection: Inspection) -> bytes:
    """Shows images that make no volume: radiographs, films, localizers, colour."""
    frames = [frame for instance in inspection.instances for frame in frames_of(instance)]
    panels = []
    for index in spread(len(frames), MOST_TILES):
        frame = frames[index]
        try:
            with contained():
                pixels = pixel_array(frame.instance.path, index=frame.number - 1)
        except Exception:  # noqa: BLE001, S112 one image that cannot be decoded does not hide the others
            continue
        spacing = frame.pixel_spacing
        size = (spacing[0], spacing[1]) if spacing else None
        panels.append(Panel(_as_bytes(pixels), size, caption=str(index + 1)))
    if not panels:
        raise InvalidSeriesError(
            f"series {inspection.report.series_instance_uid} holds no image that can be shown", inspection.report
        )
    report = inspection.report
    caption = f"{report.modality}   {report.kind.value}   {report.frame_count} images".strip()
    if len(panels) == 1:
        return draw_sheet(panels, [], caption)
    return draw_sheet([], panels, caption)


def _as_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.ndim > 2 and pixels.dtype == np.uint8:  # noqa: PLR2004 colour comes as rows, columns, samples
        return pixels
    return apply_window(pixels, percentile_window(pixels))
