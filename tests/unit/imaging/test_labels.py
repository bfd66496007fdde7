"""Attributes with one value in a scan tell interleaving volumes apart, whatever their InstanceNumbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.series_labels import LABELS, SETTINGS
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

VALUES: dict[str, Any] = {
    "UI": ["1.2.7", "1.2.8", "1.2.9"],
    "CS": ["AA", "BB", "CC"],
    "DA": ["20200101", "20200102", "20200103"],
    "DS": ["1.5", "2.5", "3.5"],
    "FD": [10.0, 50.0, 90.0],
    "FL": [10.0, 50.0, 90.0],
    "IS": [11, 12, 13],
    "TM": ["100000", "100100", "100200"],
    "US": [[0, 1, 2, 0], [0, 2, 3, 0], [0, 3, 4, 0]],
}


def value_of(name: str, part: int) -> Any:
    if name == "DiffusionGradientOrientation":
        return np.eye(3)[part].tolist()
    return VALUES.get(dictionary_VR(name), ["some", "others", "more"])[part]


def interleaved(folder: Path, name: str, parts: int, numbering: str, lost: int | None = None) -> dict[str, int]:
    """Writes volumes of six slices that interleave evenly, and returns the number of each instance's volume."""
    recipe = Recipe(columns=3, rows=2, slices=6 * parts, step=1.5)
    numbers = np.random.default_rng(7).permutation(6 * parts) + 1
    paths = sorted(single_frame(recipe, folder), key=lambda path: int(dcmread(path).InstanceNumber))
    volumes = {}
    for place, path in enumerate(paths):
        ds = dcmread(path)
        ds.InstanceNumber = int(numbers[place]) if numbering == "random" else place + 1
        setattr(ds, name, value_of(name, place % parts))
        ds.save_as(path)
        volumes[str(ds.SOPInstanceUID)] = place % parts
        if place == lost:
            path.unlink()
    return volumes


@pytest.mark.parametrize("numbering", ["random", "along the stack"])
@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("name", [*LABELS, *SETTINGS])
def test_volumes_between_each_other_are_distinguished(tmp_path: Path, name: str, parts: int, numbering: str) -> None:
    volume_of = interleaved(tmp_path, name, parts, numbering)
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidSeriesError):
        read_volume(paths)
    try:
        found = read_volumes(paths, "split")
    except InvalidSeriesError:
        assert numbering == "random"  # by chance they look as if each volume were several
        return
    assert [volume.shape[2] for volume in found] == [6] * parts
    for volume in found:
        assert len({volume_of[source.sop_instance_uid] for source in volume.sources[0]}) == 1
        assert volume.spacing_mm[2] == pytest.approx(1.5 * parts)


@pytest.mark.parametrize("lost", [0, 5, 11])
@pytest.mark.parametrize("name", LABELS)
def test_a_lost_slice_does_not_make_one_volume_of_two(tmp_path: Path, name: str, lost: int) -> None:
    volume_of = interleaved(tmp_path, name, 2, "along the stack", lost)
    for policy in ("strict", "split", "largest", "resample"):
        try:
            found = read_volumes(sorted(tmp_path.iterdir()), policy)
        except InvalidSeriesError:
            continue
        for volume in found:
            assert len({volume_of[source.sop_instance_uid] for source in volume.sources[0]}) == 1


def edited(folder: Path, edit: Any, **recipe: Any) -> list[Path]:
    paths = sorted(single_frame(Recipe(columns=3, rows=2, **recipe), folder), key=place_of)
    for place, path in enumerate(paths):
        ds = dcmread(path)
        edit(ds, place)
        ds.save_as(path)
    return paths


def place_of(path: Path) -> float:
    return float(dcmread(path).ImagePositionPatient[2])


