from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service.errors import InvalidNameError, InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.nifti.sidecar import bids_metadata, get_simplified_json
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.resampling import percentile_window
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, SliceSource, Volume
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

AFFINE = np.array([[0.0, 0.5, 0.0, 10.0], [0.8, 0.0, 0.0, -20.0], [0.0, 0.0, -2.0, 30.0], [0.0, 0.0, 0.0, 1.0]])


def volume(dtype: str = "int16", **fields: object) -> Volume:
    values = np.arange(6 * 5 * 4).reshape(6, 5, 4).astype(dtype)
    sources = (tuple(SliceSource(f"1.2.{k}") for k in range(4)),)
    return Volume(values, AFFINE, sources=sources, **fields)  # type: ignore[arg-type]  # fields by keyword


def test_ras_negates_two_rows_and_nothing_else() -> None:
    expected = AFFINE.copy()
    expected[:2] *= -1
    np.testing.assert_array_equal(volume().affine("RAS"), expected)
    np.testing.assert_array_equal(volume().affine("LPS"), AFFINE)
    with pytest.raises(UnsupportedValueError, match="LPS or RAS"):
        volume().affine("XYZ")  # type: ignore[arg-type]  # what the message is for


def test_spacing_and_axis_codes_come_from_the_affine() -> None:
    assert volume().spacing_mm == (0.8, 0.5, 2.0)
    assert volume().axis_codes == "PLI"


def test_shapes_and_affines_that_make_no_volume_are_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="axes"):
        Volume(np.zeros((3, 3)), AFFINE)
    for affine in (np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)):
        with pytest.raises(UnsupportedValueError, match="affine"):
            Volume(np.zeros((3, 3, 3)), affine)


def test_like_keeps_the_place_and_refuses_another_shape() -> None:
    mask = volume().like(np.ones((6, 5, 4), bool))
    np.testing.assert_array_equal(mask.affine_lps, AFFINE)
    assert mask.sources == volume().sources
    with pytest.raises(UnsupportedValueError, match="resample"):
        volume().like(np.ones((6, 5, 3)))


def test_reorient_is_a_view_that_carries_sources_along() -> None:
    original = volume()
    turned = original.reorient("SAR")
    assert np.shares_memory(turned.array, original.array)
    assert turned.slice_axis == 0
    assert turned.source(0).sop_instance_uid == "1.2.3"
    assert turned.reorient(original.axis_codes).sources == original.sources
    for wrong in ("RAX", "RRS", "RA", "RLS"):
        with pytest.raises(UnsupportedValueError, match="axes"):
            original.reorient(wrong)


def test_resample_keeps_the_space_that_is_covered() -> None:
    fine = volume().resample((0.4, 0.25, 1.0))
    assert fine.shape == (12, 10, 8)
    assert fine.array.dtype == np.int16
    for corner, other in ((np.array([-0.5, -0.5, -0.5, 1]), None), (np.array([5.5, 4.5, 3.5, 1]), None)):
        assert other is None
        scaled = np.array([2 * (corner[0] + 0.5) - 0.5, 2 * (corner[1] + 0.5) - 0.5, 2 * (corner[2] + 0.5) - 0.5, 1])
        np.testing.assert_allclose(fine.affine_lps @ scaled, AFFINE @ corner, atol=1e-9)
    with pytest.raises(InvalidSeriesError, match="no single source"):
        fine.source(0)


def test_resample_with_nearest_neighbour_makes_no_new_labels() -> None:
    labels = Volume((np.indices((6, 6, 6)).sum(axis=0) % 3 * 7).astype(np.uint8), np.eye(4))
    assert set(np.unique(labels.resample(0.4, "nearest").array)) <= {0, 7, 14}


def test_resampling_a_ramp_gives_the_ramp() -> None:
    ramp = Volume(np.broadcast_to(np.arange(10.0, dtype=np.float32), (3, 4, 10)).copy(), np.eye(4))
    half = ramp.resample((1, 1, 0.5))
    np.testing.assert_allclose(half.array[1, 1, 1:-1], np.arange(0.25, 9.0, 0.5), atol=1e-5)
    for wrong in (0.0, -1.0, float("nan"), (1.0, 2.0)):
        with pytest.raises(UnsupportedValueError, match="spacing"):
            ramp.resample(wrong)  # type: ignore[arg-type]  # what the message is for
    with pytest.raises(UnsupportedValueError, match="interpolation"):
        ramp.resample(1.0, "fourier")  # type: ignore[arg-type]  # what the message is for


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_each_volume_of_several_is_resampled_by_itself(dtype: str, interpolation: Any) -> None:
    values = np.random.default_rng(3).integers(0, 3000, (6, 5, 4, 3)).astype(dtype)
    several = Volume(values, AFFINE, slice_axis=2, invented=(False,) * 4).resample((0.6, 0.7, 1.1), interpolation)
    assert several.array.dtype == np.dtype(dtype)
    for t in range(3):
        alone = Volume(values[..., t], AFFINE).resample((0.6, 0.7, 1.1), interpolation)
        assert several.shape == (*alone.shape, 3)
        np.testing.assert_array_equal(several.array[..., t], alone.array)
        np.testing.assert_array_equal(several.affine_lps, alone.affine_lps)
    assert several.invented == ()


