"""A picture in a PNG of any kind shows the same colours as a page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcm_processor_service.derived import capture_pages
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import StudyIdentity
from tests.unit.derived.sources import make_recipe

WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
RED, GREEN = (200, 10, 20), (5, 160, 40)
COLOURS = np.array([[RED, GREEN], [GREEN, RED], [RED, RED]], np.uint8)
GREYS = np.array([[0, 255], [255, 0], [0, 0]], np.uint8)


def page_of(image: Image.Image, **more: Any) -> np.ndarray[Any, Any]:
    file = io.BytesIO()
    image.save(file, "PNG", **more)
    (made,) = capture_pages([file.getvalue()], WHO, make_recipe())
    found: np.ndarray[Any, Any] = made.pixel_array
    return found


def with_palette() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [1, 0], [0, 0]], np.uint8), "L").convert("P")
    image.putpalette([*RED, *GREEN])
    image.putdata([0, 1, 1, 0, 0, 0])
    return image


def test_colours_of_a_palette_are_colours() -> None:
    assert np.array_equal(page_of(with_palette()), COLOURS)


def test_a_transparent_colour_of_a_palette_is_white() -> None:
    page = page_of(with_palette(), transparency=1)
    assert np.array_equal(page, np.where((COLOURS == GREEN).all(axis=2, keepdims=True), 255, COLOURS))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_pictures_stay_grey(mode: str) -> None:
    assert np.array_equal(page_of(Image.fromarray(GREYS).convert(mode)), GREYS)


def test_grey_with_transparency_is_blended_with_white() -> None:
    grey = np.stack([GREYS, np.array([[255, 255], [0, 0], [51, 255]], np.uint8)], axis=-1)
    page = page_of(Image.fromarray(grey, "LA"))
    # black that is a fifth opaque lets four fifths of the white through
    assert page[..., 0].tolist() == [[0, 255], [255, 255], [204, 0]]
    assert (page == page[..., :1]).all()


@pytest.mark.parametrize(("opacity", "shown"), [(255, 200), (0, 255), (51, 244), (128, 227)])
def test_each_part_of_a_colour_is_blended_with_white(opacity: int, shown: int) -> None:
    pixels = np.full((2, 2, 4), (200, 255, 255, opacity), np.uint8)
    assert page_of(Image.fromarray(pixels))[0, 0].tolist() == [shown, 255, 255]


@pytest.mark.parametrize("shape", [(2,), (2, 2, 2), (2, 2, 5), (1, 2, 2, 3), (0, 2)], ids=str)
def test_an_array_that_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DerivedObjectError, match="page 2 is an array of uint8"):
        capture_pages([GREYS, np.zeros(shape, np.uint8)], WHO, make_recipe())
