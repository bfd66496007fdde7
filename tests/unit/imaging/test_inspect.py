"""Each finding, provoked; and what every policy makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID, generate_uid

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.inspect import inspect_series
from dcm_processor_service.imaging.native import read_volume, read_volumes
from dcm_processor_service.models import SeriesKind, SeriesReport
from tests.unit.imaging.synthetic import Recipe, multi_frame, rotated, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable


def packaged(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found)


def in_slice_order(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: tuple(map(float, dcmread(path).ImagePositionPatient))[::-1])


def change(paths: list[Path], edit: Callable[[Dataset, int], Any]) -> list[Path]:
    """Edits the files in slice order."""
    ordered = in_slice_order(paths)
    for index, path in enumerate(ordered):
        ds = dcmread(path)
        edit(ds, index)
        ds.save_as(path)
    return ordered


def together(folder: Path, *series: tuple[Recipe, str]) -> list[Path]:
    """Several synthetic series under one SeriesInstanceUID."""
    uid, paths = generate_uid(), []
    for recipe, name in series:
        (folder / name).mkdir()
        paths += single_frame(recipe, folder / name)
    for path in paths:
        ds = dcmread(path)
        ds.SeriesInstanceUID = uid
        ds.save_as(path)
    return paths


def refused(paths: list[Path], code: str, policy: Any = "strict") -> SeriesReport:
    with pytest.raises(InvalidSeriesError, match=code) as caught:
        read_volumes(paths, policy)
    report = caught.value.report
    assert report is not None
    assert code in report.codes
    assert "SECRET" not in str(caught.value).upper()
    assert "SECRET" not in str(report).upper()
    return report


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
def test_missing_slices(tmp_path: Path, lost: tuple[int, ...], count: int) -> None:
    recipe = Recipe(slices=12)
    ordered = in_slice_order(single_frame(recipe, tmp_path))
    kept = [path for index, path in enumerate(ordered) if index not in lost]
    report = refused(kept, "MISSING_SLICES")
    [finding] = report.findings
    assert finding.count == count
    assert len(finding.positions_mm) == (1 if lost == (3, 4) else len(lost))
    parts = read_volumes(kept, "split")
    assert sum(part.shape[2] for part in parts) == 12 - count
    filled = read_volume(kept, "resample")
    assert filled.shape[2] == 12
    np.testing.assert_allclose(filled.affine_lps, recipe.affine_lps, atol=1e-5)
    np.testing.assert_array_equal(filled.array[:, :, 0], recipe.values[:, :, 0, 0])
    between = recipe.values[:, :, lost[0] - 1 : lost[0] + 2 : 2, 0].mean(axis=2)
    if lost == (3,):
        np.testing.assert_allclose(filled.array[:, :, 3], between, atol=0.51)
    assert not filled.sources


def test_uneven_steps(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float(index if index < 5 else 4 + (index - 4) * 2.5)

    paths = change(single_frame(Recipe(slices=10), tmp_path), edit)
    refused(paths, "MIXED_SPACING")
    first, second = read_volumes(paths, "split")
    assert (first.shape[2], second.shape[2]) == (5, 5)
    assert (first.spacing_mm[2], second.spacing_mm[2]) == (1.0, 2.5)
    assert read_volume(paths, "largest").shape[2] == 5


def test_steps_that_creep(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = index * 2.0 + max(0, index - 40) * 0.015

    refused(change(single_frame(Recipe(slices=80, rows=2, columns=2), tmp_path), edit), "MIXED_SPACING")


def test_duplicate_positions(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=6), tmp_path)
    ds = dcmread(paths[2])
    ds.SOPInstanceUID = generate_uid()
    ds.PixelData = ds.PixelData[::-1]
    ds.save_as(tmp_path / "again.dcm")
    report = refused([*paths, tmp_path / "again.dcm"], "DUPLICATE_POSITIONS")
    [finding] = report.findings
    assert finding.positions_mm == pytest.approx((float(ds.ImagePositionPatient[2]),))
    assert read_volume([*paths, tmp_path / "again.dcm"], "largest").shape == (5, 4, 6)


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
def test_volumes_told_apart_by_time_make_a_fourth_axis(tmp_path: Path, attribute: str) -> None:
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


def test_one_slice_and_none(tmp_path: Path) -> None:
    refused(single_frame(Recipe(slices=2), tmp_path)[:1], "SINGLE_SLICE")
    with pytest.raises(InvalidSeriesError, match="NO_INSTANCES"):
        read_volume([])
    assert inspect_series([]).kind is SeriesKind.UNKNOWN


def test_missing_geometry(tmp_path: Path) -> None:
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        folder = tmp_path / keyword
        folder.mkdir()
        paths = single_frame(Recipe(), folder)
        ds = dcmread(paths[1])
        delattr(ds, keyword)
        ds.save_as(paths[1])
        report = refused(paths, "MISSING_GEOMETRY", "split")
        [finding] = [one for one in report.findings if one.code == "MISSING_GEOMETRY"]
        assert finding.sop_instance_uids == (ds.SOPInstanceUID,)


@pytest.mark.parametrize("value", ["", "abc", "1\\2", "nan\\0\\0", "1\\2\\3\\4"])
def test_a_malformed_position_is_a_missing_one(tmp_path: Path, value: str) -> None:
    paths = single_frame(Recipe(), tmp_path)
    content = paths[0].read_bytes()
    ds = dcmread(paths[0])
    written = "\\".join(str(part) for part in ds.ImagePositionPatient).encode()
    written += b" " * (len(written) % 2)
    assert content.count(written) == 1
    paths[0].write_bytes(content.replace(written, value.encode().ljust(len(written))))
    refused(paths, "MISSING_GEOMETRY")


def test_truncated_and_unreadable_files_are_findings_that_name_the_instance(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    uid = dcmread(paths[0]).SOPInstanceUID
    paths[0].write_bytes(paths[0].read_bytes()[:-7])
    report = refused(paths, "TRUNCATED", "split")
    assert uid in str(report)
    paths[1].write_bytes(b"nothing")
    refused(paths, "UNREADABLE", "largest")


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 60000), ("Columns", 65535), ("NumberOfFrames", 2_000_000_000)])
def test_gigantic_sizes_are_refused_before_memory_is_taken(tmp_path: Path, keyword: str, value: int) -> None:
    paths = single_frame(Recipe(), tmp_path)
    for path in paths:
        ds = dcmread(path)
        setattr(ds, keyword, value)
        ds.save_as(path)
    refused(paths, "TRUNCATED", "split")


def test_colour_is_no_volume() -> None:
    report = refused([packaged("SC_rgb_jpeg_dcmtk.dcm")], "COLOUR", "split")
    assert report.kind is SeriesKind.COLOUR


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtstruct.dcm", "rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm"])
def test_what_holds_no_image(name: str) -> None:
    assert refused([packaged(name)], "NON_IMAGE", "split").kind is SeriesKind.NON_IMAGE


def test_compressed_pixels_say_what_they_need() -> None:
    report = inspect_series([packaged("MR_small_RLE.dcm")])
    [syntax] = report.transfer_syntaxes
    assert (syntax.name, syntax.is_compressed, syntax.is_decodable) == ("RLE Lossless", True, True)
    assert "COMPRESSED" in report.codes
    plain = read_volume([packaged("MR_small.dcm")], "largest")
    np.testing.assert_array_equal(read_volume([packaged("MR_small_RLE.dcm")], "largest").array, plain.array)


def test_a_syntax_without_decoder_is_named(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    mpeg = "1.2.840.10008.1.2.4.100"
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", mpeg.encode()[:19] + b"\0"))
        ds = dcmread(path)
        ds.file_meta.TransferSyntaxUID = UID(mpeg)
        ds.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x08\x00\x00\x00" + b"\1" * 8
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
    with pytest.raises(UnsupportedTransferSyntaxError, match="MPEG2"):
        read_volume(paths)


def test_damaged_compressed_pixels_name_the_instance(tmp_path: Path) -> None:
    ds = dcmread(packaged("MR_small_RLE.dcm"))
    ds.PixelData = ds.PixelData[:16] + b"\xff" * (len(ds.PixelData) - 24) + ds.PixelData[-8:]
    ds["PixelData"].is_undefined_length = True
    ds.save_as(tmp_path / "x.dcm")
    with pytest.raises(InvalidSeriesError, match=str(ds.SOPInstanceUID)):
        read_volume([tmp_path / "x.dcm"], "largest")


def test_a_dose_grid_is_a_volume() -> None:
    ds = dcmread(packaged("rtdose.dcm"))
    volume = read_volume([packaged("rtdose.dcm")])
    expected = (ds.pixel_array * float(ds.DoseGridScaling)).astype(np.float32).transpose(2, 1, 0)
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.spacing_mm[2] == pytest.approx(abs(ds.GridFrameOffsetVector[1] - ds.GridFrameOffsetVector[0]))


def test_two_series_are_not_one(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = single_frame(Recipe(), tmp_path) + single_frame(Recipe(origin=(0, 0, 90)), tmp_path / "b")
    refused(paths, "MIXED_SERIES", "split")


def test_findings_of_an_enhanced_object_are_those_of_its_frames(tmp_path: Path) -> None:
    recipe = Recipe(slices=8, rescale_per_slice=tuple((str(k + 1), "0") for k in range(8)))
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    order = [
        int(groups.FrameContentSequence[0].InStackPositionNumber) for groups in ds.PerFrameFunctionalGroupsSequence
    ]
    lost = order.index(4)
    frames = [frame for index, frame in enumerate(ds.pixel_array) if index != lost]
    del ds.PerFrameFunctionalGroupsSequence[lost]
    ds.NumberOfFrames = 7
    ds.PixelData = np.stack(frames).tobytes()
    ds.save_as(path)
    report = refused([path], "MISSING_SLICES")
    assert report.codes == {"MISSING_SLICES", "MIXED_RESCALE"}