def test_interpolation_does_not_go_beyond_the_numbers_of_a_type() -> None:
    """A cubic spline would overshoot beside an edge."""
    values = np.zeros((12, 1, 1), np.uint8)
    values[6:] = 255
    fine = Volume(values, np.eye(4)).resample((0.25, 1, 1), "cubic").array[:, 0, 0]
    assert (fine[:20] < 30).all()
    assert (fine[28:] > 225).all()


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR", "IPL", "ALI"])
def test_every_voxel_and_source_keeps_its_place_when_axes_are_turned(axes: str) -> None:
    original = Volume(
        np.arange(6 * 5 * 4 * 2).reshape(6, 5, 4, 2),
        AFFINE,
        sources=tuple(tuple(SliceSource(f"1.{t}.{k}") for k in range(4)) for t in range(2)),
        invented=(False, False, True, False),
    )
    turned = original.reorient(axes)
    assert turned.axis_codes == axes
    places = {tuple(np.round(original.affine_lps @ (*index, 1), 6)): index for index in np.ndindex(*original.shape[:3])}
    for index in np.ndindex(*turned.shape[:3]):
        before = places[tuple(np.round(turned.affine_lps @ (*index, 1), 6))]
        np.testing.assert_array_equal(turned.array[index], original.array[before])
        along = index[turned.slice_axis]
        assert [turned.source(along, t) for t in range(2)] == [original.source(before[2], t) for t in range(2)]
        assert turned.invented[along] == (before[2] == 2)


def test_resampling_keeps_large_integers_exact() -> None:
    values = (np.arange(4 * 5 * 6).reshape(4, 5, 6) * 1_000_003 + 2**29).astype(np.int32)
    same = Volume(values, np.eye(4)).resample((1, 1, 0.5)).array[:, :, ::1]
    for k in range(6):
        between = values[:, :, k].astype(np.int64)
        later = values[:, :, min(k + 1, 5)].astype(np.int64)
        earlier = values[:, :, max(k - 1, 0)].astype(np.int64)
        assert np.abs(same[:, :, 2 * k] - (0.75 * between + 0.25 * earlier)).max() <= 0.5
        assert np.abs(same[:, :, 2 * k + 1] - (0.75 * between + 0.25 * later)).max() <= 0.5


def test_a_window_maps_values_linearly_to_bytes() -> None:
    values = volume().window(60, 40)
    assert values.dtype == np.uint8
    assert (values[0, 0, 0], values[-1, -1, -1]) == (0, 255)
    np.testing.assert_array_equal(volume(display_window=DisplayWindow(60, 40)).window(), values)
    assert volume().window().max() == 255
    assert Volume(np.full((2, 2, 2), np.nan), np.eye(4)).window().max() == 0


def test_half_a_window_is_that_of_the_header() -> None:
    one = volume(display_window=DisplayWindow(60, 40))
    np.testing.assert_array_equal(one.window(center=10), one.window())
    np.testing.assert_array_equal(one.window(width=10), one.window())
    assert (one.window(10, 2) != one.window()).any()


def test_a_negative_is_shown_inverted() -> None:
    values = np.arange(256, dtype=np.int16).reshape(16, 16, 1)
    positive, negative = (Volume(values, np.eye(4), is_monochrome1=is_negative) for is_negative in (False, True))
    np.testing.assert_array_equal(positive.window(127.5, 255), values)
    np.testing.assert_array_equal(negative.window(127.5, 255), 255 - values)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">i2", "int32", "float32"])
def test_a_large_image_is_shown_as_its_parts_are(dtype: str) -> None:
    values = np.random.default_rng(1).integers(0, 255, (260, 260, 1)).astype(dtype)
    values[0] = 200
    shown = Volume(values, np.eye(4)).window(100, 150)
    np.testing.assert_array_equal(shown[:100], Volume(values[:100], np.eye(4)).window(100, 150))
    np.testing.assert_array_equal(shown[100:], Volume(values[100:], np.eye(4)).window(100, 150))


def test_the_window_of_a_large_volume_is_that_of_most_of_its_voxels() -> None:
    values = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 180, 90))
    window = percentile_window(values)
    assert window.center == pytest.approx(99.5, abs=3)
    assert window.width == pytest.approx(196, abs=6)


def test_voxels_that_are_no_numbers_make_no_window() -> None:
    values = np.linspace(0, 100, 101, dtype=np.float32).reshape(101, 1, 1).repeat(2, axis=1)
    values[:, 1] = np.nan
    window = percentile_window(values)
    assert [window.center, window.width] == pytest.approx([50, 98])


