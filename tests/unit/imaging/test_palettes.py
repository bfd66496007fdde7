"""Palettes and uncompressed YBR are converted to RGB images, or refused with a reason."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.palette import palette_of
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.pictures.series_sheet import display_pixels, preview_series
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.models.images.limits import Limits
from tests.unit.imaging.synthetic import Recipe, single_frame
from tests.unit.imaging.test_colour_maps import colour_map, colours, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Tables:
    """The tables of a palette, and how they are encoded."""

    size: int = 200
    first: int = 20
    depth: int = 16
    word_bytes: int = 2
    seed: int = 1

    @property
    def entries(self) -> NDArray[np.uint16]:
        """Shape (size, 3)."""
        random = np.random.default_rng(self.seed)
        found = random.integers(0, 1 << self.depth, (self.size, 3), dtype=np.uint16)
        found[0] = (1 << self.depth) - 1
        return found

    def write_to(self, ds: Dataset, order: str = "<") -> None:
        ds.PhotometricInterpretation = "PALETTE COLOR"
        for column, colour in enumerate(COLOURS):
            content = self.entries[:, column].astype(f"{order}u{self.word_bytes}").tobytes()
            ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [self.size % 65536, self.first, self.depth])
            ds.add_new(f"{colour}PaletteColorLookupTableData", "OW", content + b"\0" * (len(content) % 2))


ALL_TABLES = (Tables(), Tables(256, 0, 8, 1), Tables(131, 7, 8, 1), Tables(256, 0, 8, 2), Tables(65536, 0))


def palette_series(folder: Path, tables: Tables, *, bits: int = 8, syntax: str = ExplicitVRLittleEndian) -> list[Path]:
    recipe = Recipe(columns=6, rows=4, slices=5, bits_allocated=bits, bits_stored=bits, signed=False, syntax=syntax)
    paths = single_frame(recipe, folder)
    for path in paths:
        ds = dcmread(path)
        tables.write_to(ds, ">" if syntax == ExplicitVRBigEndian else "<")
        ds.save_as(path)
    return paths


def by_position(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: float(dcmread(path).ImagePositionPatient[2]))


def expected_of(tables: Tables, path: Path) -> NDArray[np.uint8]:
    """Shape (rows, columns, 3)."""
    places = np.clip(dcmread(path).pixel_array.astype(int) - tables.first, 0, tables.size - 1)
    found: NDArray[np.uint8] = (tables.entries >> (tables.depth - 8)).astype(np.uint8)[places]
    return found


def check_colours(
    paths: list[Path], tmp_path: Path, expected: Callable[[Path], NDArray[np.uint8]], *, off: int = 0
) -> NDArray[np.uint8]:
    """Compares the converted image with the expected colours of each file, and the displayed pixels with that image."""
    files = AutoConverter().convert(paths, tmp_path / "x.nii")
    array, _affine = written(files.paths[0])
    for k, path in enumerate(by_position(paths)):
        own = array[:, :, k].transpose(1, 0, 2).astype(int)
        assert np.abs(own - expected(path).astype(int)).max() <= off
    frame = examine(by_position(paths)[:1]).stacks[0].first
    np.testing.assert_array_equal(display_pixels(frame, Limits()), array[:, :, 0].transpose(1, 0, 2))
    assert Image.open(io.BytesIO(preview_series(paths))).mode == "RGB"
    return array


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("tables", ALL_TABLES, ids=repr)
def test_a_palette_becomes_the_colours_of_its_tables(tmp_path: Path, tables: Tables, bits: int) -> None:
    check_colours(palette_series(tmp_path, tables, bits=bits), tmp_path, partial(expected_of, tables))


def test_a_palette_is_what_pydicom_makes_of_it(tmp_path: Path) -> None:
    tables = Tables(65536, 0)
    paths = palette_series(tmp_path, tables, bits=16)
    array = written(AutoConverter().convert(paths, tmp_path / "x.nii").paths[0])[0]
    for k, path in enumerate(by_position(paths)):
        ds = dcmread(path)
        np.testing.assert_array_equal(array[:, :, k].transpose(1, 0, 2), apply_color_lut(ds.pixel_array, ds) >> 8)


def test_a_big_endian_palette_is_read_in_its_own_order(tmp_path: Path) -> None:
    paths = palette_series(tmp_path, Tables(), bits=16, syntax=ExplicitVRBigEndian)
    check_colours(paths, tmp_path, partial(expected_of, Tables()))


def test_a_compressed_palette_is_not_taken_for_grey(tmp_path: Path) -> None:
    tables = Tables(256, 0)
    paths = palette_series(tmp_path, tables)
    expected = check_colours(paths, tmp_path, partial(expected_of, tables))
    for path in paths:
        ds = dcmread(path)
        ds.compress(RLELossless)
        ds.save_as(path)
    array = written(AutoConverter().convert(paths, tmp_path / "y.nii").paths[0])[0]
    np.testing.assert_array_equal(array, expected)
    frame = examine(by_position(paths)[:1]).stacks[0].first
    np.testing.assert_array_equal(display_pixels(frame, Limits()), expected[:, :, 0].transpose(1, 0, 2))


def test_each_file_has_the_palette_of_its_own(tmp_path: Path) -> None:
    paths = palette_series(tmp_path, Tables())
    of_path = {path: Tables(seed=number) for number, path in enumerate(paths)}
    for path, tables in of_path.items():
        ds = dcmread(path)
        tables.write_to(ds)
        ds.save_as(path)
    check_colours(paths, tmp_path, lambda path: expected_of(of_path[path], path))


def test_a_palette_in_segments_is_written_out(tmp_path: Path) -> None:
    paths = palette_series(tmp_path, Tables())
    for path in paths:
        ds = dcmread(path)
        for colour, top in zip(COLOURS, (65535, 40000, 300), strict=True):
            del ds[f"{colour}PaletteColorLookupTableData"]
            ds[f"{colour}PaletteColorLookupTableDescriptor"].value = [100, 0, 16]
            segments = [0, 1, 0, 1, 99, top]  # one entry of 0, then 99 along a line
            ds.add_new(f"Segmented{colour}PaletteColorLookupTableData", "OW", np.array(segments, "<u2").tobytes())
        ds.save_as(path)
    array = written(AutoConverter().convert(paths, tmp_path / "x.nii").paths[0])[0]
    ds = dcmread(by_position(paths)[0])
    index = np.minimum(ds.pixel_array, 99).T.astype(float)
    np.testing.assert_allclose(array[:, :, 0, 0], index * 65535 / 99 / 256, atol=1.1)
    np.testing.assert_allclose(array[:, :, 0, 1], index * 40000 / 99 / 256, atol=1.1)


def darken(ds: Dataset) -> None:
    for colour in COLOURS:
        setattr(ds, f"{colour}PaletteColorLookupTableData", b"\7\0" * 200)


def without(keyword: str) -> Any:
    return lambda ds: ds.__delitem__(keyword)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda ds: setattr(ds, "PixelRepresentation", 1), id="signed"),
        pytest.param(without("GreenPaletteColorLookupTableData"), id="a table is missing"),
        pytest.param(without("BluePaletteColorLookupTableDescriptor"), id="a descriptor is missing"),
        pytest.param(
            lambda ds: setattr(ds, "RedPaletteColorLookupTableDescriptor", [100, 20, 16]), id="of several sizes"
        ),
        pytest.param(lambda ds: setattr(ds, "RedPaletteColorLookupTableData", b"\1\0" * 150), id="cut off"),
        pytest.param(
            darken,
            id="bits of entries unknown",
        ),
        pytest.param(lambda ds: setattr(ds, "AlphaPaletteColorLookupTableData", b"\1\0" * 200), id="transparent"),
    ],
)
def test_a_palette_that_is_not_certain_is_refused(tmp_path: Path, spoil: Any) -> None:
    paths = palette_series(tmp_path, Tables())
    for path in paths:
        ds = dcmread(path)
        spoil(ds)
        ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match=r"COLOUR: .* does not say for certain which colours"):
        AutoConverter().convert(paths, tmp_path / "x.nii")
    with pytest.raises(InvalidSeriesError, match="no image that can be shown"):
        preview_series(paths)


def ybr_series(folder: Path, kind: str, planar: int = 0) -> list[Path]:
    paths = colour_map(folder)
    for path in paths:
        ds = dcmread(path)
        ybr = convert_color_space(ds.pixel_array, "RGB", "YBR_FULL")
        if kind == "YBR_FULL_422":  # Y Y B R of every two pixels
            y, hue = ybr[..., 0].reshape(ds.Rows, -1, 2), ybr[:, ::2, 1:]
            pixels = np.concatenate([y, hue], axis=-1)
        else:
            pixels = ybr.transpose(2, 0, 1) if planar else ybr
        ds.PhotometricInterpretation, ds.PlanarConfiguration, ds.PixelData = kind, planar, pixels.tobytes()
        ds.save_as(path)
    return paths


@pytest.mark.parametrize(("kind", "planar"), [("YBR_FULL", 0), ("YBR_FULL", 1), ("YBR_FULL_422", 0)])
def test_uncompressed_ybr_becomes_the_colours_that_pydicom_shows(tmp_path: Path, kind: str, planar: int) -> None:
    array = check_colours(ybr_series(tmp_path, kind, planar), tmp_path, pixel_array)
    if kind == "YBR_FULL":
        assert np.abs(array.astype(int) - colours()).max() <= 3


@pytest.mark.parametrize("odd", [False, True])
def test_pairs_of_pixels_that_cannot_share_their_hue_are_refused(tmp_path: Path, *, odd: bool) -> None:
    paths = ybr_series(tmp_path, "YBR_FULL_422", planar=0 if odd else 1)
    for path in paths if odd else ():
        ds = dcmread(path)
        ds.Columns = 5
        ds.PixelData = ds.PixelData[: 2 * ds.Rows * ds.Columns]
        ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match=r"COLOUR: .* does not say for certain which colours"):
        AutoConverter().convert(paths, tmp_path / "x.nii")


@pytest.mark.parametrize(
    "changes",
    [{"PhotometricInterpretation": kind} for kind in ("YBR_PARTIAL_422", "YBR_RCT", "HSV", "ARGB", "CMYK")]
    + [{"PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 1}],
    ids=repr,
)
def test_colours_of_other_spaces_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    paths = colour_map(tmp_path, **changes)
    with pytest.raises(InvalidSeriesError, match=r"COLOUR|SURPLUS"):
        AutoConverter().convert(paths, tmp_path / "x.nii")


@pytest.mark.parametrize("engine", ["dcm2niix", "dicom2nifti"])
def test_no_engine_converts_indices_of_a_palette_as_values(tmp_path: Path, engine: Any) -> None:
    with pytest.raises(InvalidSeriesError, match="COLOUR"):
        AutoConverter().convert(palette_series(tmp_path, Tables()), tmp_path / "x.nii", engine=engine)


def test_colours_are_no_volume_and_are_not_interpolated(tmp_path: Path) -> None:
    paths = palette_series(tmp_path, Tables())
    with pytest.raises(InvalidSeriesError, match="convert it to NIfTI, whose voxels can be colours"):
        read_volumes(paths)
    with pytest.raises(InvalidSeriesError, match="colours are not interpolated"):
        AutoConverter().convert(paths, tmp_path / "x.nii", policy="resample")


@settings(deadline=None)
@given(
    size=st.integers(1, 300),
    first=st.integers(0, 300),
    depth=st.sampled_from([8, 16]),
    word_bytes=st.sampled_from([1, 2]),
    seed=st.integers(0, 100),
)
def test_every_stored_value_has_the_colour_of_its_entry(
    size: int, first: int, depth: int, word_bytes: int, seed: int
) -> None:
    tables = Tables(size, first, depth, word_bytes if depth == 8 else 2, seed)
    ds = Dataset()
    ds.PixelRepresentation = 0
    tables.write_to(ds)
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    palette = palette_of(ds)
    assert palette is not None
    stored = np.arange(700, dtype=np.uint16)
    entries = [tables.entries[min(max(value - first, 0), size - 1)] >> (depth - 8) for value in range(700)]
    np.testing.assert_array_equal(palette.apply(stored), entries)
