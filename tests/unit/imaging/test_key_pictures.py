"""Small contact sheets show the right slices the right way up, with labels at their places and the right window."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service.imaging.pictures.key_slices import Scan, picture_of_scan, tiles_of
from dcm_processor_service.imaging.pictures.mosaic import LABEL_COLOURS, Tile, draw_mosaic, label_colour
from dcm_processor_service.imaging.pictures.panel import Letters, Panel
from dcm_processor_service.imaging.pictures.png import encode_png
from dcm_processor_service.imaging.pictures.presets import preset_window
from dcm_processor_service.imaging.pictures.results import pictures_of_results
from dcm_processor_service.imaging.pictures.segmentation_picture import picture_of_segmentation
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.resampling import apply_window
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid
from tests.desk import examples
from tests.unit.imaging.synthetic import Recipe, all_orientations, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.models.images.pictures import ResultPicture

SMALL = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)


def opened(png: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@settings(max_examples=examples(30))
@given(hnp.arrays(np.uint8, st.one_of(SMALL, SMALL.map(lambda shape: (*shape, 3)))))
def test_a_png_is_read_back_as_it_was(pixels: np.ndarray[Any, Any]) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_a_palette_gives_indices_their_colours() -> None:
    picture = opened(encode_png(np.array([[0, 1]], np.uint8), [(1, 2, 3), (4, 5, 6)]))
    assert picture.tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", ">u2"])
@pytest.mark.parametrize("monochrome1", [False, True])
def test_many_values_are_windowed_as_few_are(dtype: str, *, monochrome1: bool) -> None:
    values = np.arange(70_000).astype(dtype)
    window = DisplayWindow(300, 900)
    whole = apply_window(values, window, is_monochrome1=monochrome1)
    parts = [apply_window(part, window, is_monochrome1=monochrome1) for part in np.split(values, 7)]
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(
    ("modality", "part", "unit", "expected"),
    [
        ("CT", "CHEST", "HU", (-500, 1500)),
        ("CT", "HEAD", "HU", (40, 80)),
        ("CT", "LSPINE", "HU", (400, 1800)),
        ("CT", "", "HU", (40, 400)),
        ("CT", "CHEST", "", None),
        ("MR", "BRAIN", "", None),
    ],
)
def test_a_preset_goes_by_modality_body_part_and_unit(
    modality: str, part: str, unit: str, expected: tuple[float, float] | None
) -> None:
    found = preset_window(modality, part, unit)
    assert (None if found is None else (found.center, found.width)) == expected


def scan_of(folder: Path, **more: Any) -> list[Path]:
    return single_frame(Recipe(columns=40, rows=40, slices=10, **more), folder)


def test_the_window_is_that_of_the_header_or_else_a_preset(tmp_path: Path) -> None:
    ct = {"rescale": ("1", "-1024")}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    said = scan_of(tmp_path / "a", extra={"WindowCenter": "77", "WindowWidth": "99"}, **ct)
    silent = scan_of(tmp_path / "b", extra={"BodyPartExamined": "CHEST"}, **ct)
    assert "window 77 / 99" in picture_of_scan(said, 10).caption
    assert "window -500 / 1500 HU" in picture_of_scan(silent, 10).caption


def test_a_few_files_stand_for_a_series(tmp_path: Path) -> None:
    paths = scan_of(tmp_path)
    few = picture_of_scan(paths[1::3], 10)
    assert few.caption.startswith("CT · 3 of 10 slices")
    assert few.shows == "series"
    assert few.name == read_volume(paths).series_instance_uid


@pytest.mark.parametrize("name", ["SC_rgb_small_odd.dcm", "JPEG2000.dcm", "rtdose.dcm", "examples_overlay.dcm"])
def test_images_that_make_no_stack_are_shown_one_by_one(name: str) -> None:
    from pathlib import Path

    found = str(get_testdata_file(name, download=False))
    picture = opened(picture_of_scan([Path(found)], 1).png)
    assert len(np.unique(picture)) > 5


@pytest.mark.parametrize("count", [1, 3])
def test_a_mosaic_is_shown_as_the_images_that_it_is_not_as_slices(tmp_path: Path, count: int) -> None:
    recipe = Recipe(modality="MR", slices=count, rows=24, columns=24, extra={"Manufacturer": "SIEMENS"})
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
        ds.save_as(path)
    picture = picture_of_scan(paths, count)
    assert picture.caption == f"MR · mosaic · {count} image{'s' * (count > 1)}"


def drawn(path: Path, scan: list[Path], names: dict[int, str] | None = None) -> ResultPicture:
    [picture] = pictures_of_results({path.name: (path, names or {})}, scan)
    assert picture is not None
    return picture


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIL"])
def test_a_label_in_the_patients_right_front_and_head_is_drawn_there(tmp_path: Path, codes: str) -> None:
    scan = scan_of(tmp_path)
    volume = read_volume(scan)
    mask = np.zeros(volume.shape, np.uint8)
    mask[4:12, 6:14, 8] = 3  # in LPS, a small i is on the right, and a small j at the front
    nib.save(volume.like(mask).reorient(codes).to_nifti(), tmp_path / "mask.nii.gz")
    picture = drawn(tmp_path / "mask.nii.gz", scan)
    rows, columns = np.nonzero((opened(picture.png) == LABEL_COLOURS[0]).all(axis=2))
    tile = opened(picture.png).shape[1]
    assert 0.05 * tile < columns.mean() < 0.35 * tile
    assert rows.mean() < 0.5 * opened(picture.png).shape[0]
    assert "1 of 10 slices" in picture.caption
    assert [(entry.number, entry.name) for entry in picture.legend] == [(3, "label 3")]
    assert picture.legend[0].volume_ml == pytest.approx(64 * np.prod(volume.spacing_mm) / 1000, abs=1e-3)


def test_labels_have_the_names_that_were_stored_or_else_those_in_the_file(tmp_path: Path) -> None:
    array = np.zeros((9, 9, 9), np.uint8)
    array[2:4], array[5:7] = 1, 2
    image = nib.nifti1.Nifti1Image(array, np.eye(4))
    text = (
        '<CaretExtension><Label Key="1" Red="1"><![CDATA[spleen]]></Label><Label Key="2">liver</Label></CaretExtension>'
    )
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, text.encode()))
    nib.save(image, tmp_path / "labels.nii.gz")
    assert [entry.name for entry in drawn(tmp_path / "labels.nii.gz", []).legend] == ["spleen", "liver"]
    told = drawn(tmp_path / "labels.nii.gz", [], {2: "hepar"})
    assert [entry.name for entry in told.legend] == ["spleen", "hepar"]
    assert "no scan lies below" in told.caption


def test_an_image_of_four_axes_shows_its_middle_volume(tmp_path: Path) -> None:
    array = np.zeros((12, 12, 4, 3), np.float32)
    array[..., 1] = np.arange(12)[:, None, None]
    nib.save(nib.nifti1.Nifti1Image(array, np.eye(4)), tmp_path / "four.nii")
    assert len(np.unique(opened(drawn(tmp_path / "four.nii", []).png))) > 5


def test_outlines_are_two_pixels_wide_and_leave_the_inside_open() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[50:150, 50:150] = 1
    png = opened(draw_mosaic([Tile(np.full((200, 200), 100, np.uint8), labels=labels)]))
    line = (png[png.shape[0] // 2] == LABEL_COLOURS[0]).all(axis=1)
    assert line.sum() == 4
    assert not line[png.shape[1] // 2]


def test_a_series_without_a_volume_has_no_scan_below_labels(tmp_path: Path) -> None:
    assert Scan.of([]) is None
    (tmp_path / "x.dcm").write_bytes(b"no DICOM")
    assert Scan.of([tmp_path / "x.dcm"]) is None


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("orientation", all_orientations(), ids=str)
def test_tiles_stand_as_radiologists_see_them_each_with_its_caption(
    orientation: tuple[float, ...], *, reverse: bool
) -> None:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row, column, np.cross(row, column) * (-1 if reverse else 1)])
    shape = (6, 4, 5)
    places = np.einsum("ax,xijk->aijk", affine[:3, :3], np.indices(shape))
    numbers = [str(k + 1) for k in range(shape[2])]
    tiles = tiles_of(VoxelGrid(np.indices(shape)[2].astype(np.uint8), affine), numbers)
    assert [(tile.caption, np.unique(tile.grey).tolist()) for tile in tiles] == [
        (number, [k]) for k, number in enumerate(numbers)
    ]
    for axis, (low, high) in enumerate((("R", "L"), ("A", "P"), ("I", "S"))):
        is_high = (places[axis] > np.median(places[axis])).astype(np.uint8)
        for tile in tiles_of(VoxelGrid(is_high, affine), numbers, is_high):
            assert tile.labels is not None
            assert np.array_equal(tile.labels, tile.grey)
            letters = tile.letters
            for one, other, half in (
                (letters.left, letters.right, tile.grey.mean(axis=0)),
                (letters.top, letters.bottom, tile.grey.mean(axis=1)),
            ):
                if {one, other} == {low, high}:
                    assert one in {"R", "A", "S"}
                    assert (half[0] > half[-1]) == (one == high)


@pytest.mark.parametrize("inside", [(slice(9, 20), slice(11, 30)), (slice(0, 15), slice(25, 40))])
def test_a_cropped_mask_is_drawn_as_the_whole_one_is(tmp_path: Path, inside: tuple[slice, slice]) -> None:
    scan = scan_of(tmp_path)
    volume = read_volume(scan)
    mask = np.zeros(volume.shape, np.uint8)
    mask[inside] = 1
    nib.save(volume.like(mask).to_nifti(), tmp_path / "whole.nii.gz")
    affine = volume.affine("RAS") @ np.block(
        [[np.eye(3), np.array([[one.start] for one in (*inside, slice(0, 1))])], [0, 0, 0, 1]]
    )
    nib.save(nib.nifti1.Nifti1Image(mask[inside], affine), tmp_path / "cropped.nii.gz")
    whole, cropped = (drawn(tmp_path / f"{name}.nii.gz", scan) for name in ("whole", "cropped"))
    assert np.array_equal(opened(whole.png), opened(cropped.png))
    assert whole.legend[0].volume_ml == cropped.legend[0].volume_ml


def seg_over(scan: list[Path], masks: np.ndarray[Any, Any], *, packed: bool, aside_mm: float = 0.0) -> Dataset:
    """Makes a minimal SEG of masks of shape (segments, columns, rows, slices), without empty frames."""
    affine = read_volume(scan).affine_lps
    ds, frames, content = Dataset(), [], []
    for number, mask in enumerate(masks, 1):
        for k in np.flatnonzero(mask.any(axis=(0, 1))):
            groups, place, segment = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = list(affine[:3, 2] * k + affine[:3, 3] + [0, 0, aside_mm])
            segment.ReferencedSegmentNumber = number
            groups.PlanePositionSequence, groups.SegmentIdentificationSequence = [place], [segment]
            frames.append(groups)
            content.append(mask[:, :, k].T)
    ds.PerFrameFunctionalGroupsSequence, ds.SegmentSequence = frames, []
    for number, label in enumerate(("liver", ""), 1):
        described = Dataset()
        described.SegmentNumber, described.SegmentLabel = number, label
        ds.SegmentSequence.append(described)
    ds.Columns, ds.Rows = masks.shape[1:3]
    ds.BitsAllocated = 1 if packed else 8
    if not packed:
        ds.MaximumFractionalValue = 100
    whole = np.stack(content)
    fractions = np.where(whole, 50, 49).astype(np.uint8)
    ds.PixelData = (np.packbits(whole, bitorder="little") if packed else fractions).tobytes()
    return ds


@pytest.mark.parametrize("packed", [True, False])
def test_segments_are_drawn_on_their_slices_and_measured(tmp_path: Path, *, packed: bool) -> None:
    window = {"WindowCenter": "0", "WindowWidth": "70000"}
    scan = single_frame(Recipe(columns=37, rows=41, slices=10, extra=window), tmp_path)
    volume = read_volume(scan)
    masks = np.zeros((2, *volume.shape), bool)
    masks[0, 3:12, 4:15, [0, 3, 9]] = True
    masks[1, 22:30, 25:35, 3:4] = True
    seg = seg_over(scan, masks, packed=packed)
    if not packed:
        del seg.SegmentSequence[1].SegmentLabel
    picture = picture_of_segmentation(seg, scan)
    assert picture is not None
    assert "3 of 10 slices" in picture.caption
    voxel_ml = float(np.prod(volume.spacing_mm)) / 1000
    assert [(one.number, one.name, one.colour) for one in picture.legend] == [
        (1, "liver", label_colour(0)),
        (2, "segment 2", label_colour(1)),
    ]
    assert [one.volume_ml for one in picture.legend] == pytest.approx(
        [9 * 11 * 3 * voxel_ml, 8 * 10 * voxel_ml], abs=1e-3
    )
    labels = (masks[0] + 2 * masks[1]).astype(np.uint8)
    grey = VoxelGrid(apply_window(volume.array[:, :, [0, 3, 9]], DisplayWindow(0, 70000)), volume.affine_lps)
    tiles = tiles_of(grey, ["1", "4", "10"], labels[:, :, [0, 3, 9]])
    expected, found = opened(draw_mosaic(tiles)), opened(picture.png)
    np.testing.assert_array_equal(found, expected)
    assert all((found == colour).all(axis=2).any() for colour in LABEL_COLOURS[:2])


def test_a_segment_is_measured_in_millilitres(tmp_path: Path) -> None:
    scan = single_frame(Recipe(columns=16, rows=12, slices=3, column_distance=30, row_distance=40, step=50), tmp_path)
    masks = np.zeros((1, 16, 12, 3), bool)
    masks[0, 3:13, 2:7, 1:] = True
    picture = picture_of_segmentation(seg_over(scan, masks, packed=True), scan)
    assert picture is not None
    assert [one.volume_ml for one in picture.legend] == [100 * 60]  # voxels of 60,000 cubic millimetres


def test_segments_that_lie_beside_the_slices_or_are_empty_are_not_drawn(tmp_path: Path) -> None:
    scan = single_frame(Recipe(columns=16, rows=12, slices=4), tmp_path)
    masks = np.zeros((1, 16, 12, 4), bool)
    masks[0, 3:9, 2:7] = True
    assert picture_of_segmentation(seg_over(scan, masks, packed=True), scan) is not None
    for aside_mm in (1.0, -40.0, -2.5, 10.0):
        assert picture_of_segmentation(seg_over(scan, masks[..., -1:], packed=True, aside_mm=aside_mm), scan) is None
    transposed = seg_over(scan, masks, packed=True)
    transposed.Rows, transposed.Columns = 16, 12
    assert picture_of_segmentation(transposed, scan) is None
    empty = seg_over(scan, masks, packed=True)
    empty.PixelData = bytes(len(empty.PixelData))
    assert picture_of_segmentation(empty, scan) is None
    assert picture_of_segmentation(empty, []) is None


@pytest.mark.parametrize(
    ("letter", "across", "down"), [("left", 0.0, 0.5), ("right", 1.0, 0.5), ("top", 0.5, 0.0), ("bottom", 0.5, 1.0)]
)
def test_letters_stand_at_the_edge_that_they_name(letter: str, across: float, down: float) -> None:
    tile = Tile(np.zeros((100, 100), np.uint8), letters=Letters(**{letter: "R"}))
    rows, columns = np.nonzero(opened(draw_mosaic([tile])).max(axis=2) > 100)
    if letter == "bottom":  # where the caption stands
        assert not len(rows)
        return
    height, width = opened(draw_mosaic([tile])).shape[:2]
    assert columns.mean() / width == pytest.approx(across, abs=0.1)
    assert rows.mean() / height == pytest.approx(down, abs=0.1)


@pytest.mark.parametrize("times", [1, 3])
def test_an_image_that_lies_on_no_scan_is_drawn_slice_by_slice_as_it_lies(tmp_path: Path, times: int) -> None:
    array = np.random.default_rng(1).normal(size=(14, 12, 5, times)).astype(np.float32).cumsum(axis=0)
    affine = np.diag([-0.6, -0.8, 2.5, 1.0])
    nib.save(nib.nifti1.Nifti1Image(array if times > 1 else array[..., 0], affine), tmp_path / "x.nii")
    picture = drawn(tmp_path / "x.nii", [])
    shown = array[..., times // 2]
    said = re.search(r"window ([-\d.]+) / ([\d.]+)", picture.caption)
    assert said is not None
    grid = VoxelGrid(apply_window(shown, DisplayWindow(*map(float, said.groups()))), np.diag([0.6, 0.8, 2.5, 1.0]))
    expected = opened(draw_mosaic(tiles_of(grid, ["1", "2", "3", "4", "5"])))
    # the caption rounds the window
    np.testing.assert_allclose(opened(picture.png).astype(int), expected.astype(int), atol=3)
    size = "14 × 12 × 5" + (" × 3" if times > 1 else "")
    assert picture.caption.startswith(f"5 of 5 slices · {size}, 0.6 × 0.8 × 2.5 mm · window")


def test_the_caption_tells_the_size_of_voxels_and_of_a_few_files_that_of_pixels(tmp_path: Path) -> None:
    paths = scan_of(tmp_path)
    assert "40 × 40, 0.6 × 0.8 × 2.5 mm · " in picture_of_scan(paths, 10).caption
    assert "40 × 40, 0.6 × 0.8 mm · " in picture_of_scan(paths[::3], 10).caption


@pytest.mark.parametrize(("pixel_mm", "tall"), [(None, 1.0), ((1.0, 1.0), 1.0), ((2.0, 1.0), 2.0), ((0.5, 1.0), 0.5)])
def test_pixels_are_drawn_as_tall_as_they_are(pixel_mm: tuple[float, float] | None, tall: float) -> None:
    assert Panel(np.zeros((10, 20), np.uint8), pixel_mm=pixel_mm).extent == (10 * tall, 20)
