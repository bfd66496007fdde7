"""Images that are not slices of one scan are refused, or left out and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, generate_uid

from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.refusals import change, put, refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, new_instance, save, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.models import Policy

POLICIES = ["strict", "split", "largest", "resample"]
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NM = "1.2.840.10008.5.1.4.1.1.20"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sop_class", [SEGMENTATION, LABEL_MAP])
def test_segments_are_no_volume(tmp_path: Path, sop_class: str, policy: str) -> None:
    [path] = multi_frame(Recipe(bits_allocated=8, bits_stored=8, signed=False, modality="SEG"), tmp_path)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.save_as(path)
    assert "as segments" in str(refused([path], "SEGMENTATION", policy))


@pytest.mark.parametrize("changes", [{"PhotometricInterpretation": "PALETTE COLOR"}, {"BitsAllocated": 1}], ids=repr)
def test_a_segmentation_gets_no_advice_on_colours_or_bits(tmp_path: Path, changes: dict[str, Any]) -> None:
    [path] = multi_frame(Recipe(bits_allocated=8, bits_stored=8, signed=False, modality="SEG"), tmp_path)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(SEGMENTATION)
    if "BitsAllocated" in changes:
        ds.BitsStored, ds.HighBit, ds.PixelData = 1, 0, bytes(16)
    put(ds, changes).save_as(path)
    assert refused([path], "SEGMENTATION", "largest").codes == {"SEGMENTATION"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("where", ["file", "top", "shared", "frame"])
@pytest.mark.parametrize("what", ["CURVED_MPR", "MPR", "NONE"])
def test_curved_reformations_have_no_place(tmp_path: Path, what: str, where: str, policy: Policy) -> None:
    recipe = Recipe(modality="MR")
    paths = (single_frame if where == "file" else multi_frame)(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        kind = Dataset()
        kind.VolumeBasedCalculationTechnique, kind.VolumetricProperties = what, "DISTORTED"
        if where in {"file", "top"}:
            ds.VolumeBasedCalculationTechnique, ds.VolumetricProperties = what, "DISTORTED"
        elif where == "shared":
            ds.VolumeBasedCalculationTechnique, ds.VolumetricProperties = what, "DISTORTED"
            ds.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence = [kind]
        else:
            ds.VolumeBasedCalculationTechnique = "MIXED"
            for group in ds.PerFrameFunctionalGroupsSequence:
                group.CTImageFrameTypeSequence = [kind]
        ds.save_as(path)
    if what == "CURVED_MPR":
        assert "curved reformations" in str(refused(paths, "MISSING_GEOMETRY", policy))
    else:
        np.testing.assert_array_equal(read_volumes(paths, policy)[0].array, recipe.values[..., 0])


@pytest.mark.parametrize(
    ("shown", "first", "is_refused"),
    [("COLOR", 200, True), ("MIXED", 1, True), ("MONOCHROME", 200, False), ("COLOR", 0, False), ("COLOR", 256, False)],
)
def test_values_that_may_be_colours_are_refused(tmp_path: Path, shown: str, first: int, *, is_refused: bool) -> None:
    recipe = Recipe(modality="MR", bits_allocated=8, bits_stored=8, signed=False)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    ds.PixelPresentation = shown
    for colour in range(3):  # red, green and blue
        ds.add_new(0x00281101 + colour, "US", [56, first, 8])
        ds.add_new(0x00281201 + colour, "OW", bytes(56))
    ds.save_as(path)
    if is_refused:
        assert "supplemental palette" in str(refused([path], "UNSUPPORTED_PIXELS", "largest"))
    else:
        np.testing.assert_array_equal(read_volumes([path])[0].array, recipe.values[..., 0])


def screenshot(folder: Path, like: Path, *, in_colour: bool) -> Path:
    recipe = Recipe(slices=1, rows=4, columns=15 if in_colour else 5, bits_allocated=8, bits_stored=8, signed=False)
    ds = new_instance(recipe, generate_uid(), SECONDARY_CAPTURE)
    series = dcmread(like)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = series.StudyInstanceUID, series.SeriesInstanceUID
    ds.PixelData = bytes(4 * 15)
    if in_colour:
        ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 5, 3, "RGB", 0
    else:
        ds.PixelData = bytes(4 * 5)
    ds["PixelData"].VR = "OB"
    return save(ds, folder / "picture.dcm")


@pytest.mark.parametrize("in_colour", [True, False])
def test_a_screenshot_among_slices_is_left_out_by_name(tmp_path: Path, *, in_colour: bool) -> None:
    recipe = Recipe(slices=7)
    paths = single_frame(recipe, tmp_path)
    picture = screenshot(tmp_path, paths[0], in_colour=in_colour)
    uid = dcmread(picture).SOPInstanceUID
    report = refused([*paths, picture], "PICTURE_AMONG_SLICES")
    assert report.codes == {"PICTURE_AMONG_SLICES"}
    assert (report.findings[0].sop_instance_uids, uid in report.findings[0].message) == ((uid,), True)
    policies: tuple[Policy, ...] = ("split", "largest")
    for policy in policies:
        [volume] = read_volumes([*paths, picture], policy)
        np.testing.assert_array_equal(volume.array, recipe.values[..., 0])
    refused([*paths, picture], "PICTURE_AMONG_SLICES", "resample")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_slice_that_lost_its_place_is_no_picture(tmp_path: Path, policy: str) -> None:
    paths = single_frame(Recipe(slices=7), tmp_path)
    ds = dcmread(paths[3])
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    ds.save_as(paths[3])
    refused(paths, "MISSING_GEOMETRY", policy)


@pytest.mark.parametrize(("tag", "name"), [(0x0019109C, "B0map"), (0x0019109E, "3db0map"), (0x0019109C, "epi_pepolar")])
@pytest.mark.parametrize("policy", POLICIES)
def test_volumes_that_only_ge_can_tell_apart_are_refused(tmp_path: Path, tag: int, name: str, policy: str) -> None:
    def edit(ds: Dataset, _: int) -> None:
        del ds.TemporalPositionIdentifier
        ds.Manufacturer = "GE MEDICAL SYSTEMS"
        ds.add_new(0x00190010, "LO", "GEMS_ACQU_01")
        ds.add_new(tag, "LO", name)

    paths = change(single_frame(Recipe(volumes=2, slices=4, modality="MR"), tmp_path), edit)
    refused(paths, "UNKNOWN_KIND", policy)


def test_polarities_that_the_header_states_are_two_volumes(tmp_path: Path) -> None:
    recipe = Recipe(volumes=2, slices=4, modality="MR")

    def edit(ds: Dataset, _: int) -> None:
        forward = ds.TemporalPositionIdentifier == 1
        ds.RectilinearPhaseEncodeReordering = "LINEAR" if forward else "REVERSE_LINEAR"

    paths = change(single_frame(recipe, tmp_path), edit)
    refused(paths, "MULTI_VOLUME")
    for volume, t in zip(read_volumes(paths, "split"), (0, 1), strict=True):
        np.testing.assert_array_equal(volume.array, recipe.values[..., t])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("vector", ["TimeSlotVector", "RRIntervalVector", "PhaseVector", ""])
def test_a_gated_tomogram_is_no_volume(tmp_path: Path, vector: str, policy: str) -> None:
    recipe = Recipe(slices=6, modality="NM", signed=False)
    ds = new_instance(recipe, generate_uid(), NM)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"]
    ds.NumberOfFrames, ds.PixelSpacing, ds.SpacingBetweenSlices = 6, [0.8, 0.6], 4.0
    ds.SliceVector = [1, 2, 3, 1, 2, 3]
    if vector:
        setattr(ds, vector, [1, 1, 1, 2, 2, 2])
    detector = Dataset()
    detector.ImageOrientationPatient, detector.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    ds.DetectorInformationSequence = [detector]
    ds.PixelData = recipe.stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    refused([save(ds, tmp_path / "gated.dcm")], "MISSING_GEOMETRY", policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_mosaic_without_its_private_elements_is_refused(tmp_path: Path, policy: str) -> None:
    extra = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "Manufacturer": "SIEMENS"}
    paths = single_frame(Recipe(slices=1, volumes=1, modality="MR", extra=extra), tmp_path)
    refused(paths, "MOSAIC_LAYOUT", policy)
