"""Writes how a presentation state shows its images: rescale, window, Presentation LUT Shape, displayed area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.attributes.pixels import ds, require_window
from dcm_processor_service.derived.drawings.graphics import images_of
from dcm_processor_service.imaging.frames.units import unit_of
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.volumes.read import display_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["displayed_areas", "write_shades"]


def write_shades(made: Dataset, frames: Sequence[FrameInfo], window: tuple[float, float] | None) -> None:
    """Writes Modality LUT, window and Presentation LUT Shape (PS3.3, sections C.11.1, C.11.8 and C.11.6)."""
    frame = frames[0]
    header = frame.instance.header
    assert isinstance(header, Dataset)  # the header of a source always is one
    if frame.lut is not None:
        copy_attributes(header, made, ("ModalityLUTSequence",))
    else:
        made.RescaleIntercept, made.RescaleSlope = ds(frame.intercept), ds(frame.slope)
        made.RescaleType = text(header, "RescaleType") or ("HU" if unit_of(frame) == "HU" else "US")
    windows = _windows(frames, window)
    if windows:
        made.SoftcopyVOILUTSequence = windows
    is_negative = text(header, "PhotometricInterpretation") == "MONOCHROME1"
    made.PresentationLUTShape = "INVERSE" if is_negative else "IDENTITY"


def _windows(frames: Sequence[FrameInfo], given: tuple[float, float] | None) -> list[Dataset]:
    """Returns the items of SoftcopyVOILUTSequence, one for each window; if there are several, each lists its images."""
    given = None if given is None else require_window(given)
    by_window: dict[tuple[float, float], list[FrameInfo]] = {}
    for frame in frames:
        proposed = display_window(frame)
        chosen = given or ((proposed.center, proposed.width) if proposed is not None else None)
        if chosen is not None:
            by_window.setdefault(chosen, []).append(frame)
    found = []
    for (center, width), own in by_window.items():
        item = Dataset()
        if len(own) < len(frames):
            item.ReferencedImageSequence = images_of(own)
        item.WindowCenter, item.WindowWidth = ds(center), ds(width)
        found.append(item)
    return found


def displayed_areas(frames: Sequence[FrameInfo]) -> list[Dataset]:
    """Returns an item for each size and spacing of images, whose area is the whole image (PS3.3, section C.10.4)."""
    by_size: dict[tuple[int, int, tuple[float, ...] | None], list[FrameInfo]] = {}
    for frame in frames:
        pixels = frame.pixel_format
        by_size.setdefault((pixels.columns, pixels.rows, frame.pixel_spacing), []).append(frame)
    found = []
    for (columns, rows, spacing), own in by_size.items():
        item = Dataset()
        if len(by_size) > 1:
            item.ReferencedImageSequence = images_of(own)
        item.DisplayedAreaTopLeftHandCorner, item.DisplayedAreaBottomRightHandCorner = [1, 1], [columns, rows]
        item.PresentationSizeMode = "SCALE TO FIT"
        if spacing:
            item.PresentationPixelSpacing = [ds(distance) for distance in spacing]
        else:
            item.PresentationPixelAspectRatio = [1, 1]
        found.append(item)
    return found
