"""Makes items of a presentation state: lines, points, text and layers (PS3.3, sections C.10.5 and C.10.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset

from dcm_processor_service.derived.attributes.references import source_images
from dcm_processor_service.imaging.pictures.colours import lab_of_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo

__all__ = ["Annotation", "annotated", "images_of", "layer_item", "titled"]

_BOX_PARTS = (0.04, 0.25, 0.05)
"""Distance of a text from its point, and width and height of its box, as fractions of the image's width."""


@dataclass(frozen=True)
class Annotation:
    """The lines, the point and the text that are drawn on the frames of one slice."""

    frames: tuple[FrameInfo, ...]
    layer: int
    """Number of the graphic layer, from 1."""

    lines: list[NDArray[np.float64]] = field(default_factory=list)
    """Closed lines, in pixels from the upper left corner of the upper left pixel."""

    point: NDArray[np.float64] | None = None
    words: str = ""


def images_of(frames: Sequence[FrameInfo]) -> list[Dataset]:
    """Returns the items of ReferencedImageSequence, with frame numbers for multi-frame images."""
    found = source_images(frames)
    for item in found:
        del item.PurposeOfReferenceCodeSequence
    return found


def annotated(annotation: Annotation) -> Dataset:
    """Returns the item of GraphicAnnotationSequence (0070,0001)."""
    item = Dataset()
    item.ReferencedImageSequence = images_of(annotation.frames)
    item.GraphicLayer = _layer_name(annotation.layer)
    drawn = [_graphic("POLYLINE", np.concatenate([line, line[:1]])) for line in annotation.lines]
    if annotation.point is not None and not annotation.words:
        drawn.append(_graphic("POINT", annotation.point[np.newaxis]))
    if drawn:
        item.GraphicObjectSequence = drawn
    if annotation.words and annotation.point is not None:
        item.TextObjectSequence = [_beside(annotation.words, annotation.point, annotation.frames[0])]
    return item


def _graphic(kind: str, points: NDArray[np.float64]) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = points.ravel().tolist()
    item.GraphicType = kind
    if kind == "POLYLINE":
        item.GraphicFilled = "N"
    return item


def _beside(words: str, point: NDArray[np.float64], frame: FrameInfo) -> Dataset:
    """Returns a text anchored to a point, placed above it and on the side with more room."""
    columns, rows = frame.pixel_format.columns, frame.pixel_format.rows
    gap, width, height = (part * columns for part in _BOX_PARTS)
    left = point[0] + gap if point[0] < columns / 2 else point[0] - gap - width
    top = min(max(0.0, float(point[1]) - gap - height), max(0.0, rows - height))
    left = min(max(0.0, float(left)), max(0.0, columns - width))
    item = Dataset()
    item.BoundingBoxAnnotationUnits = item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = words
    item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner = [left, top], [left + width, top + height]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    item.AnchorPoint = point.tolist()
    item.AnchorPointVisibility = "Y"
    return item


def titled(words: str) -> Dataset:
    """Returns the item for a line of text at the bottom of the screen, on all images of the state."""
    line, item = Dataset(), Dataset()
    line.BoundingBoxAnnotationUnits = "DISPLAY"
    line.UnformattedTextValue = words
    line.BoundingBoxTopLeftHandCorner, line.BoundingBoxBottomRightHandCorner = [0.02, 0.93], [0.98, 0.99]
    line.BoundingBoxTextHorizontalJustification = "CENTER"
    item.GraphicLayer = _layer_name(1)
    item.TextObjectSequence = [line]
    return item


def _layer_name(number: int) -> str:
    return f"LAYER{number}"


def layer_item(number: int, name: str, colour: tuple[int, int, int]) -> Dataset:
    """Returns a layer with its name and colour (PS3.3, sections C.10.7 and C.10.7.1.1)."""
    lightness, a, b = lab_of_rgb(colour)
    item = Dataset()
    item.GraphicLayer = _layer_name(number)
    item.GraphicLayerOrder = number
    item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    item.GraphicLayerRecommendedDisplayCIELabValue = [
        round(lightness / 100 * 0xFFFF),
        round((a + 128) / 255 * 0xFFFF),
        round((b + 128) / 255 * 0xFFFF),
    ]
    item.GraphicLayerDescription = name[:64]
    return item
