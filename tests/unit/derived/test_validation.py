"""What validation finds, and what saving refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dcm_processor_service.derived import ImageOptions, derive_image, encapsulated_pdf, save, validate
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import make_recipe, make_source

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import FileDataset

PIXELS = np.zeros((5, 4, 3), np.int16)


def image(**values: Any) -> FileDataset:
    dataset = derive_image(PIXELS, make_source(), make_recipe()).datasets[0]
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("keyword", "vr", "raw"),
    [
        ("PatientAge", "AS", b"98"),
        ("ImageType", "CS", b"derived"),
        ("StudyDate", "DA", b"2025-01-02"),
        ("StudyTime", "TM", b"25:00"),
        ("SliceThickness", "DS", b"1.23456789012345678"),
        ("SliceLocation", "DS", b"nan"),
        ("AcquisitionNumber", "IS", b"99999999999"),
        ("StudyID", "SH", b"seventeen letters"),
        ("SeriesDescription", "LO", b"x" * 65),
        ("PatientName", "PN", b"a^b^c^d^e^f"),
        ("StudyInstanceUID", "UI", b"1.02.3"),
        ("PatientID", "LO", b"tab\there"),
    ],
)
def test_malformed_values_are_found_without_being_shown(keyword: str, vr: str, raw: bytes) -> None:
    dataset = image()
    tag = dataset[keyword].tag if keyword in dataset else Tag(keyword)
    dataset[tag] = RawDataElement(tag, vr, len(raw), raw, 0, is_implicit_VR=False, is_little_endian=True)
    (found,) = validate(dataset)
    assert found.keyword == keyword
    assert raw.decode() not in str(found)
    assert found.remedy


@pytest.mark.parametrize(
    ("changes", "keyword"),
    [
        ({"BitsStored": 12}, "HighBit"),
        ({"Rows": 7}, "PixelData"),
        ({"SOPInstanceUID": "1.2.9"}, "MediaStorageSOPInstanceUID"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, "ImageOrientationPatient"),
        ({"WindowWidth": 0.5}, "WindowWidth"),
        ({"SpecificCharacterSet": "ISO_IR 100"}, "SpecificCharacterSet"),
    ],
)
def test_disagreement_within_the_object_is_found(changes: dict[str, Any], keyword: str) -> None:
    assert [problem.keyword for problem in validate(image(**changes))] == [keyword]


def test_a_code_without_meaning_is_found_where_it_is() -> None:
    dataset = image()
    item = Dataset()
    item.CodeValue = "1"
    dataset.DerivationCodeSequence = [item]
    tags = {(problem.tag, problem.keyword) for problem in validate(dataset)}
    assert tags == {
        ("(0008,9215)[0].(0008,0102)", "CodingSchemeDesignator"),
        ("(0008,9215)[0].(0008,0104)", "CodeMeaning"),
    }


def test_saving_refuses_problems_and_leaves_nothing(tmp_path: Path) -> None:
    broken = image()
    del broken.PatientName
    with pytest.raises(DerivedObjectError, match=r"\(0010,0010\) PatientName: CT Image: type 2 is required"):
        save([broken], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(save([broken], tmp_path / "out", check=False)) == 1


def test_saved_files_have_safe_names_and_are_replaced_by_a_retry(tmp_path: Path) -> None:
    made = derive_image(PIXELS, make_source(), make_recipe())
    document = encapsulated_pdf(b"%PDF-1.4", make_source(), make_recipe("document"))
    paths = save([*made.datasets, document], tmp_path)
    assert save(made.datasets, tmp_path) == paths[:3]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [dcmread(path).SOPInstanceUID for path in paths[:3]] == [each.SOPInstanceUID for each in made.datasets]
    assert not any("P-1" in path.name or "Test" in path.name for path in paths)
    with pytest.raises(DerivedObjectError, match="an archive would keep one of them"):
        save([made.datasets[0], made.datasets[0]], tmp_path)


@pytest.mark.parametrize("lacking", ["RescaleSlope", "RescaleIntercept"])
def test_half_a_rescale_is_found(lacking: str) -> None:
    capture = derive_image(PIXELS, make_source(), make_recipe(), options=ImageOptions(kind="sc")).datasets[0]
    capture.RescaleSlope, capture.RescaleIntercept, capture.RescaleType = 1, 0, "US"
    assert lacking not in [problem.keyword for problem in validate(capture)]
    del capture[lacking]
    assert lacking in [problem.keyword for problem in validate(capture)]
