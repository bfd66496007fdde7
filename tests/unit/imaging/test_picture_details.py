"""Where things are in a picture, which images count as labels, and which colours are meant."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless

from dcm_processor_service.imaging.pictures.colours import LABEL_COLOURS, lab_of_rgb, rgb_of_lab
from dcm_processor_service.imaging.pictures.contact_sheet import draw_sheet, preview_volume
from dcm_processor_service.imaging.pictures.fused import FusedPictures, LegendEntry
from dcm_processor_service.imaging.pictures.key_slices import picture_of_scan
from dcm_processor_service.imaging.pictures.mosaic import Tile, draw_mosaic
from dcm_processor_service.imaging.pictures.panel import Letters, Panel, draw_panel, font
from dcm_processor_service.imaging.pictures.results import pictures_of_results
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.models.images.pictures import ResultPicture

WHITE = np.full((100, 100), 255, np.uint8)


def opened(png: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


# ---- colours ----


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        # sRGB's corners under D50, as colour management computes them
        ((255, 0, 0), (54.29, 80.81, 69.89)),
        ((0, 255, 0), (87.82, -79.28, 80.99)),
        ((0, 0, 255), (29.57, 68.30, -112.03)),
        ((255, 255, 255), (100, 0, 0)),
        ((128, 128, 128), (53.59, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((5, 5, 5), (1.37, 0, 0)),  # where both curves are straight: 903.3 * 5 / 255 / 12.92
    ],
)
def test_colours_of_dicom_are_those_of_the_screen(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert lab_of_rgb(rgb) == pytest.approx(lab, abs=0.05)
    assert rgb_of_lab(lab) == rgb


def test_every_colour_comes_back() -> None:
    parts = (0, 3, 8, 10, 11, 40, 128, 200, 255)
    for rgb in itertools.product(parts, parts, parts):
        assert rgb_of_lab(lab_of_rgb(rgb)) == rgb


def test_colours_beyond_the_screen_are_clipped() -> None:
    assert rgb_of_lab((100, 100, 100))[0] == 255
    assert rgb_of_lab((100, -128, 127)) == (0, 255, 0)
    assert rgb_of_lab((0, -100, 0))[0] == 0


# ---- tiles ----


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (4, 1, 4), (5, 2, 3), (8, 2, 4)])
def test_tiles_stand_beside_each_other_with_a_gap(count: int, rows: int, columns: int) -> None:
    picture = opened(draw_mosaic([Tile(WHITE)] * count)).min(axis=2) == 255
    height, width = picture.shape
    side = min(480, (960 - 2 * (columns - 1)) // columns)
    assert (height, width) == (rows * side + 2 * (rows - 1), columns * side + 2 * (columns - 1))
    for number in range(count):
        top, left = number // columns * (side + 2), number % columns * (side + 2)
        assert picture[top : top + side, left : left + side].all()
    assert np.count_nonzero(picture) == count * side * side


def test_tiles_of_other_sizes_have_one_scale_and_stand_in_the_middle() -> None:
    picture = opened(draw_mosaic([Tile(WHITE), Tile(WHITE[:50]), Tile(WHITE[:, :50], (0.5, 1.0))])).min(axis=2) == 255
    side = (960 - 4) // 3
    assert picture.shape == (side, 3 * side + 4)
    for number, (tall, wide) in enumerate([(1, 1), (0.5, 1), (0.5, 0.5)]):
        part = picture[:, number * (side + 2) : number * (side + 2) + side]
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        assert (len(rows), len(columns)) == pytest.approx((tall * side, wide * side), abs=1)
        assert (rows.mean(), columns.mean()) == pytest.approx((side / 2, side / 2), abs=1.5)


def test_a_tile_that_is_thinner_than_a_pixel_is_one_pixel_wide() -> None:
    picture = opened(draw_mosaic([Tile(WHITE, (9.0, 9.0)), Tile(WHITE[:, :1]), Tile(WHITE[:1])])).min(axis=2)
    side = (960 - 4) // 3
    for number, shown in ((1, (round(side / 9), 1)), (2, (1, round(side / 9)))):
        part = picture[:, number * (side + 2) : number * (side + 2) + side] == 255
        assert (part.any(axis=1).sum(), part.any(axis=0).sum()) == shown


def test_words_that_are_wider_than_a_tile_are_left_out() -> None:
    black = np.zeros((100, 100), np.uint8)
    assert not opened(draw_mosaic([Tile(black, caption="H" * 200)])).any()
    assert opened(draw_mosaic([Tile(black, caption="H" * 40)])).any()


@pytest.mark.parametrize("in_colour", [False, True])
def test_words_keep_to_the_edges_of_their_tile(*, in_colour: bool) -> None:
    grey = np.zeros((100, 100, 3) if in_colour else (100, 100), np.uint8)

    def ink(**words: Any) -> tuple[int, int, int, int]:
        """Returns the numbers of rows and columns without ink at the top, bottom, left and right."""
        rows, columns = np.nonzero(opened(draw_mosaic([Tile(grey, **words)])).min(axis=2) > 128)
        return int(rows.min()), 479 - int(rows.max()), int(columns.min()), 479 - int(columns.max())

    top, below, left, right = ink(letters=Letters(top="H"))
    assert 0 < top < 8
    assert abs(left - right) < 3
    assert 480 - top - below == pytest.approx(9, abs=2)  # the height of a capital
    top, below, left, right = ink(letters=Letters(left="H"))
    assert 0 < left < 10
    assert abs(top - below) < 4
    top, below, left, right = ink(letters=Letters(right="H"))
    assert 0 < right < 10
    assert abs(top - below) < 4
    top, below, left, right = ink(caption="12")
    assert 0 < below < 8
    assert 0 < right < 10


def test_frames_of_a_film_are_numbered(tmp_path: Path) -> None:
    [path] = single_frame(Recipe(slices=1, rows=40, columns=40), tmp_path)
    ds = dcmread(path)
    del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing
    ds.NumberOfFrames = 2
    ds.PixelData = np.repeat(np.arange(40, dtype=np.int16), 40).tobytes() * 2
    ds.save_as(path)
    picture = opened(picture_of_scan([path], 1).png)
    ramp = np.repeat(np.linspace(0, 255, 40), 40).reshape(40, 40)
    wanted = opened(draw_mosaic([Tile(ramp.astype(np.uint8), caption=number) for number in ("1", "2")]))
    # the window leaves out the outermost hundredth
    assert np.abs(picture.astype(int) - wanted).mean() < 6
    halves = picture[:, :479], picture[:, 481:]
    expected = wanted[:, :479], wanted[:, 481:]
    np.testing.assert_array_equal((halves[0] != halves[1]).any(axis=2), (expected[0] != expected[1]).any(axis=2))


# ---- panels ----


def panel_of(grey: NDArray[Any], **values: Any) -> NDArray[Any]:
    return np.asarray(draw_panel(Panel(grey, **values), 200, 200, 2.0))


def test_labels_keep_their_colours_when_they_are_enlarged() -> None:
    mask = np.zeros((100, 100), np.uint16)
    mask[20:50, 20:80], mask[50:80, 20:80], mask[85:95, 20:80] = 1, 3, len(LABEL_COLOURS) + 2
    picture = panel_of(np.zeros((100, 100), np.uint8), pixel_mm=None, mask=mask)
    seen = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    # edges have the full colour, areas are half transparent
    expected = [LABEL_COLOURS[number] for number in (0, 2, 1)]
    assert seen == {(0, 0, 0), *expected, *(tuple(int(part * 0.45) for part in colour) for colour in expected)}


@pytest.mark.parametrize(
    ("edge", "across", "down"), [("left", 0.03, 0.5), ("right", 0.97, 0.5), ("top", 0.5, 0.05), ("bottom", 0.5, 0.95)]
)
def test_letters_of_a_panel_stand_at_their_edges_in_their_colour(edge: str, across: float, down: float) -> None:
    picture = panel_of(np.zeros((100, 100), np.uint8), pixel_mm=None, letters=Letters(**{edge: "H"}))
    rows, columns = np.nonzero((picture == (255, 214, 90)).all(axis=2))
    assert (columns.mean() / 200, rows.mean() / 200) == pytest.approx((across, down), abs=0.04)
    assert rows.max() - rows.min() == pytest.approx(10, abs=2)


@pytest.mark.parametrize(("scale", "pixels"), [(2.0, 40), (0.5, 50), (10.0, 50), (0.1, 50), (66.0, 66), (67.0, None)])
def test_the_bar_is_a_round_length_that_fits_a_third_of_the_panel(scale: float, pixels: int | None) -> None:
    panel = Panel(np.zeros((10, 10), np.uint8), pixel_mm=(1.0, 1.0))
    picture = np.asarray(draw_panel(panel, 200, 200, scale))
    longest = (picture == (235, 235, 235)).all(axis=2).sum(axis=1).max()
    assert longest == (0 if pixels is None else pixels + 1)
    unknown = np.asarray(draw_panel(Panel(panel.grey, pixel_mm=None), 200, 200, scale))
    assert not unknown.any()


@pytest.mark.parametrize(
    ("scale", "unit"), [(0.1, "50 cm"), (2.0, "2 cm"), (6.0, "1 cm"), (10.0, "5 mm"), (20.0, "2 mm"), (66.0, "1 mm")]
)
def test_the_bar_tells_its_length(scale: float, unit: str) -> None:
    picture = np.asarray(draw_panel(Panel(np.zeros((1, 1), np.uint8), pixel_mm=(0.01, 0.01)), 200, 200, scale))
    alone = Image.new("RGB", (100, 40))
    ImageDraw.Draw(alone).text((20, 30), unit, (235, 235, 235), font(11), anchor="ls")
    np.testing.assert_array_equal(trimmed(picture[150:187, :100]), trimmed(np.asarray(alone)))


def trimmed(picture: NDArray[Any]) -> NDArray[Any]:
    rows, columns = np.nonzero(picture.any(axis=2))
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


# ---- pictures for viewers that only show images ----


@pytest.mark.parametrize("side", [300, 1020])
def test_the_legend_is_written_in_letters_that_grow_with_the_picture(side: int) -> None:
    drawing = FusedPictures((side, side), 1, (LegendEntry("H", (200, 0, 0)),), text="H")
    picture = drawing.draw(np.zeros((side, side), np.uint8), [])
    rows, columns = np.nonzero(picture.min(axis=2) > 100)
    size = max(12, side // 34)
    legend, text = rows[columns < side // 3], rows[columns >= side // 3]
    for ink in (legend, text):
        assert ink.max() - ink.min() + 1 == pytest.approx(0.72 * size, abs=2)
    assert abs(legend.mean() - side / 2) < size
    assert side - size < text.max() < side
    assert columns[columns >= side // 3].mean() == pytest.approx(side / 2, abs=2)
    red = np.nonzero((picture == (200, 0, 0)).all(axis=2))
    assert (np.ptp(red[0]), np.ptp(red[1])) == pytest.approx((size - 2, size - 2), abs=1)


# ---- contact sheets ----


def test_a_sheet_begins_at_its_top_and_has_its_caption_below_all_rows() -> None:
    white = Panel(np.full((50, 50), 255, np.uint8), pixel_mm=None)
    for planes, tiles, heights in (
        ([white] * 3, [], [317]),
        ([], [white] * 7, [156] * 2),
        ([white], [white] * 6, [960, 156]),
    ):
        lines = (opened(draw_sheet(planes, tiles, "")) == 255).all(axis=2)[:, 0].tolist()
        wanted = [line for height in heights for line in [True] * height + [False] * 4]
        assert lines == [*wanted, *[False] * 22]
        # words of the caption keep to the foot
        np.testing.assert_array_equal(
            opened(draw_sheet(planes, tiles, "CT"))[: len(wanted)], opened(draw_sheet(planes, tiles, ""))[: len(wanted)]
        )


def test_slices_of_a_grid_stand_row_by_row() -> None:
    levels = np.array([10, 90, 30, 70, 50, 20, 80, 40], np.int16)
    volume = VoxelGrid(np.broadcast_to(levels, (8, 8, 8)), np.eye(4), display_window=DisplayWindow(50, 100))
    picture = opened(preview_volume(volume, layout="grid"))
    side = (960 - 4 * 5) // 6
    assert picture.shape == (2 * (side + 4) + 22, 960, 3)
    places = [((k // 6) * (side + 4) + side // 3, (k % 6) * (side + 4) + side // 3) for k in range(8)]
    assert [int(picture[place][0]) for place in places] == pytest.approx(levels * 2.55, abs=3)
    assert not picture[side + 4 : 2 * side, 3 * (side + 4) :].any()


def test_a_mask_has_the_colours_of_its_labels_and_a_probability_is_one_from_a_half_on() -> None:
    volume = VoxelGrid(np.zeros((9, 8, 7), np.int16), np.eye(4), display_window=DisplayWindow(50, 100))

    def colours(mask: NDArray[Any]) -> set[tuple[int, int, int]]:
        picture = opened(preview_volume(volume, mask, layout="grid"))
        return {one for one in LABEL_COLOURS if (picture == one).all(axis=2).any()}

    mask = np.zeros((9, 8, 7), np.int16)
    mask[2:5, 2:5, 3] = 2
    assert colours(mask) == {LABEL_COLOURS[1]}
    mask[6:8, 6:8, 3] = 5
    assert colours(mask) == {LABEL_COLOURS[1], LABEL_COLOURS[4]}
    assert colours(mask != 0) == {LABEL_COLOURS[0]}
    assert colours(np.where(mask == 2, 0.6, 0.4)) == {LABEL_COLOURS[0]}
    assert colours(np.where(mask == 2, 0.5, 0.4)) == set()


def test_planes_go_where_the_mask_is_largest() -> None:
    mask = np.zeros((24, 20, 16), np.uint8)
    mask[5, 4:14, 3:12] = mask[3:12, 9, 4:13] = mask[2:11, 3:13, 7] = 1
    for axis, index in enumerate((5, 9, 7)):
        values = np.zeros(mask.shape, np.int16)
        values[(slice(None),) * axis + (index,)] = 100
        volume = VoxelGrid(values, np.eye(4), display_window=DisplayWindow(50, 100))
        picture = opened(preview_volume(volume, mask, layout="planes"))[:-30]
        third = picture.shape[1] // 3
        bright = [part.max(axis=2).mean() > 128 for part in (picture[:, k * third :][:, :third] for k in range(3))]
        assert bright == [plane == axis for plane in (2, 1, 0)]
        other = opened(preview_volume(volume, layout="planes"))[:-30]  # through the middle
        assert not any(part.max(axis=2).mean() > 128 for part in (other[:, k * third :][:, :third] for k in range(3)))


def test_a_series_of_two_volumes_has_planes_and_takes_a_mask_of_one() -> None:
    values = np.random.default_rng(0).integers(0, 100, (9, 8, 7, 2)).astype(np.int16)
    mask = np.zeros((9, 8, 7), np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    window = DisplayWindow(50, 100)
    for index in range(2):
        whole = opened(preview_volume(VoxelGrid(values, np.eye(4)), mask, index=index, window=window))
        alone = opened(preview_volume(VoxelGrid(values[..., index], np.eye(4)), mask, window=window))
        np.testing.assert_array_equal(whole[:-24], alone[:-24])  # the caption tells the number of volumes


@pytest.mark.parametrize("slices", [3, 4])
def test_four_slices_are_enough_for_planes(slices: int) -> None:
    volume = VoxelGrid(np.zeros((8, 8, slices), np.int16), np.eye(4))
    heights = [opened(preview_volume(volume, layout=layout)).shape[0] for layout in ("both", "grid")]
    assert (heights[0] > heights[1]) == (slices == 4)


def packaged(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def test_a_compressed_palette_is_shown_as_the_plain_one(tmp_path: Path) -> None:
    ds = dcmread(packaged("examples_palette.dcm"))
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "x.dcm")
    assert preview_series([tmp_path / "x.dcm"]) == preview_series([packaged("examples_palette.dcm")])


def test_a_radiograph_in_negative_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    ds = dcmread(packaged("MR_small.dcm"))
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    pictures, sheets = [], []
    for meaning in ("MONOCHROME2", "MONOCHROME1"):
        ds.PhotometricInterpretation = meaning
        ds.save_as(tmp_path / f"{meaning}.dcm")
        picture = picture_of_scan([tmp_path / f"{meaning}.dcm"], 1)
        assert picture.caption.startswith("MR · ")
        assert picture.caption.endswith("1 image")
        pictures.append(opened(picture.png).astype(int))
        sheets.append(opened(preview_series([tmp_path / f"{meaning}.dcm"])).astype(int)[400:500, 400:500])
    np.testing.assert_allclose(pictures[0] + pictures[1], 255, atol=3)
    np.testing.assert_allclose(sheets[0] + sheets[1], 255, atol=3)


# ---- results ----


def test_a_picture_that_the_job_made_is_shown_under_its_name_with_its_pixels_alone(tmp_path: Path) -> None:
    for size, shown in (((60, 40), (60, 40)), ((1920, 640), (960, 320))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "x.png", pnginfo=None)
        [picture] = pictures_of_results({"x.png": (tmp_path / "x.png", {})}, [])
        assert picture is not None
        assert (picture.name, picture.caption) == ("x.png", f"{size[0]} × {size[1]} pixels")
        assert opened(picture.png).shape[1::-1] == shown
        assert (opened(picture.png) == (10, 200, 30)).all()


def legend_of(tmp_path: Path, array: NDArray[Any], *extensions: bytes) -> list[tuple[int, str]] | None:
    """Numbers and names of the legend; None if the image was drawn as one without labels."""
    image = nib.nifti1.Nifti1Image(array, np.eye(4))
    image.header.extensions.extend(nib.nifti1.Nifti1Extension(0, one) for one in extensions)
    nib.save(image, tmp_path / "x.nii")
    [picture] = pictures_of_results({"x.nii": (tmp_path / "x.nii", {})}, [])
    assert picture is not None
    made: ResultPicture = picture
    return [(entry.number, entry.name) for entry in made.legend] if "labels" in made.caption else None


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "i4"])
def test_small_whole_numbers_are_labels(tmp_path: Path, kind: str) -> None:
    array = np.zeros((6, 5, 4), kind)
    array[1, 1, 0] = 1
    array[2, 2, 3] = most = min(255, np.iinfo(kind).max)
    assert legend_of(tmp_path, array) == [(1, "label 1"), (most, f"label {most}")]
    array[2, 2, 2] = most  # a value in the middle slice
    assert legend_of(tmp_path, array) == [(1, "label 1"), (most, f"label {most}")]
    array[:] = 3  # no background
    assert legend_of(tmp_path, array) == [(3, "label 3")]


@pytest.mark.parametrize(("kind", "value"), [("i1", -1), ("i2", -1), ("i2", 256), ("u2", 256), ("f4", 1)])
@pytest.mark.parametrize("k", [0, 2, 3])
def test_other_numbers_anywhere_are_no_labels(tmp_path: Path, kind: str, value: int, k: int) -> None:
    array = np.zeros((6, 5, 4), kind)
    array[1, 1] = 1
    array[2, 2, k] = value
    assert legend_of(tmp_path, array) is None


def test_an_image_of_many_values_or_four_axes_is_no_label_map(tmp_path: Path) -> None:
    array = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
    assert legend_of(tmp_path, array) is None
    assert legend_of(tmp_path, array % 30) == [(number, f"label {number}") for number in range(1, 30)]
    assert legend_of(tmp_path, (array % 2)[..., None].repeat(2, axis=3)) is None


def test_names_in_an_extension_are_read_and_an_odd_extension_hides_nothing(tmp_path: Path) -> None:
    array = np.zeros((6, 5, 4), np.uint8)
    array[1], array[3] = 1, 2
    named = b'<Label Key="2"><![CDATA[liver ]]></Label>'
    assert legend_of(tmp_path, array, b"\xff\xfe odd", named) == [(1, "label 1"), (2, "liver")]
    accented = '<Label Key="1">größte Läsion</Label>'.encode()
    assert legend_of(tmp_path, array, accented) == [(1, "größte Läsion"), (2, "label 2")]


@pytest.mark.parametrize("columns", [255, 768, 1280])  # every, every third and every fifth pixel is sampled
def test_labels_in_the_middle_of_a_scan_of_many_pixels_are_drawn_in_its_middle(tmp_path: Path, columns: int) -> None:
    """Of a large scan, labels of another grid are sampled at some pixels, which must lie evenly."""
    scan = single_frame(Recipe(columns=columns, rows=64, slices=3, column_distance=0.6), tmp_path)
    volume = read_volume(scan)
    aside = columns * 2 // 5 - columns // 100
    mask = VoxelGrid(np.ones((columns - 2 * aside, 40, 1), np.uint8), volume.affine_lps.copy())
    mask.affine_lps[:3, 3] = (volume.affine_lps @ [aside, 12, 1, 1])[:3]
    nib.save(nib.nifti1.Nifti1Image(mask.array, np.diag([-1, -1, 1, 1]) @ mask.affine_lps), tmp_path / "x.nii")
    [picture] = pictures_of_results({"x.nii": (tmp_path / "x.nii", {})}, scan)
    assert picture is not None
    assert picture.caption.startswith("over")
    pixels = opened(picture.png)
    rows, found = np.nonzero((pixels == LABEL_COLOURS[0]).all(axis=2))
    assert (found.min(), pixels.shape[1] - 1 - found.max()) == pytest.approx(
        [aside / columns * pixels.shape[1]] * 2, abs=2
    )
    assert abs(found.min() - (pixels.shape[1] - 1 - found.max())) <= 1
    assert abs(rows.min() + rows.max() - (pixels.shape[0] - 1)) <= 1
