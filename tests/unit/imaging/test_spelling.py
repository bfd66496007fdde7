"""An element that is read once for all headers with the same bytes has the right value for each of them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.derived.source import frames_of_header
from dcm_processor_service.imaging.frames.frame import mark, marks
from dcm_processor_service.imaging.headers.spelling import spelling
from dcm_processor_service.imaging.headers.values import ScannedElement, ScannedHeader
from tests.unit.derived.sources import make_headers

KEYWORDS = ("ConvolutionKernel", "ImageType", "KVP", "AcquisitionNumber", "EchoTime", "TemporalPositionIdentifier")


def read(dataset: Dataset) -> Dataset:
    file = io.BytesIO()
    made = FileDataset(None, dataset, file_meta=Dataset(), preamble=b"\0" * 128)  # type: ignore[arg-type]  # no file
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(file, enforce_file_format=True)
    return dcmread(io.BytesIO(file.getvalue()))


def headers() -> list[Dataset]:
    """Headers that differ in values, in lacking them, and in the character set of the same bytes."""
    made = make_headers(shape=(5, 4, 6))
    for number, header in enumerate(made):
        header.SpecificCharacterSet = "ISO_IR 100" if number < 3 else "ISO_IR 101"
        header.ConvolutionKernel = "\u00e9" if number < 2 else "B30f"
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if number % 2 else "OTHER"]
        if number != 4:
            header.KVP, header.AcquisitionNumber = 100 + 20 * (number % 2), number // 3
    return [read(header) for header in made]


@pytest.mark.parametrize("name", KEYWORDS)
@pytest.mark.parametrize("decoded", [(), (1, 4)])
def test_marks_are_those_of_each_header(name: str, decoded: tuple[int, ...]) -> None:
    found, expected = ([frame for one in headers() for frame in frames_of_header(one)] for _ in range(2))
    for number in decoded:
        assert str(found[number].instance.header)
    assert marks(found, name) == [mark(frame, name) for frame in expected]


def test_what_is_spelt_alike_is_equal() -> None:
    one, other, *_, last = headers()
    same: Any = spelling(one, "ConvolutionKernel")
    assert same == spelling(other, "ConvolutionKernel") != spelling(last, "ConvolutionKernel")
    assert spelling(one, "KVP") != spelling(other, "KVP")
    assert spelling(one, "EchoTime") == "absent"
    assert spelling(one, "Modality") != spelling(one, "KVP")
    assert str(one.KVP) == "100.0"
    assert spelling(one, "KVP") is None


def test_equal_bytes_in_two_character_sets_are_not_alike() -> None:
    made = make_headers(shape=(5, 4, 2))
    for header, term in zip(made, ("ISO_IR 100", "ISO_IR 101"), strict=True):
        header.SpecificCharacterSet, header.ConvolutionKernel = term, "B30f"
    first, second = map(read, made)
    assert spelling(first, "ConvolutionKernel") != spelling(second, "ConvolutionKernel")


def test_what_was_made_in_memory_is_compared_by_its_value() -> None:
    header = Dataset()
    header.KVP, header.EncapsulatedDocument = 100, b"bytes"
    assert [spelling(header, keyword) for keyword in ("KVP", "EncapsulatedDocument")] == [None, None]
    assert spelling(header, "EchoTime") == "absent"
    with_element = ScannedHeader({"KVP": ScannedElement("DS", b"100 ")})
    assert spelling(with_element, "KVP") is with_element.elements["KVP"]
    assert spelling(with_element, "EchoTime") == "absent"
