"""Two patients, studies, places, modalities or units under one SeriesInstanceUID are found, and never one volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.refusals import change, put, refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

RECIPE = Recipe(slices=8, modality="PT", rescale=("1", "0"))
SPLIT = {
    "FrameOfReferenceUID": ("MIXED_FRAME_OF_REFERENCE", "1.2.3", "1.2.4"),
    "Modality": ("MIXED_MODALITY", "PT", "CT"),
    "Units": ("MIXED_UNITS", "BQML", "CNTS"),
    "RescaleType": ("MIXED_UNITS", "HU", "MGML"),
    "PhotometricInterpretation": ("MIXED_PHOTOMETRIC", "MONOCHROME1", "MONOCHROME2"),
}
REFUSED = {
    "PatientID": ("MIXED_PATIENT", "A", "B"),
    "IssuerOfPatientID": ("MIXED_PATIENT", "A", "B"),
    "StudyInstanceUID": ("MIXED_STUDY", "1.2.3", "1.2.4"),
}


def mixed(folder: Path, keyword: str, first: Any, second: Any, *, interleaved: bool) -> list[Path]:
    def edit(ds: Dataset, k: int) -> None:
        is_second = k % 2 if interleaved else k >= 4
        value = second if is_second else first
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)

    return change(single_frame(RECIPE, folder), edit)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("keyword", SPLIT)
def test_what_differs_makes_parts(tmp_path: Path, keyword: str, *, interleaved: bool) -> None:
    code, first, second = SPLIT[keyword]
    paths = mixed(tmp_path, keyword, first, second, interleaved=interleaved)
    [finding] = [one for one in refused(paths, code).findings if one.code == code]
    assert (finding.attribute, finding.count) == (keyword, 2)
    refused(paths, code, "resample")
    values = RECIPE.values[..., 0]
    halves = [values[:, :, ::2], values[:, :, 1::2]] if interleaved else [values[:, :, :4], values[:, :, 4:]]
    parts = sorted(read_volumes(paths, "split"), key=lambda part: float(part.affine_lps[2, 3]))
    for part, half in zip(parts, halves, strict=True):
        np.testing.assert_array_equal(part.array, half)
    assert read_volumes(paths, "largest")[0].shape == (5, 4, 4)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("keyword", REFUSED)
@pytest.mark.parametrize("policy", ["strict", "split", "largest", "resample"])
def test_two_patients_or_studies_are_refused(tmp_path: Path, keyword: str, policy: str, *, interleaved: bool) -> None:
    code, first, second = REFUSED[keyword]
    report = refused(mixed(tmp_path, keyword, first, second, interleaved=interleaved), code, policy)
    assert [one.count for one in report.findings if one.code == code] == [2]


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "RescaleType"])
def test_what_some_files_do_not_state_is_no_difference(tmp_path: Path, keyword: str) -> None:
    paths = mixed(tmp_path, keyword, SPLIT[keyword][1], "", interleaved=True)
    [volume] = read_volumes(paths)
    np.testing.assert_array_equal(volume.array, RECIPE.values[..., 0])


@pytest.mark.parametrize(("first", "second"), [("US", "HU"), ("US", "")])
def test_an_unspecified_rescale_type_is_no_other(tmp_path: Path, first: str, second: str) -> None:
    assert read_volumes(mixed(tmp_path, "RescaleType", first, second, interleaved=True))[0].shape == (5, 4, 8)


PERSON = {"PatientID": "17", "PatientName": "Secret^Anna", "PatientBirthDate": "19700101", "PatientSex": "F"}


def of_persons(folder: Path, **other: str) -> list[Path]:
    """Makes a series whose second half has other attributes of the patient."""

    def edit(ds: Dataset, k: int) -> None:
        said = {**PERSON, **(other if k >= 4 else {})}
        ds.add_new("PatientSex", "SH", said.pop("PatientSex"))  # takes a small letter too
        put(ds, said)

    return change(single_frame(RECIPE, folder), edit)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"PatientName": "Secret^Berta"}, "several names:"),
        ({"PatientBirthDate": "19800101"}, "several birth dates:"),
        ({"PatientSex": "M"}, "several sexes:"),
        ({"PatientName": "Secret^Berta", "PatientSex": "M"}, "several names and sexes:"),
    ],
    ids=["name", "birth date", "sex", "name and sex"],
)
@pytest.mark.parametrize("policy", ["strict", "split"])
def test_one_id_of_two_persons_is_refused(tmp_path: Path, other: dict[str, str], told: str, policy: str) -> None:
    report = refused(of_persons(tmp_path, **other), "MIXED_PATIENT", policy)
    [finding] = [one for one in report.findings if one.code == "MIXED_PATIENT"]
    assert finding.count == 2
    assert told in finding.message


@pytest.mark.parametrize(
    "other",
    [
        {"PatientName": ""},
        {"PatientBirthDate": ""},
        {"PatientSex": ""},
        {"PatientSex": "f"},
        {"PatientName": "SECRET^ANNA^^"},
        {"PatientName": "Secret Anna"},
        {"PatientName": "Secret^Anna=other^letters"},
    ],
    ids=["no name", "no birth date", "no sex", "small letter", "capitals", "one component", "other letters"],
)
def test_what_is_spelled_otherwise_or_left_out_is_no_other_person(tmp_path: Path, other: dict[str, str]) -> None:
    assert read_volumes(of_persons(tmp_path, **other))[0].shape == (5, 4, 8)
