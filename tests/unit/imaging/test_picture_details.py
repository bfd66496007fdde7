"""What stands where in a picture, which images count as labels, and which colours are meant."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless

from dcm_processor_service.imaging.pictures.colours import lab_of_rgb, rgb_of_lab
from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume
from dcm_processor_service.imaging.pictures.key_slices import picture_of_scan
from dcm_processor_service.imaging.pictures.mosaic import Tile, draw_mosaic
from dcm_processor_service.imaging.pictures.panel import Letters
from dcm_processor_service.imaging.pictures.results import pictures_of_results
from dcm_processor_service.imaging.pictures.series_sheet import preview_series
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid

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
    parts = (0, 3, 11, 40, 128, 200, 255)
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


@pytest.mark.parametrize("in_colour", [False, True])
def test_words_keep_to_the_edges_of_their_tile(*, in_colour: bool) -> None:
    grey = np.zeros((100, 100, 3) if in_colour else (100, 100), np.uint8)

    def ink(**words: Any) -> tuple[int, int, int, int]:
        """Rows and columns that the ink leaves free: on top, below, left, right."""
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


# ---- contact sheets ----


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
    pictures = []
    for meaning in ("MONOCHROME2", "MONOCHROME1"):
        ds.PhotometricInterpretation = meaning
        ds.save_as(tmp_path / f"{meaning}.dcm")
        picture = picture_of_scan([tmp_path / f"{meaning}.dcm"], 1)
        assert picture.caption.startswith("MR · ")
        assert picture.caption.endswith("1 images")
        pictures.append(opened(picture.png).astype(int))
    np.testing.assert_allclose(pictures[0] + pictures[1], 255, atol=3)


# ---- results ----


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
    array[2, 2, 2] = most  # the middle slice
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