@pytest.mark.parametrize("name", [*LABELS, *SETTINGS])
def test_a_scan_that_goes_on_otherwise_is_one_volume(tmp_path: Path, name: str) -> None:
    def edit(ds: Dataset, place: int) -> None:
        setattr(ds, name, value_of(name, place // 4))

    paths = edited(tmp_path, edit, slices=8)
    assert read_volume(paths).shape[2] == 8


def test_settings_that_scatter_are_no_volumes(tmp_path: Path) -> None:
    def edit(ds: Dataset, place: int) -> None:
        ds.XRayTubeCurrent = [100, 101, 101, 100, 101, 100, 100, 101][place]
        ds.SliceThickness = ["3", "2.9999", "2.9999", "3", "3", "2.9999", "3", "3"][place]

    assert inspect_series(edited(tmp_path, edit, slices=8)).is_convertible


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DerivationDescription", [f"ratio {ratio}" for ratio in (11.2, 11.3, 11.2, 11.2, 11.3, 11.4, 11.3, 11.2)]),
        ("ImageComments", ["", "key image", "", "", "key image", "", "key image", ""]),
        ("AcquisitionDate", [f"2020010{day}" for day in (1, 1, 1, 1, 1, 2, 1, 2)]),  # a scan that goes on past midnight
        ("HeartRate", ["61", "62"] * 4),
        ("ImagingFrequency", ["63.861", "63.862"] * 4),
    ],
)
def test_what_an_ordinary_scan_changes_is_no_volumes(tmp_path: Path, name: str, values: list[str]) -> None:
    def edit(ds: Dataset, place: int) -> None:
        setattr(ds, name, values[place])

    assert inspect_series(edited(tmp_path, edit, slices=8, modality="MR")).is_convertible


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PatientName", ["Doe^Jane", "Roe^Jane"]),
        ("PatientBirthDate", ["19700101", "19710101"]),
        ("PatientSex", ["F", "M"]),
    ],
)
def test_one_patient_id_of_two_people_is_refused(tmp_path: Path, name: str, values: list[str]) -> None:
    paths = edited(tmp_path, lambda ds, place: setattr(ds, name, values[place // 3]))
    for policy in ("strict", "split", "largest", "resample"):
        with pytest.raises(InvalidSeriesError, match="MIXED_PATIENT") as told:
            read_volumes(paths, policy)
        assert not any(value in str(told.value) for value in values if len(value) > 1)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("others", [b"M\xfcller", b"M\xf6ller"])
def test_two_people_whose_names_cannot_be_decoded_are_never_one_volume(
    tmp_path: Path, keyword: str, syntax: UID, others: bytes
) -> None:
    def edit(ds: Dataset, place: int) -> None:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.SpecificCharacterSet = "ISO_IR 192"
        vr = "LO" if keyword == "PatientID" else "PN"
        content = (others if place < 3 else b"M\xfcller") + b" "
        ds[keyword] = RawDataElement(Tag(keyword), vr, len(content), content, 0, False, True)
        ds.set_original_encoding(False, True, ds._character_set)

    paths = edited(tmp_path, edit)
    found = inspect_series(paths).codes
    assert ("MIXED_PATIENT" in found) == (others != b"M\xfcller")


def test_one_person_spelled_in_two_ways_is_one(tmp_path: Path) -> None:
    names = ["Doe^Jane", "DOE^JANE^^^", "Doe^Jane=Ideo^Graphic", "doe ^ jane", "", "Doe^Jane"]
    assert read_volume(edited(tmp_path, lambda ds, place: setattr(ds, "PatientName", names[place]))).shape[2] == 6


def test_two_kinds_of_objects_are_two_parts(tmp_path: Path) -> None:
    secondary_capture = UID("1.2.840.10008.5.1.4.1.1.7")

    def edit(ds: Dataset, place: int) -> None:
        if place > 3:
            ds.SOPClassUID = secondary_capture

    paths = edited(tmp_path, edit)
    assert "MIXED_MODALITY" in inspect_series(paths).codes
    assert [volume.shape[2] for volume in read_volumes(paths, "split")] == [4, 2]


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_slice_that_lost_half_its_rescale_is_refused(tmp_path: Path, keyword: str, how: str) -> None:
    def edit(ds: Dataset, place: int) -> None:
        if place == 2 and how == "absent":
            del ds[keyword]
        elif place == 2:
            ds[keyword].value = None

    paths = edited(tmp_path, edit, rescale=("2", "-1000"))
    assert {"MISSING_RESCALE", "INVALID_RESCALE"} & inspect_series(paths).codes
    with pytest.raises(InvalidSeriesError):
        read_volume(paths)


def test_an_intercept_that_swallows_the_values_is_refused(tmp_path: Path) -> None:
    paths = edited(tmp_path, lambda _ds, _place: None, rescale=("1", "1e15"))
    with pytest.raises(InvalidSeriesError, match="INVALID_RESCALE"):
        read_volume(paths)


@pytest.mark.parametrize("columns", [8, 512])
def test_pixels_that_grow_are_judged_at_the_far_edge(tmp_path: Path, columns: int) -> None:
    recipe = Recipe(columns=columns, rows=2, slices=12, row_distance=0.5, column_distance=0.5)
    paths = sorted(single_frame(recipe, tmp_path), key=place_of)
    for place, path in enumerate(paths):
        ds = dcmread(path)
        ds.PixelSpacing = [0.5, round(0.5 + 0.00008 * place, 6)]
        ds.save_as(path)
    codes = inspect_series(paths).codes
    assert ("MIXED_SPACING" in codes) == (columns == 512)


@pytest.mark.parametrize("growth", [1.005, 1.01, 1.015])
def test_a_distance_that_creeps_ends_a_part_before_slices_lie_off(tmp_path: Path, growth: float) -> None:
    heights = np.concatenate([[0.0], np.cumsum(3.0 * growth ** np.arange(39))])

    def edit(ds: Dataset, place: int) -> None:
        ds.ImagePositionPatient = [0.0, 0.0, round(float(heights[place]), 4)]

    paths = edited(tmp_path, edit, slices=40)
    height_of = {str(dcmread(path).SOPInstanceUID): heights[place] for place, path in enumerate(paths)}
    [finding] = [one for one in inspect_series(paths).findings if one.code == "MIXED_SPACING"]
    assert "off even steps" in finding.message
    for volume in read_volumes(paths, "split"):
        for k, source in enumerate(volume.sources[0]):
            placed = float((volume.affine_lps @ [0, 0, k, 1])[2])
            assert abs(placed - height_of[source.sop_instance_uid]) < 0.1


@pytest.mark.parametrize("step", [3.09, 3.3, 3.9])
def test_the_last_slice_stays_where_it_is_on_an_even_grid(tmp_path: Path, step: float) -> None:
    heights = np.concatenate([[0.0], np.cumsum([step if place > 8 else 3.0 for place in range(18)])]).round(4)

    def edit(ds: Dataset, place: int) -> None:
        ds.ImagePositionPatient = [0.0, 0.0, float(heights[place])]
        ds.InstanceNumber = place + 1
        ds.PixelData = np.full((2, 3), round(100 * heights[place]), np.int16).tobytes()

    volume = read_volume(edited(tmp_path, edit, slices=19, step=50.0), "resample")
    for k in range(volume.shape[2]):
        placed = float((volume.affine_lps @ [0, 0, k, 1])[2])
        assert abs(float(volume.array[0, 0, k]) / 100 - placed) < 0.04
