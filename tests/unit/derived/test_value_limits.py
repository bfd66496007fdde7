"""The last value that PS3.5 and PS3.3 allow passes, and the first that they do not allow is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless

from dcm_processor_service.derived import derive_image, validate
from tests.unit.derived.sources import make_recipe, make_source

ALLOWED = {
    "AS": ["000D", "999Y", "012W", "006M", ""],
    "CS": ["A", "A_ 9", "A" * 16],
    "DA": ["20241231", "19000101", "20240930"],
    "TM": ["23", "2359", "235960", "000000.000000", "120000.1"],
    "DT": ["2024", "20240102030405.123456+0100", "20240102-0330"],
    "UI": ["0", "1.0.20", "1." + "9" * 62],
    "IS": ["-2147483648", "+2147483647", " 12 "],
    "DS": ["1", "-1.5e-10", "+.5", "5.", " 1.5 ", "1" * 16],
    "SH": ["a" * 16, "ü"],
    "LO": ["a" * 64],
    "PN": ["a^b^c^d^e", "a=b=c", "a" * 64 + "=" + "b" * 64],
    "ST": ["a" * 1024, "line\r\nline"],
}
FORBIDDEN = {
    "AS": ["45Y", "045", "045y", "0045Y", "045X"],
    "CS": ["a", "A-B", "A" * 17, "A\tB"],
    "DA": ["20241301", "20240132", "20240001", "20240100", "2024010", "2024.01.02"],
    "TM": ["24", "2360", "235961", "120000.", "120000.1234567", "1"],
    "DT": ["202", "20240102030405.", "2024+1"],
    "UI": ["1.02", "1..2", "1.", "x", "1." + "9" * 63],
    "IS": ["-2147483649", "2147483648", "1.5", "one", "1" * 13],
    "DS": ["1,5", "nan", "inf", "1e999", "1" * 17, "1e"],
    "SH": ["a" * 17, "a\x07"],
    "LO": ["a" * 65, "a\nb"],
    "PN": ["a^b^c^d^e^f", "a=b=c=d", "a=b^c^d^e^f^g", "a" * 65, "a=" + "b" * 65, "a\tb"],
    "ST": ["a" * 1025],
}
KEYWORDS = {
    "AS": "PatientAge", "CS": "BodyPartExamined", "DA": "AcquisitionDate", "TM": "AcquisitionTime",
    "DT": "AcquisitionDateTime", "UI": "ConcatenationUID", "IS": "AcquisitionNumber", "DS": "SliceLocation",
    "SH": "StationName", "LO": "InstitutionName", "PN": "OperatorsName", "ST": "InstitutionAddress",
}  # fmt: skip


def keywords(dataset: Dataset) -> list[str]:
    return [problem.keyword for problem in validate(dataset)]


def problems_with(vr: str, value: str) -> list[str]:
    """What validation finds in an element of that value, as it stands in a file."""
    dataset, raw, tag = Dataset(), value.encode(), Tag(KEYWORDS[vr])
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset[tag] = RawDataElement(tag, vr, len(raw), raw, 0, is_implicit_VR=False, is_little_endian=True)
    return keywords(dataset)


@pytest.mark.parametrize("vr", ALLOWED)
def test_values_that_the_standard_allows_pass(vr: str) -> None:
    assert [value for value in ALLOWED[vr] if problems_with(vr, value)] == []


@pytest.mark.parametrize("vr", FORBIDDEN)
def test_values_that_the_standard_does_not_allow_are_found(vr: str) -> None:
    assert [value for value in FORBIDDEN[vr] if problems_with(vr, value) != [KEYWORDS[vr]]] == []


@pytest.mark.parametrize("vr", ["DS", "IS", "CS"])
def test_each_of_several_values_is_looked_at(vr: str) -> None:
    good, bad = ALLOWED[vr][0], FORBIDDEN[vr][0]
    assert problems_with(vr, f"{good}\\{good}") == []
    assert problems_with(vr, f"{bad}\\{good}") == problems_with(vr, f"{good}\\{bad}") == [KEYWORDS[vr]]


def image(**changes: Any) -> Dataset:
    dataset = derive_image(np.zeros((5, 3, 1), np.uint8), make_source(shape=(5, 3, 1)), make_recipe()).datasets[0]
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"BitsStored": 12, "HighBit": 11}, []),
        ({"BitsStored": 17, "HighBit": 16}, ["HighBit"]),
        ({"BitsStored": 16, "HighBit": 14}, ["HighBit"]),
        ({"PixelData": bytes(29)}, ["PixelData"]),
        ({"PixelData": bytes(31)}, ["PixelData"]),
        ({"PixelData": bytes(32)}, ["PixelData"]),
        ({"PixelData": bytes(60)}, ["PixelData"]),
        ({"PixelData": bytes(60), "NumberOfFrames": 2}, []),
        ({"PixelData": bytes(90), "SamplesPerPixel": 3, "PlanarConfiguration": 0}, []),
        ({"Columns": 4}, ["PixelData"]),
        ({"WindowWidth": 1, "VOILUTFunction": "LINEAR"}, []),
        ({"WindowWidth": 0.9, "VOILUTFunction": "LINEAR"}, ["WindowWidth"]),
        ({"WindowWidth": 0.9, "VOILUTFunction": "LINEAR_EXACT"}, []),
        ({"WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"}, ["WindowWidth"]),
        ({"ImageOrientationPatient": [1, 0, 0, 0.0009, 1, 0]}, []),
        ({"ImageOrientationPatient": [1, 0, 0, 0.0011, 1, 0]}, ["ImageOrientationPatient"]),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, 1]}, []),
        ({"ImageOrientationPatient": [1.001, 0, 0, 0, 1, 0]}, ["ImageOrientationPatient"]),
    ],
)
def test_pixels_and_planes_agree_with_their_description(changes: dict[str, Any], found: list[str]) -> None:
    assert keywords(image(**changes)) == found


def test_compressed_pixels_are_not_counted() -> None:
    dataset = image(PixelData=bytes(4))
    assert keywords(dataset) == ["PixelData"]
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert keywords(dataset) == []


def code(**parts: str) -> Dataset:
    item = Dataset()
    for keyword, value in parts.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"CodeValue": "1", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}, []),
        ({"LongCodeValue": "1" * 20, "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}, []),
        ({"URNCodeValue": "urn:oid:1.2", "CodeMeaning": "Liver"}, []),
        ({"CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}, ["CodeValue"]),
        ({"CodeValue": "1", "CodeMeaning": "Liver"}, ["CodingSchemeDesignator"]),
        ({"CodeValue": "1", "CodingSchemeDesignator": "SCT"}, ["CodeMeaning"]),
        ({}, ["CodeValue", "CodingSchemeDesignator", "CodeMeaning"]),
    ],
)
def test_a_code_has_a_value_a_scheme_and_a_meaning_wherever_it_stands(parts: dict[str, str], found: list[str]) -> None:
    dataset = image()
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = [code(**parts)]
    outer.Manufacturer = "m"
    dataset.ContributingEquipmentSequence = [outer]
    problems = validate(dataset)
    assert [problem.keyword for problem in problems] == found
    assert all(problem.tag.startswith("(0018,A001)[0].(0040,A170)[0].") for problem in problems)
