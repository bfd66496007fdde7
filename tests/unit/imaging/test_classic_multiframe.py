"""Multi-frame objects without functional groups: dose grids and nuclear medicine tomograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import generate_uid

from dcm_processor_service.imaging.frames.classic_multiframe import detector, offsets_mm
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, new_instance, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NM = "1.2.840.10008.5.1.4.1.1.20"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"  # multi-frame grayscale word
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


@pytest.mark.parametrize("sop_class", [NM, CAPTURE])
@pytest.mark.parametrize(
    ("offsets", "pointer", "third_axis"),
    [
        ([0, 3, 6], 0x3004000C, [0, 0, 3]),
        ([0, 3, 6], 0x00181063, None),  # FrameTime: a film
        ([0, 3, 6], None, None),
        ([-7, -4, -1], 0x3004000C, None),  # z coordinates are of doses alone
    ],
)
def test_offsets_of_a_dose_count_in_other_objects_if_these_point_at_them(
    tmp_path: Path, sop_class: str, offsets: list[float], pointer: int | None, third_axis: list[float] | None
) -> None:
    ds = film("OT", sop_class)
    ds.ImageOrientationPatient, ds.ImagePositionPatient = UPRIGHT, [-12.5, 40.25, -7.0]
    ds.GridFrameOffsetVector = offsets
    if pointer is not None:
        ds.FrameIncrementPointer = pointer
    path = save(ds, tmp_path / "film.dcm")
    assert "FrameIncrementPointer" in read_instance(path).header or pointer is None
    if third_axis is None:
        refused([path], "MISSING_GEOMETRY")
    else:
        np.testing.assert_allclose(read_volume([path]).affine_lps[:3, 2], third_axis)


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
        ({"SliceVector": [0, 1, 2]}, None),
        ({"SliceVector": [2, 3, 4]}, None),
        ({"SliceVector": [1, 2, 3], "NumberOfSlices": 3}, (0, 4, 8)),
        ({"SliceVector": [1, 2, 3], "NumberOfSlices": 2}, None),
        ({"SliceVector": [1, 2, 3], "NumberOfTimeSlots": 2}, None),
        ({"SliceVector": [1, 2, 3], "NumberOfTimeSlots": 2, "TimeSlotVector": [2, 2, 2]}, (0, 4, 8)),
        ({"SliceVector": [1, 2, 3], "NumberOfRRIntervals": 3}, None),
        ({"SliceVector": [1, 2, 3], "FrameIncrementPointer": 0x00540080}, (0, 4, 8)),
        ({"SliceVector": [1, 2, 3], "FrameIncrementPointer": [0x00540080, 0x00540070]}, None),
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


SMALL = st.integers(0, 6)
VECTORS = st.sampled_from(["TimeSlotVector", "RRIntervalVector", "EnergyWindowVector", "DetectorVector"])
COUNTS = st.sampled_from(["NumberOfSlices", "NumberOfTimeSlots", "NumberOfRRIntervals", "NumberOfEnergyWindows"])


@given(
    slices=st.one_of(st.permutations([1, 2, 3, 4, 5]), st.lists(SMALL, min_size=4, max_size=6)),
    vectors=st.dictionaries(
        VECTORS, st.one_of(SMALL.map(lambda one: [one] * 5), st.lists(SMALL, min_size=2)), max_size=2
    ),
    counts=st.dictionaries(COUNTS, SMALL),
)
def test_frames_lie_where_their_slice_numbers_say_or_nowhere(
    slices: list[int], vectors: dict[str, list[int]], counts: dict[str, int]
) -> None:
    header = Dataset()
    header.ImageType, header.SpacingBetweenSlices = ["ORIGINAL", "PRIMARY", "RECON TOMO"], 4
    header.SliceVector = slices
    for keyword, value in {**vectors, **counts}.items():
        setattr(header, keyword, value)
    is_one = len({*slices}) == len(slices) == 5 and min(slices) == 1
    is_one = is_one and all(len(set(vector)) == 1 for vector in vectors.values())
    is_one = is_one and max(slices) <= counts.get("NumberOfSlices", 99)
    for vector, count in (("TimeSlotVector", "NumberOfTimeSlots"), ("RRIntervalVector", "NumberOfRRIntervals")):
        is_one = is_one and (vector in vectors or counts.get(count, 1) <= 1)
    expected = tuple((one - 1) * 4.0 for one in slices) if is_one else None
    assert offsets_mm(header, np.array([0.0, 0.0, 1.0]), 5) == expected


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


def test_of_several_detectors_the_one_counts_that_the_vector_names() -> None:
    header, first, second = Dataset(), Dataset(), Dataset()
    header.Modality, header.ImageType = "NM", ["ORIGINAL", "PRIMARY", "RECON TOMO"]
    first.ImagePositionPatient, second.ImagePositionPatient = [0, 0, 0], [0, 0, 9]
    header.DetectorInformationSequence = [first, second]
    assert detector(header) == Dataset()
    header.DetectorVector = [2, 2, 2]
    assert detector(header) == second
    header.DetectorVector = [3, 3, 3]
    assert detector(header) == Dataset()
    second.ImagePositionPatient = first.ImagePositionPatient
    assert detector(header) == first
    del header.DetectorVector, first.ImagePositionPatient
    assert detector(header) == second


def dose(**changes: Any) -> Dataset:
    ds = film("RTDOSE", DOSE)
    ds.ImageOrientationPatient, ds.ImagePositionPatient = UPRIGHT, [-12.5, 40.25, -7.0]
    ds.GridFrameOffsetVector, ds.DoseGridScaling, ds.DoseUnits = [0, 3, 6], "0.5", "GY"
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Modality": "OT"},
        {"RescaleSlope": "1", "RescaleIntercept": "0"},
        {"RescaleSlope": "0.5"},
        {"RescaleSlope": "0.50000001", "RescaleIntercept": "0"},
        {"DoseGridScaling": None, "RescaleSlope": "0.5"},
    ],
    ids=repr,
)
def test_a_dose_is_scaled_by_the_scaling_of_its_grid(tmp_path: Path, changes: dict[str, Any]) -> None:
    ds = dose(**changes)
    volume = read_volume([save(ds, tmp_path / "dose.dcm")])
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(3, ds.Rows, ds.Columns)
    np.testing.assert_array_equal(volume.array, stored.T * 0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"DoseGridScaling": None},
        {"DoseGridScaling": "1e-42"},
        {"RescaleSlope": "2"},
        {"RescaleIntercept": "1"},
    ],
    ids=repr,
)
def test_a_dose_without_a_scaling_or_with_two_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    refused([save(dose(**changes), tmp_path / "dose.dcm")], "INVALID_RESCALE", "largest")


def tomogram() -> Dataset:
    ds, place = film("NM", NM), Dataset()
    ds.ImageType, ds.SliceVector, ds.SpacingBetweenSlices = ["ORIGINAL", "PRIMARY", "RECON TOMO"], [1, 2, 3], 4
    place.ImageOrientationPatient, place.ImagePositionPatient = UPRIGHT, [-12.5, 40.25, -7.0]
    ds.DetectorInformationSequence = [place]
    return ds


def energy_window(name: str, upper: float = 154.0) -> list[Dataset]:
    window, ends = Dataset(), Dataset()
    ends.EnergyWindowLowerLimit, ends.EnergyWindowUpperLimit = 126, upper
    window.EnergyWindowName, window.EnergyWindowRangeSequence = name, [ends]
    return [window]


@pytest.mark.parametrize("when", [{}, {"ContentTime": ("120000", "120100")}], ids=repr)
@pytest.mark.parametrize(
    ("make", "values", "said"),
    [
        (dose, {}, "several doses"),
        (dose, {"DoseUnits": ("GY", "RELATIVE")}, "several doses"),
        (tomogram, {}, ""),
        (tomogram, {"EnergyWindowInformationSequence": (energy_window("Tc"), energy_window("Tc"))}, ""),
        (tomogram, {"EnergyWindowInformationSequence": (energy_window("Tc"), energy_window("I"))}, "energy windows"),
        (tomogram, {"EnergyWindowInformationSequence": (energy_window(""), energy_window("", 9.0))}, "energy windows"),
    ],
)
def test_doses_and_energy_windows_at_one_place_are_no_volumes_in_time(
    tmp_path: Path, make: Callable[[], Dataset], values: dict[str, Any], said: str, when: dict[str, Any]
) -> None:
    paths, uid = [], generate_uid()
    for index in range(2):
        ds = make()
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = uid, uid[:60] + ".1", uid[:60] + ".2"
        ds.InstanceNumber = index + 1
        for keyword, pair in {**values, **when}.items():
            setattr(ds, keyword, pair[index])
        paths.append(save(ds, tmp_path / f"{index}.dcm"))
    if not said:
        assert read_volume(paths).shape == (5, 4, 3, 2)
        return
    [finding] = [one for one in refused(paths, "UNKNOWN_KIND", "split").findings if one.code == "UNKNOWN_KIND"]
    assert said in finding.message
    assert finding.message.endswith(
        "lie at one place and are not volumes in time: convert the files of each by themselves"
    )
