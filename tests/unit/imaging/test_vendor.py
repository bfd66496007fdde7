"""Values in private elements of scanners, also where they differ from those in standard elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import SeriesKind
from tests.unit.imaging.refusals import change, refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.volumes.volume import Volume

MR = Recipe(modality="MR", bits_stored=12, signed=False)
PHILIPS = "Philips MR Imaging DD 001"


def philips(
    paths: list[Path], maker: str = "Philips", creator: str = PHILIPS, block: int = 0x10, **rescale: str
) -> Volume:
    """Scale slope 0.5 and scale intercept 100, in a private block, besides a rescale."""

    def edit(ds: Dataset, _: int) -> None:
        ds.Manufacturer = maker
        if creator:
            ds.add_new(0x20050000 | block, "LO", creator)
        ds.add_new(0x20050000 | block << 8 | 0x0D, "FL", 100.0)
        ds.add_new(0x20050000 | block << 8 | 0x0E, "FL", 0.5)
        for keyword, value in rescale.items():
            setattr(ds, keyword, value)

    return read_volume(change(paths, edit))


def scaled(slope: float, intercept: float) -> np.ndarray[Any, Any]:
    expected: np.ndarray[Any, Any] = MR.values[..., 0] * slope + intercept
    return expected


def test_philips_precise_values_take_the_rescale_intercept(tmp_path: Path) -> None:
    """The values are those of dcm2niix: stored / SS + RI / (RS * SS)."""
    volume = philips(single_frame(MR, tmp_path), RescaleSlope="3", RescaleIntercept="-12")
    np.testing.assert_allclose(volume.array, scaled(2, -8), rtol=1e-6)
    assert "PHILIPS_SCALING" in (volume.report.codes if volume.report else ())


def test_without_a_rescale_the_scale_intercept_counts(tmp_path: Path) -> None:
    np.testing.assert_allclose(philips(single_frame(MR, tmp_path)).array, scaled(2, -200), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "is_precise"),
    [
        ({"block": 0x21}, True),
        ({"maker": ""}, True),
        ({"creator": ""}, True),
        ({"maker": "", "creator": ""}, False),
        ({"creator": "ACME 1.0"}, False),
        ({"maker": "SIEMENS"}, False),
    ],
)
def test_the_scale_slope_counts_where_philips_wrote_it(
    tmp_path: Path, fields: dict[str, Any], *, is_precise: bool
) -> None:
    volume = philips(single_frame(MR, tmp_path), RescaleSlope="3", RescaleIntercept="-12", **fields)
    np.testing.assert_allclose(volume.array, scaled(2, -8) if is_precise else scaled(3, -12), rtol=1e-6)


def test_frames_of_an_enhanced_philips_object_have_their_own(tmp_path: Path) -> None:
    [path] = multi_frame(Recipe(modality="MR", bits_stored=12, signed=False, rescale=("3", "-12")), tmp_path)
    ds = dcmread(path)
    ds.Manufacturer = "Philips Medical Systems"
    for group in ds.PerFrameFunctionalGroupsSequence:
        inner = Dataset()
        inner.add_new(0x20050010, "LO", PHILIPS)
        inner.add_new(0x2005100E, "FL", 0.5)
        group.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
        group.add_new(0x2005140F, "SQ", [inner])
    ds.save_as(path)
    np.testing.assert_allclose(read_volume([path]).array, scaled(2, -8), rtol=1e-6)


def test_ge_tells_magnitude_and_phase_apart_in_private(tmp_path: Path) -> None:
    recipe = Recipe(modality="MR", volumes=4)
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.Manufacturer = "GE MEDICAL SYSTEMS"
        ds.add_new(0x00430010, "LO", "GEMS_PARM_01")
        ds.add_new(0x0043102F, "SS", int(ds.TemporalPositionIdentifier) - 1)
        del ds.TemporalPositionIdentifier
        ds.save_as(path)
    refused(paths, "MULTI_VOLUME")
    volumes = read_volumes(paths, "split")
    assert [volume.name for volume in volumes] == ["magnitude", "phase", "real", "imaginary"]
    for index, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.array, recipe.values[..., index])


@pytest.mark.parametrize(
    ("maker", "owner", "tag", "vr", "value"),
    [
        ("SIEMENS", "SIEMENS MR HEADER", 0x0019100A, "US", 48),
        ("SIEMENS", "SIEMENS MR HEADER", 0x0019100A, "UN", b"0\0"),
        ("SIEMENS", None, 0x0019100A, "US", 48),
        ("SIEMENS", "", 0x0019100A, "US", 48),
        ("UIH", "Image Private Header", 0x00651050, "DS", "20"),
        ("UIH", None, 0x00651050, "DS", "20"),
    ],
)
def test_a_mosaic_that_lost_its_name_is_one(
    tmp_path: Path, maker: str, owner: str | None, tag: int, vr: str, value: Any
) -> None:
    def edit(ds: Dataset, _: int) -> None:
        ds.Manufacturer = maker
        if owner is not None:
            ds.add_new(tag & 0xFFFF0000 | 0x10, "LO", owner)
        ds.add_new(tag, vr, value)

    paths = change(single_frame(MR, tmp_path), edit)
    assert inspect_series(paths).kind is SeriesKind.MOSAIC
    refused(paths, "MOSAIC", "split")


@pytest.mark.parametrize("block", [0x11, 0x40, 0xFF])
@pytest.mark.parametrize("taken", [False, True])
def test_a_mosaic_is_one_whatever_block_counts_its_slices(tmp_path: Path, block: int, *, taken: bool) -> None:
    def edit(ds: Dataset, _: int) -> None:
        ds.Manufacturer = "SIEMENS"
        if taken:
            ds.add_new(0x00190010, "LO", "SOMEBODY ELSE")
            ds.add_new(0x0019100A, "US", 1)
        ds.add_new(0x00190000 | block, "LO", "SIEMENS MR HEADER")
        ds.add_new(0x0019000A | block << 8, "US", 48)

    assert inspect_series(change(single_frame(MR, tmp_path), edit)).kind is SeriesKind.MOSAIC


def test_another_vendors_element_in_the_usual_place_means_nothing(tmp_path: Path) -> None:
    def edit(ds: Dataset, place: int) -> None:
        ds.Manufacturer = "ACME"
        ds.add_new(0x00190010, "LO", "ACME")
        ds.add_new(0x0019100A, "US", 48)
        ds.add_new(0x0019100C, "IS", str(700 * (place % 2)))

    paths = change(single_frame(MR, tmp_path), edit)
    report = inspect_series(paths)
    assert (report.kind, report.is_diffusion, report.is_convertible) == (SeriesKind.VOLUME, False, True)


def test_another_block_of_philips_holds_no_scale(tmp_path: Path) -> None:
    def edit(ds: Dataset, _: int) -> None:
        ds.Manufacturer = "Philips"
        ds.add_new(0x20050010, "LO", "Philips MR Imaging DD 003")
        ds.add_new(0x2005100E, "FL", 7.0)
        ds.add_new(0x20050011, "LO", "Philips MR Imaging DD 001")
        ds.add_new(0x2005110E, "FL", 0.5)

    volume = read_volume(change(single_frame(Recipe(modality="MR"), tmp_path), edit))
    np.testing.assert_array_equal(volume.array, Recipe(modality="MR").values[..., 0] * 2)


def test_an_ordinary_siemens_image_counts_one_slice(tmp_path: Path) -> None:
    def edit(ds: Dataset, _: int) -> None:
        ds.Manufacturer = "SIEMENS"
        ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        ds.add_new(0x0019100A, "US", 1)

    assert read_volume(change(single_frame(MR, tmp_path), edit)).shape == (5, 4, 6)


def test_a_parametric_map_means_what_its_real_world_mapping_says(tmp_path: Path) -> None:
    recipe = Recipe(bits_stored=12, signed=False)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.30")
    mapping = Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 0.001, 1.0
    ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [mapping]
    ds.save_as(path)
    np.testing.assert_allclose(read_volume([path]).array, recipe.values[..., 0] * 0.001 + 1, rtol=1e-6)
