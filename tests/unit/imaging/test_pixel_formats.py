"""How stored values are read: floating-point pixels, contradicting headers, and images without pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.imaging.volumes.volume import Volume
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FLOAT, DOUBLE = "FloatPixelData", "DoubleFloatPixelData"
_BITS = {FLOAT: 32, DOUBLE: 64}


def floating(paths: list[Path], keyword: str, bits: int = 0) -> list[Path]:
    """Makes the pixels of files floating point: what was stored, plus a quarter (PS3.3, C.7.6.24 and C.7.6.25)."""
    for path in paths:
        ds = dcmread(path)
        values = ds.pixel_array + 0.25
        order = ">" if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
        ds.BitsAllocated = bits or _BITS[keyword]
        for absent in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
            delattr(ds, absent)
        setattr(ds, keyword, values.astype(f"{order}f{_BITS[keyword] // 8}").tobytes())
        ds.save_as(path)
    return paths


@pytest.mark.parametrize("write", [single_frame, multi_frame])
@pytest.mark.parametrize("keyword", [FLOAT, DOUBLE])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_floating_point_pixels_are_read(
    tmp_path: Path, write: Callable[..., list[Path]], keyword: str, syntax: str
) -> None:
    recipe = Recipe(slices=3, volumes=2, bits_stored=12, syntax=syntax, rescale=("2", "-3"))
    paths = floating(write(recipe, tmp_path), keyword)
    report = inspect_series(paths)
    assert report.codes == {"MULTI_VOLUME"}
    assert report.parts[0].voxel_type == "float32"
    volume = read_volume(paths)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, (recipe.values + 0.5).astype(np.float32))


@pytest.mark.parametrize("keyword", [FLOAT, DOUBLE])
def test_whole_numbers_stored_as_floats_keep_their_fractions_and_special_values(tmp_path: Path, keyword: str) -> None:
    paths = floating(single_frame(Recipe(slices=2, bits_stored=12), tmp_path), keyword)
    special = [np.nan, np.inf, -np.inf, 1e-30]
    for path in paths:
        ds = dcmread(path)
        values = np.tile(special, 5).astype(f"<f{_BITS[keyword] // 8}")
        setattr(ds, keyword, values.tobytes())
        ds.save_as(path)
    np.testing.assert_array_equal(
        read_volume(paths).array.transpose(2, 1, 0).ravel(), np.array(special * 10, np.float32)
    )


def test_bits_of_integers_say_nothing_about_floating_point_pixels(tmp_path: Path) -> None:
    recipe = Recipe(slices=2, bits_stored=12)
    paths = edited(floating(single_frame(recipe, tmp_path), FLOAT), {"BitsStored": 64, "HighBit": 15})
    np.testing.assert_array_equal(read_volume(paths).array, (recipe.values[..., 0] + 0.25).astype(np.float32))


def test_doubles_beyond_float32_are_refused_not_made_infinite(tmp_path: Path) -> None:
    paths = floating(single_frame(Recipe(slices=2), tmp_path), DOUBLE)
    ds = dcmread(paths[0])
    ds.DoubleFloatPixelData = np.full(20, 1e39).tobytes()
    ds.save_as(paths[0])
    with pytest.raises(InvalidSeriesError, match=f"{ds.SOPInstanceUID} has values that are too large for float32"):
        read_volume(paths)


@pytest.mark.parametrize(("keyword", "bits"), [(FLOAT, 16), (FLOAT, 64), (DOUBLE, 32), (DOUBLE, 16)])
def test_floating_point_pixels_of_another_width_than_allocated_are_refused(
    tmp_path: Path, keyword: str, bits: int
) -> None:
    refused(floating(single_frame(Recipe(slices=2), tmp_path), keyword, bits), "UNSUPPORTED_PIXELS", "split")


def edited(paths: list[Path], values: dict[str, int], only: int | None = None) -> list[Path]:
    for path in paths if only is None else [paths[only]]:
        ds = dcmread(path)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return paths


@pytest.mark.parametrize(
    ("allocated", "stored", "high"),
    [(16, 12, 15), (16, 12, 12), (16, 12, 10), (16, 12, 0), (16, 16, 11), (16, 17, 16), (16, 32, 31), (16, 12, 16),
     (16, 0, 15), (8, 12, 11), (8, 8, 8), (32, 33, 32)],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["strict", "split", "largest"])
def test_bits_that_contradict_each_other_are_refused(
    tmp_path: Path, allocated: int, stored: int, high: int, policy: str
) -> None:
    """PS3.5, section 8.1.1. Some readers shift such values and some do not, so no reading of them is right."""
    recipe = Recipe(slices=2, bits_allocated=allocated, bits_stored=allocated, signed=False)
    paths = edited(single_frame(recipe, tmp_path), {"BitsStored": stored, "HighBit": high}, only=1)
    report = refused(paths, "CONTRADICTING_BITS", policy)
    [finding] = report.findings
    assert finding.sop_instance_uids == (dcmread(paths[1]).SOPInstanceUID,)


def test_no_bits_stored_at_all_are_refused(tmp_path: Path) -> None:
    paths = edited(single_frame(Recipe(slices=2), tmp_path), {"BitsStored": 0})
    for path in paths:
        ds = dcmread(path)
        del ds.HighBit
        ds.save_as(path)
    assert refused(paths, "CONTRADICTING_BITS", "split").parts[0].voxel_type == "none"


@pytest.mark.parametrize("engine", ["auto", "native", "dcm2niix", "dicom2nifti"])
def test_no_engine_converts_bits_that_contradict_each_other(tmp_path: Path, engine: Any) -> None:
    recipe = Recipe(slices=3, bits_stored=12, signed=False)
    paths = edited(single_frame(recipe, tmp_path), {"HighBit": 15})
    with pytest.raises(InvalidSeriesError, match="CONTRADICTING_BITS"):
        AutoConverter(engine).convert(paths, tmp_path / "x.nii")
    assert not (tmp_path / "x.nii").exists()


@pytest.mark.parametrize("absent", [["HighBit"], ["BitsStored", "HighBit"]])
@pytest.mark.parametrize("signed", [True, False])
def test_bits_that_a_header_leaves_out_follow_from_the_others(
    tmp_path: Path, absent: list[str], *, signed: bool
) -> None:
    recipe = Recipe(slices=2, bits_stored=12 if absent == ["HighBit"] else 16, signed=signed)
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        for keyword in absent:
            delattr(ds, keyword)
        ds.save_as(path)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


@pytest.mark.parametrize("write", [single_frame, multi_frame])
@pytest.mark.parametrize("size", [{"Rows": 0}, {"Columns": 0}, {"Rows": 0, "Columns": 0}])
@pytest.mark.parametrize("policy", ["strict", "split", "largest", "resample"])
def test_an_image_without_rows_or_columns_is_refused(
    tmp_path: Path, write: Callable[..., list[Path]], size: dict[str, int], policy: str
) -> None:
    paths = edited(write(Recipe(slices=3), tmp_path), size)
    report = refused(paths, "EMPTY_IMAGE", policy)
    assert "no rows or columns" in str(report)


@pytest.mark.parametrize("write", [single_frame, multi_frame])
@pytest.mark.parametrize("count", [0, -1])
def test_an_image_that_declares_no_frames_is_refused(
    tmp_path: Path, write: Callable[..., list[Path]], count: int
) -> None:
    paths = edited(write(Recipe(slices=3), tmp_path), {"NumberOfFrames": count})
    report = refused(paths, "INCONSISTENT_FRAMES", "split")
    assert "more or fewer frames than it declares" in str(report)


def test_one_frame_that_is_declared_is_one_slice(tmp_path: Path) -> None:
    recipe = Recipe(slices=3)
    paths = edited(single_frame(recipe, tmp_path), {"NumberOfFrames": 1})
    [volume] = read_volumes(paths)
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0])


@pytest.mark.parametrize("shape", [(0, 4, 3), (5, 0, 3), (5, 4, 0), (5, 4, 3, 0), (0, 0, 0)])
def test_a_volume_without_a_voxel_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedValueError, match="at least one voxel along each axis"):
        Volume(np.zeros(shape), np.eye(4))
