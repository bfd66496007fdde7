"""Draws slices with structures painted over them, a legend and a line of text, for viewers that only show images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

import numpy as np
from PIL import Image, ImageDraw

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.pictures.painting import paint_labels
from dcm_processor_service.imaging.pictures.panel import BACKGROUND, INK, font

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["FusedPictures", "LegendEntry"]

_SMALLEST_FONT = 12
_LINES_A_PICTURE = 34
_PLAIN = str.maketrans({
    "ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
    "\u0131": "i", "µ": "u", "’": "'", "–": "-", "—": "-",
})  # fmt: skip
"""Replacements for letters and signs that cannot be decomposed into a plain letter and an accent."""

_UNKNOWN_LETTER = "\U0010fffd"  # a private-use code point, for which no font has a glyph


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend: a structure with its colour."""

    words: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class FusedPictures:
    """Draws pictures of the same size with the same legend.

    The legend is at the left edge, halfway down, because viewers write into the corners.

    Example:
        >>> drawing = FusedPictures((40, 60), 4, (LegendEntry("liver", (255, 0, 0)),))
        >>> mask = np.zeros((40, 60), bool)
        >>> mask[10:20, 30:50] = True
        >>> picture = drawing.draw(np.zeros((40, 60), np.uint8), [(0, mask)])
        >>> picture.shape, picture[40, 120].tolist()
        ((160, 240, 3), [255, 0, 0])
    """

    size: tuple[int, int]
    """Rows and columns of a slice."""

    scale: int
    """Number of picture pixels, along each axis, for one pixel of the slice."""

    legend: tuple[LegendEntry, ...] = ()
    text: str = ""
    """A line of text at the bottom."""

    fill: bool = False
    """Whether to paint the areas of structures; otherwise only their outlines are painted."""

    def draw(self, grey: NDArray[np.uint8], masks: Iterable[tuple[int, NDArray[np.bool_]]]) -> NDArray[np.uint8]:
        """Returns the picture of a slice, shape (rows, columns, 3).

        Args:
            grey: The slice, shape (rows, columns), 0 to 255.
            masks: Pairs of the index of a legend entry and a mask with the shape of the slice; later masks cover
                earlier ones.
        """
        picture = Image.fromarray(grey).resize(self._picture_size, Image.Resampling.BILINEAR).convert("RGB")
        pixels = np.array(picture, np.float32)
        for number, mask in masks:
            large = mask.repeat(self.scale, axis=0).repeat(self.scale, axis=1).astype(np.uint8)
            paint_labels(pixels, large, np.array([self.legend[number].colour], np.float32), fill=self.fill)
        shown = Image.fromarray(pixels.astype(np.uint8))
        shown.paste(self._writing, mask=self._writing)
        return np.asarray(shown)

    @property
    def _picture_size(self) -> tuple[int, int]:
        rows, columns = self.size
        return columns * self.scale, rows * self.scale

    @cached_property
    def _writing(self) -> Image.Image:
        """Legend and text on a transparent background.

        Raises:
            UnsupportedValueError: The font has no glyph for a letter, or the text is too long.
        """
        width, height = self._picture_size
        layer = Image.new("RGBA", (width, height))
        draw = ImageDraw.Draw(layer)
        size = max(_SMALLEST_FONT, min(width, height) // _LINES_A_PICTURE)
        letters, margin, line = font(size), size // 2, round(size * 1.4)
        text = _drawable(self.text)
        if draw.textlength(text, letters) > width - 2 * margin:
            raise UnsupportedValueError(f"the text is wider than the picture of {width} pixels: shorten it")
        entries = self._fitting(max(1, (height - 4 * line) // line))
        top = (height - line * len(entries)) // 2
        for number, entry in enumerate(entries):
            y = top + number * line
            draw.rectangle((margin, y, margin + size, y + size), entry.colour, BACKGROUND)
            words = _cut(draw, _drawable(entry.words), letters, width - 3 * margin - size)
            draw.text((2 * margin + size, y), words, INK, letters, stroke_width=1, stroke_fill=BACKGROUND)
        place = (width // 2, height - margin)
        draw.text(place, text, INK, letters, anchor="ms", stroke_width=1, stroke_fill=BACKGROUND)
        return layer

    def _fitting(self, most: int) -> Sequence[LegendEntry]:
        if len(self.legend) <= most:
            return self.legend
        left = len(self.legend) - most + 1
        return (*self.legend[: most - 1], LegendEntry(f"and {left} more", BACKGROUND))


def _cut(draw: ImageDraw.ImageDraw, words: str, letters: object, width: float) -> str:
    """Shortens the name in a line of the legend, so that the name and the number after it fit into the width."""
    name, _, rest = words.rpartition("  ")
    while name and draw.textlength(f"{name}…  {rest}", letters) > width:  # type: ignore[arg-type]  # a font
        name = name[:-1]
        words = f"{name}…  {rest}"
    return words


def _drawable(words: str) -> str:
    """Returns words without the accents that Pillow's own font lacks; other fonts would differ between machines.

    Raises:
        UnsupportedValueError: The font has no glyph for a letter.
    """
    plain = "".join(
        letter for letter in normalize("NFKD", words.translate(_PLAIN)) if not combining(letter) or _has_sign(letter)
    )
    for letter in plain:
        if not letter.isspace() and not _has_sign(letter):
            raise UnsupportedValueError(
                f"the letter U+{ord(letter):04X} cannot be drawn into a picture: write names and text in Latin letters"
            )
    return plain


@lru_cache(maxsize=512)
def _has_sign(letter: str) -> bool:
    letters = font(_SMALLEST_FONT)
    return bytes(letters.getmask(letter)) != bytes(letters.getmask(_UNKNOWN_LETTER))
