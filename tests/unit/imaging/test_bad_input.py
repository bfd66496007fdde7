"""Damaged, missing and impossible content leads to a typed error that names the instance and the remedy."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
)

from dcm_processor_service.errors import DicomError, InvalidSeriesError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.decoding.decoders import NEEDS_CODECS
from dcm_processor_service.imaging.series import geometry_findings
from dcm_processor_service.imaging.series.geometry_findings import transfer_syntax
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import SeriesKind
from tests.unit.imaging.refusals import change, packaged, refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset


def test_one_slice_and_no_slice_are_findings(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("test-SR.dcm", SeriesKind.STRUCTURED_REPORT),
        ("rtstruct.dcm", SeriesKind.STRUCTURE_SET),
        ("rtplan.dcm", SeriesKind.NON_IMAGE),
        ("reportsi.dcm", SeriesKind.STRUCTURED_REPORT),
        ("waveform_ecg.dcm", SeriesKind.NON_IMAGE),
    ],
)
def test_instances_without_an_image_are_a_finding(name: str, kind: SeriesKind) -> None:
    assert refused([packaged(name)], "NON_IMAGE", "split").kind is kind


def test_a_segmentation_has_no_part_that_a_rule_about_slices_could_choose() -> None:
    report = refused([packaged("liver_1frame.dcm")], "SEGMENTATION", "largest")
    assert (report.kind, report.parts, report.is_convertible) == (SeriesKind.SEGMENTATION, (), False)


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
    with pytest.raises(UnsupportedTransferSyntaxError, match=r"MPEG2.*needs a decoder that this package does not have"):
        read_volume(paths)


def test_what_a_syntax_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    private = transfer_syntax(UID("1.2.3.4"))
    assert (private.name, private.is_decodable, private.needs) == (
        "private or unknown transfer syntax", False, "its vendor"
    )  # fmt: skip
    monkeypatch.setattr(geometry_findings, "is_decodable", lambda _uid: False)
    found = transfer_syntax(JPEG2000Lossless)
    assert (found.uid, found.name, found.is_compressed, found.is_decodable, found.needs) == (
        JPEG2000Lossless, JPEG2000Lossless.name, True, False, NEEDS_CODECS
    )  # fmt: skip
    assert transfer_syntax(ExplicitVRBigEndian).is_decodable
    assert transfer_syntax(DeflatedExplicitVRLittleEndian).needs == ""


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


def test_an_image_that_was_made_from_a_dose_needs_no_dose_grid_scaling(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        ds.Modality = "RTDOSE"
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            ds.pop(keyword, None)
        ds.save_as(path)
    read_volume(paths)


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


@pytest.mark.parametrize("write", [single_frame, multi_frame])
def test_damage_anywhere_is_a_finding_or_a_typed_error(tmp_path: Path, write: Callable[..., list[Path]]) -> None:
    paths = write(Recipe(slices=4, volumes=2, rescale=("1", "-5")), tmp_path)
    whole = paths[0].read_bytes()
    chance = random.Random(7)
    for _ in range(120):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 5)):
            place = chance.randrange(132, len(damaged))
            damaged[place : place + chance.choice((0, 1, 1, 20))] = chance.randbytes(chance.choice((1, 1, 0, 7)))
        paths[0].write_bytes(damaged)
        assert inspect_series(paths).instance_count <= len(paths)
        message = ""
        try:
            assert read_volumes(paths, "split")
        except DicomError as error:
            message = str(error)
        assert "SECRET" not in message.upper()


@pytest.mark.parametrize(
    "orientation",
    [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [1, 0.1, 0, 0, 1, 0], [2, 0, 0, 0, 2, 0]],
    ids=["none", "parallel", "skewed", "too long"],
)
def test_directions_that_are_no_unit_vectors_count_as_missing(tmp_path: Path, orientation: list[float]) -> None:
    recipe = Recipe(extra={"ImageOrientationPatient": orientation})
    refused(single_frame(recipe, tmp_path), "MISSING_GEOMETRY", "split")


def test_directions_that_a_header_rounded_have_length_one(tmp_path: Path) -> None:
    """The same as in dcm2niix. Over 512 columns, an error in the third digit adds up to a tenth of a millimetre."""
    recipe = Recipe(extra={"ImageOrientationPatient": [0.866, 0.5, 0, -0.5, 0.866, 0]})
    affine = read_volume(single_frame(recipe, tmp_path), "split").affine_lps
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :2], axis=0), [0.6, 0.8], rtol=1e-12)


@pytest.mark.parametrize("value", [b"9e40", b"0,5 ", b"abc ", b"nan ", b"inf ", b"0 ", b"0.0 "])
@pytest.mark.parametrize("frames", [False, True])
def test_a_rescale_that_is_no_number_is_not_taken_for_none(tmp_path: Path, value: bytes, *, frames: bool) -> None:
    recipe = Recipe(rescale=("7531", "0"))
    paths = (multi_frame if frames else single_frame)(recipe, tmp_path)
    content = paths[0].read_bytes()
    slope = b"\x28\x00\x53\x10DS\x04\x00"  # with its head: a random UID may have the same digits
    assert slope + b"7531" in content
    paths[0].write_bytes(content.replace(slope + b"7531", slope + value.ljust(4), 1))
    refused(paths, "INVALID_RESCALE", "split")


def test_an_intercept_of_frames_without_a_slope_is_refused(tmp_path: Path) -> None:
    paths = multi_frame(Recipe(rescale=("1", "-1024")), tmp_path)
    ds = dcmread(paths[0])
    for groups in ds.PerFrameFunctionalGroupsSequence:
        del groups.PixelValueTransformationSequence[0].RescaleSlope
    ds.save_as(paths[0])
    refused(paths, "INVALID_RESCALE", "split")
    [finding] = [one for one in inspect_series(paths).findings if one.code == "INVALID_RESCALE"]
    assert "is not a number, incomplete" in finding.message


def test_a_frame_that_lost_its_rescale_is_refused(tmp_path: Path) -> None:
    paths = multi_frame(Recipe(rescale=("2", "-1024")), tmp_path)
    ds = dcmread(paths[0])
    del ds.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence
    ds.save_as(paths[0])
    for policy in ("strict", "split", "largest", "resample"):
        refused(paths, "MISSING_RESCALE", policy)


def test_a_slice_that_lost_its_rescale_is_named(tmp_path: Path) -> None:
    paths = single_frame(Recipe(rescale=("1", "-1024")), tmp_path)
    ds = dcmread(paths[2])
    del ds.RescaleIntercept, ds.RescaleSlope
    ds.save_as(paths[2])
    [finding] = refused(paths, "MISSING_RESCALE").findings
    assert finding.sop_instance_uids == (ds.SOPInstanceUID,)


def test_an_empty_rescale_counts_as_absent(tmp_path: Path) -> None:
    recipe = Recipe(extra={"RescaleSlope": None, "RescaleIntercept": ""})
    np.testing.assert_array_equal(read_volume(single_frame(recipe, tmp_path)).array, recipe.values[..., 0])


def test_frames_that_are_declared_but_not_described_are_a_finding(tmp_path: Path) -> None:
    for declared in (5, 7):
        [path] = multi_frame(Recipe(slices=6), tmp_path)
        ds = dcmread(path)
        ds.NumberOfFrames = declared
        ds.PixelData = ds.PixelData + bytes(5 * 4 * 2)
        ds.save_as(path)
        refused([path], "INCONSISTENT_FRAMES", "split")


@pytest.mark.parametrize("keywords", [["Rows", "Columns"], ["BitsStored", "HighBit", "PixelRepresentation"]])
def test_elements_that_an_archive_rewrote_as_un_are_read(tmp_path: Path, keywords: list[str]) -> None:
    """UN is allowed for any of them (PS3.5, section 6.2.2); read as absent, signed values became unsigned."""
    recipe = Recipe(bits_stored=12, signed=True)
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        content = path.read_bytes()
        for keyword in keywords:
            tag = int(dcmread(path)[keyword].tag)
            start = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
            assert content.count(start + b"US\x02\0") == 1
            content = content.replace(start + b"US\x02\0", start + b"UN\0\0\x02\0\0\0")
        path.write_bytes(content)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


@pytest.mark.parametrize("photometric", ["PALETTE COLOR", "palette color", "RGB", "YBR_FULL", "YBR_RCT"])
def test_colours_are_refused_as_a_volume_of_numbers(tmp_path: Path, photometric: str) -> None:
    def edit(ds: Dataset, k: int) -> None:
        if k == 0:
            ds.add_new("PhotometricInterpretation", "LO", photometric)

    paths = change(single_frame(Recipe(slices=2), tmp_path), edit)
    [finding] = [one for one in refused(paths, "COLOUR", "split").findings if one.code == "COLOUR"]
    assert finding.sop_instance_uids == (str(dcmread(paths[0]).SOPInstanceUID),)
