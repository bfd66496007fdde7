"""Multi-frame objects without functional groups: dose grids and nuclear medicine tomograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from dcm_processor_service.imaging.frames.classic_multiframe import detector, offsets_mm
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, new_instance, save

if TYPE_CHECKING:
    from pathlib import Path

NM = "1.2.840.10008.5.1.4.1.1.20"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
UPRIGHT, TURNED, CORONAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, -1, 0], [1, 0, 0, 0, 0, -1]


def film(modality: str, sop_class: str, frames: int = 3) -> Dataset:
    recipe = Recipe(slices=frames, modality=modality, signed=False)
    ds = new_instance(recipe, generate_uid(), sop_class)
    ds.NumberOfFrames, ds.PixelSpacing = frames, [recipe.row_distance, recipe.column_distance]
    ds.PixelData = recipe.stored.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


@pytest.mark.parametrize(
    ("orientation", "offsets", "third_axis"),
    [
        (UPRIGHT, [0, 3, 6], [0, 0, 3]),
        (UPRIGHT, [0, -3, -6], [0, 0, 3]),
        (UPRIGHT, [-7, -4, -1], [0, 0, 3]),
        (TURNED, [0, 3, 6], [0, 0, -3]),
        (TURNED, [-7, -4, -1], [0, 0, -3]),
        (CORONAL, [0, 3, 6], [0, 3, 0]),
    ],
)
def test_dose_planes_lie_where_their_offsets_say(
    tmp_path: Path, orientation: list[float], offsets: list[float], third_axis: list[float]
) -> None:
    ds = film("RTDOSE", DOSE)
    ds.ImageOrientationPatient, ds.ImagePositionPatient = orientation, [-12.5, 40.25, -7.0]
    ds.GridFrameOffsetVector, ds.DoseGridScaling = offsets, "0.001"
    volume = read_volume([save(ds, tmp_path / "dose.dcm")])
    np.testing.assert_allclose(volume.affine_lps[:3, 2], third_axis, atol=1e-9)
    normal = np.cross(orientation[:3], orientation[3:])
    for k in range(3):
        frame = volume.source(k).frame_number - 1
        along = np.array([0, 0, offsets[frame] + 7]) if offsets[0] else normal * offsets[frame]
        place = volume.affine_lps @ [0, 0, k, 1]
        np.testing.assert_allclose(place[:3], np.array([-12.5, 40.25, -7.0]) + along, atol=1e-9)


def test_z_coordinates_of_planes_that_are_not_transverse_are_not_used(tmp_path: Path) -> None:
    ds = film("RTDOSE", DOSE)
    ds.ImageOrientationPatient, ds.ImagePositionPatient = CORONAL, [-12.5, 40.25, -7.0]
    ds.GridFrameOffsetVector = [-7, -4, -1]
    refused([save(ds, tmp_path / "dose.dcm")], "MISSING_GEOMETRY")


@pytest.mark.parametrize("offsets", [[8, 6, 4], [3, 6, 9]])
def test_z_coordinates_that_do_not_begin_at_the_position_are_not_used(tmp_path: Path, offsets: list[float]) -> None:
    ds = film("RTDOSE", DOSE)
    ds.ImageOrientationPatient, ds.ImagePositionPatient = UPRIGHT, [-12.5, 40.25, -7.0]
    ds.GridFrameOffsetVector = offsets
    refused([save(ds, tmp_path / "dose.dcm")], "MISSING_GEOMETRY")


@pytest.mark.parametrize("step", [4.0, -4.0])
def test_a_tomogram_lies_where_its_detector_and_slice_vector_say(tmp_path: Path, step: float) -> None:
    ds = film("NM", NM)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    ds.SliceVector, ds.SpacingBetweenSlices, ds.FrameIncrementPointer = [3, 2, 1], step, 0x00540080
    detector = Dataset()
    detector.ImageOrientationPatient, detector.ImagePositionPatient = UPRIGHT, [-12.5, 40.25, -7.0]
    ds.DetectorInformationSequence = [detector]
    volume = read_volume([save(ds, tmp_path / "nm.dcm")])
    for k in range(3):
        slice_number = [3, 2, 1][volume.source(k).frame_number - 1]
        assert (volume.affine_lps @ [0, 0, k, 1])[2] == pytest.approx(-7 + (slice_number - 1) * step)
    ds.EnergyWindowVector = [1, 1, 2]
    refused([save(ds, tmp_path / "windows.dcm")], "MISSING_GEOMETRY")
    ds.EnergyWindowVector, ds.ImageType = [1, 1, 1], ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    refused([save(ds, tmp_path / "projections.dcm")], "MISSING_GEOMETRY")


@pytest.mark.parametrize(
    ("values", "distances"),
    [
        ({"SliceVector": [1, 3, 2]}, (0, 8, 4)),
        ({"SliceVector": [1, 2, 3], "DetectorVector": [1, 1, 1], "RotationVector": [2, 2, 2]}, (0, 4, 8)),
        ({"SliceVector": [1, 2, 3], "DetectorVector": [1, 2, 1]}, None),
        ({"SliceVector": [1, 2, 3], "TimeSliceVector": [1, 1, 2]}, None),
        ({"SliceVector": [1, 2, 2]}, None),
        ({"SliceVector": [1, 2]}, None),
        ({"SliceVector": [1, 2, 3, 4]}, None),
        ({"SliceVector": [1, 2, 3], "SpacingBetweenSlices": 0}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_each_frame_of_a_tomogram_is_one_slice(values: dict[str, Any], distances: tuple[float, ...] | None) -> None:
    header = Dataset()
    header.ImageType, header.SpacingBetweenSlices = ["ORIGINAL", "PRIMARY", "RECON TOMO"], 4
    for keyword, value in values.items():
        setattr(header, keyword, value)
    assert offsets_mm(header, np.array([0.0, 0.0, 1.0]), 3) == distances


@pytest.mark.parametrize(
    ("modality", "kind", "is_placed"),
    [
        ("NM", "RECON TOMO", True),
        ("NM", "RECON GATED TOMO", True),
        ("PT", "RECON TOMO", True),
        ("NM", "TOMO", False),
        ("NM", "STATIC", False),
        ("PT", "WHOLE BODY", False),
        ("OT", "RECON TOMO", False),
    ],
)
def test_only_reconstructed_tomograms_lie_where_the_detector_says(modality: str, kind: str, *, is_placed: bool) -> None:
    header, place = Dataset(), Dataset()
    header.Modality, header.ImageType, header.DetectorInformationSequence = modality, ["ORIGINAL", kind], [place]
    assert detector(header) == (place if is_placed else None)
