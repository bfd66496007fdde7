from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, SliceSource, Volume
from tests.unit.imaging.synthetic import Recipe, single_frame

WINDOW = DisplayWindow(50, 100)


def opened(png: bytes) -> np.ndarray[Any, Any]:
    assert png.startswith(b"\x89PNG")
    picture = Image.open(io.BytesIO(png))
    assert not picture.info
    return np.asarray(picture.convert("RGB"))


def scene() -> Volume:
    """A body with one bright corner at the patient's left, front and head."""
    values = np.full((24, 20, 16), 30, np.int16)
    values[-6:, :6, -6:] = 100  # axes point to L, P and S
    sources = (tuple(SliceSource(f"1.2.{k}") for k in range(16)),)
    return Volume(values, np.diag([1.0, 1.0, 1.5, 1.0]), sources=sources, modality="CT", display_window=WINDOW)


def bright(part: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Returns where the bright corner is in a picture: row and column, each from 0 to 1."""
    rows, columns = np.nonzero((part > 245).all(axis=2))
    return float(rows.mean()) / part.shape[0], float(columns.mean()) / part.shape[1]


def test_left_is_on_the_right_and_front_on_top_of_an_axial_slice() -> None:
    volume = scene()
    volume.array[...] = np.where(volume.array == 100, 100, 30)
    volume.array[-6:, :6, :] = 100
    picture = opened(preview_volume(volume, layout="planes"))
    third = picture.shape[1] // 3
    row, column = bright(picture[: picture.shape[0] - 30, :third])
    assert row < 0.4
    assert column > 0.6


def test_the_head_is_on_top_and_the_front_on_the_left_of_a_sagittal_slice() -> None:
    volume = scene()
    volume.array[:, :6, -6:] = 100
    picture = opened(preview_volume(volume, layout="planes"))
    third = picture.shape[1] // 3
    row, column = bright(picture[: picture.shape[0] - 30, 2 * third + 4 :])
    assert row < 0.4
    assert column < 0.4


def test_the_picture_does_not_depend_on_how_voxels_are_stored() -> None:
    expected = preview_volume(scene(), layout="planes")
    for code in ("RAS", "LPS", "SPR", "ILA", "AIR"):
        picture = opened(preview_volume(scene().reorient(code), layout="planes"))
        # the caption names the stored shape; the panels are the same
        np.testing.assert_array_equal(picture[:-24], opened(expected)[:-24])


def test_layouts_differ_and_few_slices_get_no_planes() -> None:
    volume = scene()
    heights = {name: opened(preview_volume(volume, layout=name)).shape[0] for name in ("both", "planes", "grid")}
    assert heights["both"] > heights["planes"]
    assert heights["both"] > heights["grid"]
    thin = Volume(volume.array[..., :2], volume.affine_lps)
    assert opened(preview_volume(thin)).shape == opened(preview_volume(thin, layout="grid")).shape


def test_a_mask_is_drawn_in_colour_and_leads_the_planes() -> None:
    volume = scene()
    mask = np.zeros(volume.shape, np.uint8)
    mask[2:5, 2:5, 1:4] = 1
    mask[10:12, 10:12, 2] = 2

    def coloured(picture: np.ndarray[Any, Any]) -> int:
        spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
        return int(((spread > 60) & (picture[..., 2] > 0)).sum())

    plain, painted = opened(volume.preview()), opened(volume.preview(mask))
    assert coloured(painted) > coloured(plain) + 500
    np.testing.assert_array_equal(opened(volume.preview(volume.like(mask))), painted)
    np.testing.assert_array_equal(opened(volume.preview(np.asfortranarray(mask))), painted)
    np.testing.assert_array_equal(opened(volume.preview(mask.astype(np.float32) * 0)), plain)


def test_a_mask_of_another_place_is_refused() -> None:
    volume = scene()
    with pytest.raises(UnsupportedValueError, match="shape"):
        volume.preview(np.zeros((3, 3, 3)))
    moved = Volume(np.zeros(volume.shape), np.eye(4))
    with pytest.raises(UnsupportedValueError, match="elsewhere"):
        volume.preview(moved)
    with pytest.raises(UnsupportedValueError, match="layout"):
        preview_volume(volume, layout="mosaic")  # type: ignore[arg-type]  # what the message is for


def test_a_fourth_axis_is_shown_one_volume_at_a_time() -> None:
    values = np.stack([np.zeros((8, 8, 8), np.int16), np.full((8, 8, 8), 90, np.int16)], axis=3)
    volume = Volume(values, np.eye(4), display_window=WINDOW)
    assert opened(preview_volume(volume, index=1)).mean() > opened(preview_volume(volume, index=0)).mean()
    with pytest.raises(UnsupportedValueError, match="0 to 1"):
        preview_volume(volume, index=2)


def test_a_series_is_drawn_without_a_word_about_the_patient(tmp_path: Path) -> None:
    recipe = Recipe(columns=16, rows=16, slices=8)
    (tmp_path / "a").mkdir()
    first = preview_series(single_frame(recipe, tmp_path / "a"))
    (tmp_path / "b").mkdir()
    extra = {"PatientName": "Other^Name", "PatientID": "OTHER", "SeriesDescription": "other words"}
    second = preview_series(single_frame(Recipe(columns=16, rows=16, slices=8, extra=extra), tmp_path / "b"))
    assert first == second


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "MR_small.dcm", "rtdose.dcm", "examples_palette.dcm"])
def test_images_that_make_no_volume_are_shown_as_they_are(name: str) -> None:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    picture = opened(preview_series([Path(found)]))
    assert picture.shape[1] == 960
    assert picture.std() > 5


def test_a_series_without_anything_to_show_is_refused() -> None:
    found = get_testdata_file("test-SR.dcm", download=False)
    assert isinstance(found, str)
    with pytest.raises(InvalidSeriesError, match="no image"):
        preview_series([Path(found)])
