"""Which slices are on a sheet, with which numbers, sizes and views, and what a full legend leaves out."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from dcm_processor_service.imaging.pictures.contact_sheet import draw_sheet, preview_volume
from dcm_processor_service.imaging.pictures.fused import FusedPictures, LegendEntry
from dcm_processor_service.imaging.pictures.key_slices import picture_of_scan, tiles_of
from dcm_processor_service.imaging.pictures.mosaic import Tile, draw_mosaic
from dcm_processor_service.imaging.pictures.panel import Letters, Panel
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout

AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
FOOTER = 22


def opened(png: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def sheet(png: bytes) -> NDArray[Any]:
    """Returns the pixels of a contact sheet without its caption."""
    return opened(png)[:-FOOTER]


@pytest.mark.parametrize(
    ("slices", "numbers"),
    [
        (5, (1, 2, 3, 4, 5)),
        # 36 slices in 18 parts of two slices: the second slice of each part is shown
        (36, tuple(range(2, 37, 2))),
    ],
)
def test_tiles_of_a_grid_have_the_numbers_of_their_slices_from_one_on(slices: int, numbers: Sequence[int]) -> None:
    volume = VoxelGrid(np.zeros((8, 8, slices), np.int16), np.eye(4), display_window=DisplayWindow(50, 100))
    black = np.zeros((8, 8), np.uint8)
    panels = [Panel(black, (1, 1), Letters("R", "L", "A", "P"), str(number)) for number in numbers]
    np.testing.assert_array_equal(sheet(preview_volume(volume, layout="grid")), sheet(draw_sheet([], panels, "")))


@pytest.mark.parametrize("volumes", [2, 3, 4])
def test_a_series_of_several_volumes_is_shown_by_the_middle_one(tmp_path: Path, volumes: int) -> None:
    paths = single_frame(Recipe(volumes=volumes, slices=5), tmp_path)
    volume = read_volume(paths)
    shown = preview_series(paths)
    assert [shown == preview_volume(volume, index=index) for index in range(volumes)] == [
        index == volumes // 2 for index in range(volumes)
    ]


def film(folder: Path, spacing: Sequence[float] | None, frames: int = 1) -> list[Path]:
    """Images without a place, the upper half black and the lower half white."""
    [path] = single_frame(Recipe(slices=1, rows=40, columns=60), folder)
    ds = dcmread(path)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing
    if spacing:
        ds.PixelSpacing = list(spacing)
    ds.NumberOfFrames = frames
    ds.PixelData = np.repeat(np.array([0, 1000], np.int16), 20 * 60).tobytes() * frames
    ds.save_as(path)
    return [path]


HALVES = np.repeat(np.array([0, 255], np.uint8), 20 * 60).reshape(40, 60)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0), (0.5, 2.0), (3.0, 1.0)])
@pytest.mark.parametrize("frames", [1, 3])
def test_images_without_a_place_have_their_numbers_and_the_shape_of_their_pixels(
    tmp_path: Path, spacing: tuple[float, float] | None, frames: int
) -> None:
    paths = film(tmp_path, spacing, frames)
    panels = [Panel(HALVES, spacing, caption=str(number + 1)) for number in range(frames)]
    wanted = draw_sheet(panels, [], "") if frames == 1 else draw_sheet([], panels, "")
    np.testing.assert_array_equal(sheet(preview_series(paths)), sheet(wanted))
    tiles = [Tile(HALVES, spacing or (1, 1), caption=str(number + 1) if frames > 1 else "") for number in range(frames)]
    picture = picture_of_scan(paths, 1)
    np.testing.assert_array_equal(opened(picture.png), opened(draw_mosaic(tiles)))
    assert picture.caption.endswith(f"{frames} image{'s' * (frames > 1)}")


def test_a_large_image_without_a_place_is_thinned_and_keeps_its_shape(tmp_path: Path) -> None:
    [path] = film(tmp_path, (0.5, 2.0))
    ds = dcmread(path)
    ds.Rows, ds.Columns = 4096, 1024
    ds.PixelData = np.repeat(np.array([0, 1000], np.int16), 2048 * 1024).tobytes()
    ds.save_as(path)
    picture = opened(picture_of_scan([path], 1).png)
    white = (picture == 255).all(axis=2)
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    # as tall and as wide: 4096 rows of half a millimetre, 1024 columns of two; the lower half is white
    assert len(columns) == picture.shape[1] == picture.shape[0]
    assert len(rows) == pytest.approx(picture.shape[0] / 2, abs=2)
    assert rows.max() == picture.shape[0] - 1


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        (AXIAL, Letters("R", "L", "A", "P")),
        (CORONAL, Letters("R", "L", "S", "I")),
        (SAGITTAL, Letters("A", "P", "S", "I")),
    ],
)
@pytest.mark.parametrize("turned", [1, -1])
def test_tiles_are_seen_as_radiologists_do_whichever_way_rows_and_columns_run(
    orientation: Sequence[int], letters: Letters, turned: int
) -> None:
    row: Any = np.array(orientation[:3]) * turned
    column: Any = np.array(orientation[3:]) * turned
    affine = np.eye(4)
    affine[:3, :3] = np.stack([2 * row, 3 * column, 5 * np.cross(row, column)], axis=1)
    values = np.zeros((4, 6, 2), np.uint8)
    values[-1, -1, 0], values[0, 0, 1] = 100, 200
    tiles = tiles_of(VoxelGrid(values, affine), ["first", "second"])
    assert [tile.caption for tile in tiles] == ["first", "second"]
    for tile, value, at_end in zip(tiles, (100, 200), (turned == 1, turned != 1), strict=True):
        assert tile.letters == letters
        assert list(tile.pixel_mm) == [3, 2]
        assert np.argwhere(tile.grey == value).tolist() == [[5, 3] if at_end else [0, 0]]


@pytest.mark.parametrize(("entries", "lines"), [(4, 4), (5, 4), (9, 4), (2, 1), (3, 1)])
def test_a_legend_that_is_too_long_says_how_many_it_leaves_out(entries: int, lines: int) -> None:
    height = 17 * (4 + lines)  # a line has 17 pixels; four lines stay free above and below
    legend = tuple(LegendEntry(f"part {number}", (200, 20 * number, 0)) for number in range(entries))
    grey = np.full((height, 200), 90, np.uint8)
    shown = FusedPictures((height, 200), 1, legend).draw(grey, [])
    if entries <= lines:
        wanted = legend
    else:
        wanted = (*legend[: lines - 1], LegendEntry(f"and {entries - lines + 1} more", (0, 0, 0)))
    seen = [(shown == entry.colour).all(axis=2).any() for entry in legend]
    assert seen == [entry in wanted for entry in legend]
    black = (shown == (0, 0, 0)).all(axis=2)[:, 6:19].all(axis=1)  # where boxes of 13 pixels stand
    assert np.count_nonzero(black) == (2 * lines if entries <= lines else 2 * (lines - 1) + 13)
    np.testing.assert_array_equal(shown, FusedPictures((height, 200), 1, wanted).draw(grey, []))
    if entries > lines:  # with one line less, there is no room for the last entry
        fewer = FusedPictures((height - 1, 200), 1, legend).draw(grey[1:], [])
        assert lines == 1 or not (fewer == legend[lines - 2].colour).all(axis=2).any()


def test_a_series_is_drawn_in_the_layout_that_is_asked_for(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=6), tmp_path)
    volume = read_volume(paths)
    layouts: tuple[SheetLayout, ...] = ("both", "planes", "grid")
    assert [preview_series(paths, layout=layout) for layout in layouts] == [
        preview_volume(volume, layout=layout) for layout in layouts
    ]
    assert preview_series(paths) == preview_volume(volume, layout="both")
    assert preview_volume(volume, layout="grid") != preview_volume(volume, layout="planes")


def test_slices_of_which_the_least_value_is_white_are_drawn_so(tmp_path: Path) -> None:
    pictures = []
    for meaning in ("MONOCHROME2", "MONOCHROME1"):
        (tmp_path / meaning).mkdir()
        window = {"WindowCenter": "0", "WindowWidth": "70000", "PhotometricInterpretation": meaning}
        paths = single_frame(Recipe(slices=1, rows=40, columns=40, extra=window), tmp_path / meaning)
        pictures.append(opened(picture_of_scan(paths, 1).png).astype(int)[100:380, 100:380])
    np.testing.assert_allclose(pictures[0] + pictures[1], 255, atol=6)  # the palette has fewer greys than 256
