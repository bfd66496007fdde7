"""Draws a panel of a contact sheet: one slice with its orientation letters, scale bar and mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dcm_processor_service.imaging.pictures.colours import LABEL_COLOURS
from dcm_processor_service.imaging.pictures.painting import paint_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Letters", "Panel", "draw_panel", "font"]

BACKGROUND = (0, 0, 0)
INK = (235, 235, 235)
LETTER = (255, 214, 90)
_LABEL_COLOURS = np.array(LABEL_COLOURS, np.float32)
_BAR_LENGTHS_MM = (500, 200, 100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class Letters:
    """The letters at the four edges of a slice, which name directions in the patient, such as R."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


@dataclass(frozen=True)
class Panel:
    """One slice as it is shown: row 0 is on top, column 0 on the left."""

    grey: NDArray[np.uint8]
    """Pixels, shape (rows, columns), or (rows, columns, 3) in colour."""

    pixel_mm: tuple[float, float] | None
    """Height and width of a pixel in mm; None if unknown, so that no scale bar is drawn."""

    letters: Letters = field(default_factory=Letters)
    caption: str = ""
    mask: NDArray[Any] | None = None
    """Labels, shape (rows, columns): 0 is background."""

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width of the slice in mm, or in pixels if the size of a pixel is unknown."""
        row_mm, column_mm = self.pixel_mm or (1.0, 1.0)
        return self.grey.shape[0] * row_mm, self.grey.shape[1] * column_mm


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns Pillow's own font, because it is the same on every machine."""
    return ImageFont.load_default(size)


def draw_panel(panel: Panel, width: int, height: int, scale: float) -> Image.Image:
    """Draws a panel into a box.

    Args:
        panel: The panel.
        width: Width of the box in pixels.
        height: Height of the box in pixels.
        scale: Pixels of the box for one mm of the slice, or for one pixel of it if the size of a pixel is unknown.
    """
    extent_height, extent_width = panel.extent
    size = (max(1, min(width, round(extent_width * scale))), max(1, min(height, round(extent_height * scale))))
    box = Image.new("RGB", (width, height), BACKGROUND)
    box.paste(_slice_picture(panel, size), ((width - size[0]) // 2, (height - size[1]) // 2))
    draw = ImageDraw.Draw(box)
    _draw_letters(draw, panel.letters, width, height)
    if panel.pixel_mm is not None:
        _draw_bar(draw, width, height, scale)
    if panel.caption:
        draw.text(
            (width - 6, height - 5), panel.caption, INK, font(11), anchor="rs", stroke_width=1, stroke_fill=BACKGROUND
        )
    return box


def _slice_picture(panel: Panel, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(panel.grey).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    if panel.mask is None or not panel.mask.any():
        return picture
    labels = np.asarray(Image.fromarray(panel.mask.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    pixels = np.asarray(picture, np.float32).copy()
    paint_labels(pixels, labels, _LABEL_COLOURS)
    return Image.fromarray(pixels.astype(np.uint8))


def _draw_letters(draw: ImageDraw.ImageDraw, letters: Letters, width: int, height: int) -> None:
    size = 15
    for text, place, anchor in (
        (letters.left, (6, height // 2), "lm"),
        (letters.right, (width - 6, height // 2), "rm"),
        (letters.top, (width // 2, 4), "ma"),
        (letters.bottom, (width // 2, height - 4), "md"),
    ):
        if text:
            draw.text(place, text, LETTER, font(size), anchor=anchor, stroke_width=1, stroke_fill=BACKGROUND)


def _draw_bar(draw: ImageDraw.ImageDraw, width: int, height: int, scale: float) -> None:
    length = next((one for one in _BAR_LENGTHS_MM if one * scale <= width / 3), None)
    if length is None:
        return
    left, bottom = 8, height - 8
    right = left + round(length * scale)
    draw.line([(left, bottom), (right, bottom)], INK, 2)
    for x in (left, right):
        draw.line([(x, bottom - 4), (x, bottom + 1)], INK, 1)
    unit = f"{length // 10} cm" if length >= 10 else f"{length} mm"  # noqa: PLR2004 from a centimetre on
    draw.text((left, bottom - 5), unit, INK, font(11), anchor="ls", stroke_width=1, stroke_fill=BACKGROUND)