def test_the_picture_of_several_volumes_is_that_of_the_middle_one() -> None:
    values = np.zeros((6, 5, 4, 3), np.int16)
    blank = Volume(values, AFFINE)._repr_png_()
    values[..., 1] = np.arange(4) * 100
    window = DisplayWindow(100, 200)
    assert Volume(values, AFFINE, display_window=window)._repr_png_() != blank
    values[..., 0], values[..., 1] = values[..., 1].copy(), 0
    assert (
        Volume(values, AFFINE, display_window=window)._repr_png_()
        == Volume(values * 0, AFFINE, display_window=window)._repr_png_()
    )


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("bool", "uint8"), ("float16", "float32"), ("int64", "int32"), ("uint16", "uint16"), ("float64", "float64")],
)
def test_every_number_type_reaches_nifti(tmp_path: Path, dtype: str, stored: str) -> None:
    one = volume(dtype)
    image = one.to_nifti()
    assert image.get_data_dtype() == np.dtype(stored)
    one.to_nifti(tmp_path / "x.nii.gz")
    again = nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(again.get_fdata(), one.array.astype(float))


def test_what_nifti_cannot_hold_is_refused() -> None:
    with pytest.raises(UnsupportedValueError, match="32 bits"):
        Volume(np.full((2, 2, 2), 2**40), np.eye(4)).to_nifti()
    with pytest.raises(UnsupportedValueError, match="numbers"):
        Volume(np.full((2, 2, 2), "a"), np.eye(4)).to_nifti()


def test_an_image_in_memory_shares_it_and_names_units() -> None:
    one = volume()
    image = one.to_nifti()
    assert np.shares_memory(np.asanyarray(image.dataobj), one.array)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-5)


def test_files_appear_whole_with_their_sidecar_or_not_at_all(tmp_path: Path) -> None:
    written = volume(modality="CT").to_nifti(tmp_path / "a.nii" / "b.nii.gz")
    assert sorted(path.name for path in (tmp_path / "a.nii").iterdir()) == ["b.json", "b.nii.gz"]
    assert written.volumes[0].shape == (6, 5, 4)
    np.testing.assert_array_equal(np.array(written.volumes[0].affine_ras), volume().affine("RAS"))
    with pytest.raises(InvalidNameError):
        volume().to_nifti(tmp_path / "x.img")
    with pytest.raises(UnsupportedValueError, match="sidecar"):
        volume().to_nifti(tmp_path / "x.nii", "xml")  # type: ignore[call-overload]  # what the message is for
    assert not (tmp_path / "x.nii").exists()


def test_bids_metadata_has_seconds_and_no_patient(tmp_path: Path) -> None:
    extra = {"RepetitionTime": "2000", "EchoTime": "30.5", "Manufacturer": "MAKER", "MagneticFieldStrength": "3"}
    one = read_volume(single_frame(Recipe(modality="MR", extra=extra), tmp_path))
    one.to_nifti(tmp_path / "x.nii")
    content = json.loads((tmp_path / "x.json").read_text())
    assert (content["RepetitionTime"], content["EchoTime"], content["Manufacturer"]) == (2, 0.0305, "MAKER")
    assert "SECRET" not in json.dumps(content).upper()
    assert not any(key.startswith("Patient") and key != "PatientPosition" for key in content)


def test_bids_metadata_looks_into_functional_groups() -> None:
    header, shared, timing = Dataset(), Dataset(), Dataset()
    timing.RepetitionTime = 1500
    shared.MRTimingAndRelatedParametersSequence = [timing]
    header.SharedFunctionalGroupsSequence = [shared]
    assert bids_metadata(header)["RepetitionTime"] == 1.5


def test_simplified_json_is_the_platforms(tmp_path: Path) -> None:
    one = read_volume(single_frame(Recipe(slices=5), tmp_path))
    one.to_nifti(tmp_path / "x.nii", "simplified")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["PatientName"] == "Secret^Person"
    assert content["Slices"] == 5
    assert content["PixelSpacing"] == [0.8, 0.6]
    assert "PixelData" not in content


def test_what_is_nested_stays_nested_and_never_replaces_the_top_level() -> None:
    ds, other = Dataset(), Dataset()
    other.PatientID = "OTHER-ID"
    ds.PatientID = "OWN-ID"
    ds.OtherPatientIDsSequence = [other]
    ds.PatientAge = "030M"
    ds.ReferringPhysicianName = "Doe^Jane"
    ds.AccessionNumber = ""
    ds.add_new(0x00091001, "LO", "private")
    assert get_simplified_json(ds) == {
        "PatientID": "OWN-ID",
        "PatientAge": 2,
        "OtherPatientIDsSequence": [{"PatientID": "OTHER-ID"}],
        "ReferringPhysicianName": [{"Alphabetic": "Doe^Jane"}],
    }


def test_simplified_json_survives_what_real_headers_hold() -> None:
    for name in ("CT_small.dcm", "badVR.dcm", "rtplan.dcm", "test-SR.dcm", "nested_priv_SQ.dcm"):
        found = get_testdata_file(name, download=False)
        assert isinstance(found, str)
        ds = dcmread(found, force=True)
        before = len(ds)
        result = get_simplified_json(ds, n_slices=1)
        assert result["Slices"] == 1
        assert json.loads(json.dumps(result)) == result
        assert len(ds) == before
