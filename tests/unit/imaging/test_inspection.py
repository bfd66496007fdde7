"""Series that provoke each finding, and what each policy does with them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import SeriesKind, SeriesReport
from tests.unit.imaging.refusals import change, in_slice_order, refused, together
from tests.unit.imaging.synthetic import Recipe, rotated, single_frame

if TYPE_CHECKING:
    from pathlib import Path


def test_a_clean_volume_has_no_findings(tmp_path: Path) -> None:
    report = inspect_series(single_frame(Recipe(signed=True, bits_stored=12), tmp_path))
    assert report.kind is SeriesKind.VOLUME
    assert report.findings == ()
    assert report.is_convertible
    assert report.shape == (5, 4, 6)
    assert report.spacing_mm == pytest.approx((0.6, 0.8, 2.5))
    assert report.orientation == "axial"
    assert report.parts[0].voxel_type == "int16"
    assert report.memory_bytes == 5 * 4 * 6 * 2
    assert SeriesReport.model_validate_json(report.model_dump_json()) == report
    assert "5 x 4 x 6 voxels of 0.6 x 0.8 x 2.5 mm, axial, int16" in str(report)


def test_memory_of_a_rescaled_series_is_that_of_floats(tmp_path: Path) -> None:
    paths = single_frame(Recipe(rescale=("0.1", "0")), tmp_path)
    report = inspect_series(paths)
    assert report.memory_bytes == 5 * 4 * 6 * 4 == read_volume(paths).array.nbytes


@pytest.mark.parametrize(
    ("orientation", "plane", "nearest"),
    [
        ((1, 0, 0, 0, 1, 0), "axial", "axial"),
        ((1, 0, 0, 0, 0, -1), "coronal", "coronal"),
        ((0, 1, 0, 0, 0, -1), "sagittal", "sagittal"),
        (rotated((0, 1, 0, 0, 0, -1), (0, 0, 12)), "oblique", "sagittal"),
    ],
)
def test_planes_have_names(tmp_path: Path, orientation: tuple[float, ...], plane: str, nearest: str) -> None:
    part = inspect_series(single_frame(Recipe(orientation=orientation, slices=3), tmp_path)).parts[0]
    assert (part.orientation, part.nearest_plane) == (plane, nearest)


@pytest.mark.parametrize(("lost", "count"), [((3,), 1), ((3, 4), 2), ((2, 6), 2)])
def test_missing_slices_are_found_and_can_be_interpolated(tmp_path: Path, lost: tuple[int, ...], count: int) -> None:
    recipe = Recipe(slices=12)
    ordered = in_slice_order(single_frame(recipe, tmp_path))
    kept = [path for index, path in enumerate(ordered) if index not in lost]
    report = refused(kept, "MISSING_SLICES")
    [finding] = report.findings
    assert finding.count == count
    assert len(finding.positions_mm) == (1 if lost == (3, 4) else len(lost))
    parts = read_volumes(kept, "split")
    assert sum(part.shape[2] for part in parts) == 12 - count
    filled = read_volume(kept, "resample", max_gap_mm=7.5)
    assert filled.shape[2] == 12
    assert filled.invented == tuple(index in lost for index in range(12))
    np.testing.assert_allclose(filled.affine_lps, recipe.affine_lps, atol=1e-5)
    np.testing.assert_array_equal(filled.array[:, :, 0], recipe.values[:, :, 0, 0])
    between = recipe.values[:, :, lost[0] - 1 : lost[0] + 2 : 2, 0].mean(axis=2)
    if lost == (3,):
        np.testing.assert_allclose(filled.array[:, :, 3], between, atol=0.51)
    assert not filled.sources


def test_uneven_steps_are_found(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float(index if index < 5 else 4 + (index - 4) * 2.5)

    paths = change(single_frame(Recipe(slices=10), tmp_path), edit)
    refused(paths, "MIXED_SPACING")
    first, second = read_volumes(paths, "split")
    assert (first.shape[2], second.shape[2]) == (5, 5)
    assert (first.spacing_mm[2], second.spacing_mm[2]) == (1.0, 2.5)
    assert read_volume(paths, "largest").shape[2] == 5


def test_steps_that_change_little_by_little_are_found(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = index * 2.0 + max(0, index - 40) * 0.015

    refused(change(single_frame(Recipe(slices=80, rows=2, columns=2), tmp_path), edit), "MIXED_SPACING")


def test_duplicate_positions_are_found_and_refused(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=6), tmp_path)
    ds = dcmread(paths[2])
    ds.SOPInstanceUID = generate_uid()
    ds.PixelData = ds.PixelData[::-1]
    ds.save_as(tmp_path / "again.dcm")
    report = refused([*paths, tmp_path / "again.dcm"], "DUPLICATE_POSITIONS")
    [finding] = report.findings
    assert finding.positions_mm == pytest.approx((float(ds.ImagePositionPatient[2]),))
    for policy in ("split", "largest", "resample"):  # nobody knows which of the two is meant
        refused([*paths, tmp_path / "again.dcm"], "DUPLICATE_POSITIONS", policy)


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    shutil.copy(paths[0], tmp_path / "copy.dcm")
    volume = read_volume([*paths, tmp_path / "copy.dcm"])
    assert volume.shape == (5, 4, 6)
    assert volume.report is not None
    assert volume.report.codes == {"DUPLICATE_INSTANCES"}
    ds = dcmread(paths[0])
    ds.PixelData = bytes(reversed(ds.PixelData))
    ds.save_as(tmp_path / "copy.dcm")
    refused([*paths, tmp_path / "copy.dcm"], "CONFLICTING_INSTANCES", "split")


def test_mixed_orientation_size_spacing_and_format(tmp_path: Path) -> None:
    cases = {
        "MIXED_ORIENTATION": Recipe(orientation=(1, 0, 0, 0, 0, -1), slices=3),
        "MIXED_SIZE": Recipe(columns=6, slices=3),
        "MIXED_SPACING": Recipe(row_distance=1.5, slices=3),
        "MIXED_FORMAT": Recipe(bits_allocated=8, bits_stored=8, slices=3),
    }
    for code, other in cases.items():
        folder = tmp_path / code
        folder.mkdir()
        paths = together(folder, (Recipe(slices=5), "a"), (other, "b"))
        report = refused(paths, code)
        assert report.kind is SeriesKind.MULTI_VOLUME
        large, small = read_volumes(paths, "split")
        assert (large.shape[2], small.shape[2]) == (5, 3)
        assert large.name != small.name
        assert read_volume(paths, "largest").shape == (5, 4, 5)
        refused(paths, code, "resample")


def test_a_localizer_is_left_to_planning(tmp_path: Path) -> None:
    extra = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    alone = single_frame(Recipe(slices=3, extra=extra), tmp_path)
    assert refused(alone, "LOCALIZER").kind is SeriesKind.LOCALIZER
    (tmp_path / "mixed").mkdir()
    sagittal = Recipe(slices=3, extra=extra, columns=40, rows=40, orientation=(0, 1, 0, 0, 0, -1))
    paths = together(tmp_path / "mixed", (Recipe(), "ct"), (sagittal, "scout"))
    refused(paths, "LOCALIZER")
    assert read_volumes(paths, "split")[0].shape == (5, 4, 6)


def test_gantry_tilt_is_measured_from_positions(tmp_path: Path) -> None:
    recipe = Recipe(shear=(0.0, 2.5 * np.tan(np.radians(15.0)), 0.0), slices=9, rows=20, columns=20)
    paths = single_frame(recipe, tmp_path)
    report = refused(paths, "GANTRY_TILT")
    assert report.parts[0].tilt_deg == pytest.approx(15.0, abs=1e-3)
    assert "15.00 degrees" in str(report)
    upright = read_volume(paths, "resample")
    assert not upright.is_sheared
    assert upright.shape[1] == 20 + 7  # eight steps of 0.67 mm are 6.7 rows of 0.8 mm
    np.testing.assert_array_equal(upright.array[:, :20, 0], recipe.values[:, :, 0, 0])


def test_slices_off_the_line_have_no_affine(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[0] = float(ds.ImagePositionPatient[0]) + (3.0 if index == 3 else 0.0)

    refused(change(single_frame(Recipe(slices=8), tmp_path), edit), "SHIFTED_SLICES", "split")


@pytest.mark.parametrize(
    "attribute", ["TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "AcquisitionTime", "InstanceNumber"]
)
def test_volumes_distinguished_by_time_make_a_fourth_axis(tmp_path: Path, attribute: str) -> None:
    recipe = Recipe(volumes=3, slices=4, modality="MR")

    def edit(ds: Dataset, _: int) -> None:
        volume = int(ds.TemporalPositionIdentifier) - 1
        if attribute != "TemporalPositionIdentifier":
            del ds.TemporalPositionIdentifier
        if attribute == "TriggerTime":
            ds.TriggerTime = str(volume * 40.5)
        elif attribute == "AcquisitionNumber":
            ds.AcquisitionNumber = volume + 7
        elif attribute == "AcquisitionTime":
            ds.AcquisitionTime = f"1200{volume:02}.{int(ds.InstanceNumber):03}"
        if attribute != "InstanceNumber":
            ds.InstanceNumber = 1

    paths = change(single_frame(recipe, tmp_path), edit)
    volume = read_volume(paths)
    np.testing.assert_array_equal(volume.array, recipe.values)
    assert volume.report is not None
    [finding] = volume.report.findings
    assert (finding.code, finding.attribute, finding.count) == ("MULTI_VOLUME", attribute, 3)
    assert volume.report.kind is SeriesKind.FOUR_D


def test_a_volume_cut_short_is_missing_slices(tmp_path: Path) -> None:
    recipe = Recipe(volumes=3, slices=4)
    paths = single_frame(recipe, tmp_path)
    kept = [path for path in paths if int(dcmread(path).InstanceNumber) not in {11, 12}]
    report = refused(kept, "MISSING_SLICES")
    assert report.frame_count == 10
    refused(kept, "MISSING_SLICES", "resample")
    np.testing.assert_array_equal(read_volume(kept, "largest").array, recipe.values[..., :2])


def test_echoes_are_volumes_of_different_kinds(tmp_path: Path) -> None:
    recipe = Recipe(volumes=2, slices=4, modality="MR")

    def edit(ds: Dataset, _: int) -> None:
        ds.EchoTime = str(5.5 * int(ds.TemporalPositionIdentifier))
        ds.EchoNumbers = int(ds.TemporalPositionIdentifier)
        del ds.TemporalPositionIdentifier

    paths = change(single_frame(recipe, tmp_path), edit)
    report = refused(paths, "MULTI_VOLUME")
    assert (report.findings[0].attribute, report.findings[0].count) == ("EchoTime", 2)
    with pytest.raises(InvalidSeriesError, match="read_volumes"):
        read_volume(paths, "split")
    first, second = read_volumes(paths, "split")
    assert (first.name, second.name) == ("echo-1", "echo-2")
    np.testing.assert_array_equal(second.array, recipe.values[..., 1])


def test_magnitude_and_phase_get_names_from_their_image_type(tmp_path: Path) -> None:
    def edit(ds: Dataset, _: int) -> None:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M" if ds.TemporalPositionIdentifier == 1 else "P"]

    paths = change(single_frame(Recipe(volumes=2, modality="MR"), tmp_path), edit)
    assert [volume.name for volume in read_volumes(paths, "split")] == ["m", "p"]


def test_each_slice_keeps_its_own_rescale(tmp_path: Path) -> None:
    per_slice = tuple((f"{0.5 + 0.1 * k:.1f}", "0") for k in range(6))
    recipe = Recipe(rescale_per_slice=per_slice, modality="PT")
    volume = read_volume(single_frame(recipe, tmp_path))
    assert volume.report is not None
    assert volume.report.codes == {"MIXED_RESCALE"}
    assert volume.rescale.varies
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0].astype(np.float32))


def test_bits_stored_may_follow_the_values_of_a_slice(tmp_path: Path) -> None:
    recipe = Recipe(bits_stored=12, signed=True)

    def edit(ds: Dataset, index: int) -> None:
        ds.BitsStored, ds.HighBit = 12 + index % 3, 11 + index % 3
        ds.PixelData = recipe.stored[0, index].astype("<i2").tobytes()

    volume = read_volume(change(single_frame(recipe, tmp_path), edit))
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0])


def test_echoes_at_different_heights_are_two_volumes(tmp_path: Path) -> None:
    first = Recipe(modality="MR", extra={"EchoTime": "20"})
    second = Recipe(modality="MR", extra={"EchoTime": "40"}, origin=(-12.5, 40.25, 8.0))
    paths = together(tmp_path, (first, "a"), (second, "b"))
    refused(paths, "MULTI_VOLUME")
    volumes = read_volumes(paths, "split")
    assert [volume.name for volume in volumes] == ["echo-1", "echo-2"]
    np.testing.assert_array_equal(volumes[1].affine_lps, second.affine_lps)


def test_stacks_side_by_side_are_two_places(tmp_path: Path) -> None:
    left, right = Recipe(modality="MR"), Recipe(modality="MR", origin=(90.0, 40.25, -7.0), seed=1)
    paths = together(tmp_path, (left, "a"), (right, "b"))
    [finding] = refused(paths, "MULTI_VOLUME").findings
    assert finding.attribute == "ImagePositionPatient"
    volumes = {volume.affine_lps[0, 3]: volume for volume in read_volumes(paths, "split")}
    for recipe in (left, right):
        np.testing.assert_array_equal(volumes[recipe.origin[0]].array, recipe.values[..., 0])
        np.testing.assert_allclose(volumes[recipe.origin[0]].affine_lps, recipe.affine_lps, atol=1e-9)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", ("5.5", "11")),
        ("StackID", ("1", "2")),
        ("RectilinearPhaseEncodeReordering", ("LINEAR", "REVERSE_LINEAR")),
        ("FrameOfReferenceUID", ("1.2.3.1", "1.2.3.2")),
        ("Units", ("BQML", "CNTS")),
    ],
)
def test_two_kinds_are_two_volumes_even_where_no_place_has_both(
    tmp_path: Path, keyword: str, values: tuple[str, str]
) -> None:
    recipe = Recipe(modality="MR", slices=6)
    paths = change(single_frame(recipe, tmp_path), lambda ds, k: setattr(ds, keyword, values[k // 3]))
    parts = read_volumes(paths, "split")
    assert [part.shape for part in parts] == [(5, 4, 3), (5, 4, 3)]
    found = np.concatenate([part.array for part in sorted(parts, key=lambda part: part.affine_lps[2, 3])], axis=2)
    np.testing.assert_array_equal(found, recipe.values[..., 0])


@pytest.mark.parametrize(
    ("keyword", "values", "name"),
    [
        ("InversionTime", ("500", "900"), "inversion"),
        ("FlipAngle", ("5", "15"), "flipangle"),
        ("EchoNumbers", (1, 2), "echo"),
        ("ConvolutionKernel", ("B30", "B70"), "convolutionkernel"),
        ("KVP", ("80", "140"), "kvp"),
    ],
)
@pytest.mark.parametrize("slices", [1, 4])
def test_two_settings_at_one_place_are_two_volumes(
    tmp_path: Path, keyword: str, values: tuple[Any, Any], name: str, slices: int
) -> None:
    recipe = Recipe(volumes=2, slices=slices, modality="MR")

    def edit(ds: Dataset, _: int) -> None:
        setattr(ds, keyword, values[int(ds.TemporalPositionIdentifier) - 1])
        del ds.TemporalPositionIdentifier

    parts = read_volumes(change(single_frame(recipe, tmp_path), edit), "split")
    assert [part.name for part in parts] == [f"{name}-1", f"{name}-2"]
    for time, part in enumerate(parts):
        np.testing.assert_array_equal(part.array, recipe.values[..., time])


def test_slices_of_one_volume_may_be_inverted_at_several_times(tmp_path: Path) -> None:
    recipe = Recipe(slices=6, modality="MR")
    paths = change(single_frame(recipe, tmp_path), lambda ds, k: setattr(ds, "InversionTime", f"{500 + 100 * (k % 3)}"))
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def test_directions_of_diffusion_alone_make_the_fourth_axis(tmp_path: Path) -> None:
    recipe = Recipe(volumes=3, slices=4, modality="MR")
    directions = ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    numbers = np.random.default_rng(2).permutation(12) + 1

    def edit(ds: Dataset, index: int) -> None:
        ds.DiffusionBValue = 1000.0
        ds.DiffusionGradientOrientation = directions[int(ds.TemporalPositionIdentifier) - 1]
        ds.InstanceNumber = int(numbers[index])
        del ds.TemporalPositionIdentifier

    volume = read_volume(change(single_frame(recipe, tmp_path), edit))
    np.testing.assert_array_equal(volume.array, recipe.values)


@pytest.mark.parametrize(("stray", "is_one"), [(0, True), (0x1000, False), (0x2000, False)])
def test_spare_bits_that_are_bits_of_other_slices_hold_the_sign_or_nothing(
    tmp_path: Path, stray: int, *, is_one: bool
) -> None:
    recipe = Recipe(bits_stored=12, signed=True)

    def edit(ds: Dataset, index: int) -> None:
        stored = recipe.stored[0, index]
        ds.BitsStored, ds.HighBit = (12, 11) if index == 2 else (14, 13)
        content = (stored & 0xFFF) | stray if index == 2 else stored & 0x3FFF
        ds.PixelData = content.astype("<u2").tobytes()

    paths = change(single_frame(recipe, tmp_path), edit)
    if is_one:
        np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])
    else:
        with pytest.raises(InvalidSeriesError, match="declares 12 bits of a value, but uses more"):
            read_volume(paths)


def test_a_report_names_its_series(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=3), tmp_path)
    assert inspect_series(paths).series_instance_uid == str(dcmread(paths[0]).SeriesInstanceUID)
