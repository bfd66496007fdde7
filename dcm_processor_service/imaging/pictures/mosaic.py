"""Draws a few slices side by side, with outlines of labels over them, as a PNG, in a few milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from dcm_processor_service.imaging.pictures.panel import Letters, font
from dcm_processor_service.imaging.pictures.png import encode_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LABEL_COLOURS", "MOST_SLICES", "Tile", "draw_mosaic", "label_colour"]

MOST_SLICES = 8
_COLUMNS = 4
_WIDTH = 960
_GAP = 2
_GREYS = 224
_MARGIN = 4
_INDICES = (np.arange(256) * (_GREYS - 1) // 255).astype(np.uint8)
"""The index of each grey value in the palette."""
# People with red-green colour blindness can tell the first seven apart too (after Okabe and Ito). The others lie
# between these.
LABEL_COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 188, 135), (240, 228, 66), (80, 140, 255), (243, 94, 20), (224, 121, 187)),
    *(
        (170, 220, 60),
        (190, 130, 255),
        (255, 150, 140),
        (100, 240, 220),
        (210, 170, 110),
        (255, 60, 120),
        (60, 200, 60),
    ),
    *((150, 150, 255), (255, 200, 120), (0, 160, 190), (190, 70, 200), (200, 255, 170), (255, 255, 190)),
)
_PALETTE = [*((round(one * 255 / (_GREYS - 1)),) * 3 for one in range(_GREYS)), *LABEL_COLOURS]


@dataclass(frozen=True)
class Tile:
    """One slice as it is shown: row 0 is on top, column 0 on the left."""

    grey: NDArray[np.uint8]
    """Pixels, shape (rows, columns), or (rows, columns, 3) in colour."""

    pixel_mm: tuple[float, float] = (1.0, 1.0)
    """Height and width of a pixel in mm."""

    letters: Letters = field(default_factory=Letters)
    caption: str = ""
    labels: NDArray[Any] | None = None
    """Labels on the slice, as numbers from 1 of colours in :data:`LABEL_COLOURS`; 0 is background. The resolution may
    differ from that of ``grey``."""


def label_colour(place: int) -> str:
    """Returns the colour of a label by its place in the legend, from 0.

    Example:
        >>> label_colour(0), label_colour(20) == label_colour(0)
        ('#e69f00', True)
    """
    return "#" + "".join(f"{value:02x}" for value in LABEL_COLOURS[place % len(LABEL_COLOURS)])


def draw_mosaic(tiles: Sequence[Tile]) -> bytes:
    """Draws a few slices side by side, all at the same scale, and returns a PNG file."""
    rows = math.ceil(len(tiles) / _COLUMNS)
    columns = math.ceil(len(tiles) / rows)
    width = min(_WIDTH // 2, (_WIDTH - _GAP * (columns - 1)) // columns)
    heights = [tile.grey.shape[0] * tile.pixel_mm[0] for tile in tiles]
    widths = [tile.grey.shape[1] * tile.pixel_mm[1] for tile in tiles]
    height = max(width // 3, min(width + width // 4, round(width * max(heights) / max(widths))))
    scale = min(width / max(widths), height / max(heights))
    in_colour = any(tile.grey.ndim > 2 for tile in tiles)  # noqa: PLR2004 colour comes as rows, columns, samples
    size = (rows * height + _GAP * (rows - 1), columns * width + _GAP * (columns - 1))
    sheet = np.zeros((*size, 3) if in_colour else size, np.uint8)
    for number, (tile, tall, wide) in enumerate(zip(tiles, heights, widths, strict=True)):
        top, left = (number // columns) * (height + _GAP), (number % columns) * (width + _GAP)
        inner = (max(1, min(width, round(wide * scale))), max(1, min(height, round(tall * scale))))
        sheet[top : top + height, left : left + width] = _drawn(tile, (width, height), inner, in_colour=in_colour)
    return encode_png(sheet, () if in_colour else _PALETTE)


def _drawn(tile: Tile, box: tuple[int, int], inner: tuple[int, int], *, in_colour: bool) -> NDArray[np.uint8]:
    """Returns the pixels of one tile: RGB values if the sheet is in colour, else indices of the palette."""
    shape = (box[1], box[0])
    pixels = np.zeros((*shape, 3) if in_colour else shape, np.uint8)
    left, top = (box[0] - inner[0]) // 2, (box[1] - inner[1]) // 2
    picture = Image.fromarray(tile.grey).convert("RGB" if in_colour else "L")
    pixels[top : top + inner[1], left : left + inner[0]] = np.asarray(picture.resize(inner, Image.Resampling.BILINEAR))
    _write(pixels, tile)
    if in_colour:
        return pixels
    indices: NDArray[np.uint8] = _INDICES[pixels]
    if tile.labels is not None and tile.labels.any():
        places = np.asarray(Image.fromarray(tile.labels).resize(inner, Image.Resampling.NEAREST))
        edge = _outline(places)
        view = indices[top : top + inner[1], left : left + inner[0]]
        view[edge] = _GREYS + (places[edge] - 1) % len(LABEL_COLOURS)
    return indices


def _write(pixels: NDArray[np.uint8], tile: Tile) -> None:
    """Writes the letters and the caption of a tile into it."""
    height, width = pixels.shape[:2]
    for text, x, y in (
        (tile.letters.left, _MARGIN, 0.5),
        (tile.letters.right, -_MARGIN, 0.5),
        (tile.letters.top, 0, 0.0),
        (tile.caption, -_MARGIN, 1.0),
    ):
        if text:
            halo, ink = _glyphs(text)
            tall, wide = ink.shape
            left = (width - wide) // 2 if not x else x if x > 0 else width + x - wide
            if left < 0:
                continue
            top = round(y * (height - tall))  # not negative, because a tile is higher than a line of text
            view = pixels[top : top + tall, left : left + wide]
            over, clear = (ink, halo) if view.ndim == 2 else (ink[..., None], halo[..., None])  # noqa: PLR2004 grey
            view[...] = np.maximum(np.minimum(view, clear), over)


@lru_cache(maxsize=1024)
def _glyphs(text: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns two pictures of a text: its halo, 0 where to darken the slice, and its ink, 255 where to brighten it."""
    letters = font(12)
    box = letters.getbbox(text, stroke_width=2)
    size, corner = (round(box[2] - box[0]) + 2, round(box[3] - box[1]) + 2), (1 - box[0], 1 - box[1])
    halo, ink = Image.new("L", size, 255), Image.new("L", size)
    ImageDraw.Draw(halo).text(corner, text, 0, letters, stroke_width=2, stroke_fill=0)
    ImageDraw.Draw(ink).text(corner, text, 255, letters)
    return np.asarray(halo), np.asarray(ink)


def _outline(places: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Returns the edges of labels, two pixels wide, inside of the labels."""
    edge: NDArray[np.bool_] = places != _shrunk(places)
    edge |= (places != 0) & (_shrunk(np.where(edge, 0, places)) == 0)
    return edge


def _shrunk(places: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the labels without their outermost pixels."""
    padded = np.pad(places, 1)
    same = np.ones(places.shape, bool)
    for rows, columns in ((slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1))):
        same &= padded[rows, columns] == places
        same &= padded[columns, rows] == places
    shrunk: NDArray[np.uint8] = np.where(same, places, 0)
    return shrunk
