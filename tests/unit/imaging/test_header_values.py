"""Values of headers are the same from a dataset in memory, a dataset from a file, and a scanned header."""

from __future__ import annotations

import contextlib
import io
import struct
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.headers.values import (
    ScannedElement,
    ScannedHeader,
    in_groups,
    integer,
    is_malformed,
    item,
    items,
    number,
    numbers,
    tag_value,
    text,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.imaging.headers.values import Header

TAGS = {
    "ImageType": (0x00080008, "CS"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "Manufacturer": (0x00080070, "LO"),
    "PatientName": (0x00100010, "PN"),
    "PatientComments": (0x00104000, "LT"),
    "SliceThickness": (0x00180050, "DS"),
    "InstanceNumber": (0x00200013, "IS"),
    "DiffusionBValue": (0x00189087, "FD"),
    "Rows": (0x00280010, "US"),
    "PixelPaddingValue": (0x00280120, "SS"),
    "RegionFlags": (0x00186016, "UL"),
    "ReferencePixelX0": (0x00186020, "SL"),
    "RecommendedDisplayFrameRateInFloat": (0x00089459, "FL"),
}


def file_in(dataset: Dataset, syntax: str) -> bytes:
    """Writes a dataset into a file in memory."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2")
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def file_of(keyword: str, content: bytes) -> bytes:
    """A file of one element, little endian, with types."""
    tag, vr = TAGS[keyword]
    element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(content)) + content
    return file_in(Dataset(), ExplicitVRLittleEndian) + element


def ways(keyword: str, content: bytes) -> Iterator[Header]:
    """Returns the same bytes as a scanned header, as a dataset with raw elements, and as a parsed dataset."""
    yield ScannedHeader({keyword: ScannedElement(TAGS[keyword][1], content)})
    yield dcmread(io.BytesIO(file_of(keyword, content)))
    parsed = dcmread(io.BytesIO(file_of(keyword, content)))
    with contextlib.suppress(Exception):  # malformed values stay raw
        parsed[keyword].value  # noqa: B018  parses it
    yield parsed


NUMBERS = [
    ("SliceThickness", b"2.5 ", (2.5,)),
    ("SliceThickness", b" 2.5\\-1e2", (2.5, -100.0)),
    ("SliceThickness", b"0\0", (0.0,)),
    ("SliceThickness", b"", None),
    ("SliceThickness", b"  ", None),
    ("SliceThickness", b"2,5 ", None),
    ("SliceThickness", b"1\\ ", None),
    ("SliceThickness", b"nan ", None),
    ("SliceThickness", b"1\\inf ", None),
    ("InstanceNumber", b"-7", (-7.0,)),
    ("InstanceNumber", b"3\\4 ", (3.0, 4.0)),
    ("Rows", b"\x01\x02", (513.0,)),
    ("Rows", b"\xff\xff", (65535.0,)),
    ("Rows", b"\x01\0\x02\0", (1.0, 2.0)),
    ("Rows", b"", None),
    ("PixelPaddingValue", b"\xff\xff", (-1.0,)),
    ("RegionFlags", b"\xff\xff\xff\xff", (4294967295.0,)),
    ("ReferencePixelX0", b"\xfe\xff\xff\xff", (-2.0,)),
    ("RecommendedDisplayFrameRateInFloat", struct.pack("<f", 0.5), (0.5,)),
    ("DiffusionBValue", struct.pack("<2d", 0.1, 1e300), (0.1, 1e300)),
    ("DiffusionBValue", struct.pack("<d", float("nan")), None),
    ("DiffusionBValue", struct.pack("<2d", 1, float("inf")), None),
]


@pytest.mark.parametrize(("keyword", "content", "expected"), NUMBERS)
def test_numbers_are_all_finite_or_absent(keyword: str, content: bytes, expected: tuple[float, ...] | None) -> None:
    first = None if expected is None else expected[0]
    for header in ways(keyword, content):
        assert numbers(header, keyword) == expected
        assert number(header, keyword) == first
        for count in (0, 1, 2, 3):
            fits = expected is not None and len(expected) == count
            assert numbers(header, keyword, count) == (expected if fits else None)
        assert numbers(header, "SpacingBetweenSlices") is None
        assert number(header, "SpacingBetweenSlices") is None
        assert integer(header, "SpacingBetweenSlices") is None


@pytest.mark.parametrize("content", [b"\x01\x02\x03", b"\x01"])
def test_binary_numbers_of_a_wrong_length_are_absent(content: bytes) -> None:
    assert numbers(ScannedHeader({"Rows": ScannedElement("US", content)}), "Rows") is None


@pytest.mark.parametrize(
    ("content", "expected"), [(b"4 ", 4), (b"4.0 ", 4), (b"-3", -3), (b"4.5 ", None), (b"0 ", 0), (b"x ", None)]
)
def test_an_integer_is_a_whole_number(content: bytes, expected: int | None) -> None:
    for header in ways("SliceThickness", content):
        found = integer(header, "SliceThickness")
        assert found == expected
        assert found is None or isinstance(found, int)


@pytest.mark.parametrize(
    ("keyword", "content", "expected"),
    [
        ("SliceThickness", b"2,5 ", True),
        ("SliceThickness", b"1\\ ", True),
        ("SliceThickness", b"2.5 ", False),
        ("SliceThickness", b"", False),
        ("SliceThickness", b" \0", False),
        ("InstanceNumber", b"one ", True),
        ("DiffusionBValue", struct.pack("<d", float("inf")), True),
    ],
)
def test_a_value_that_is_no_number_is_malformed_and_nothing_is_not(
    keyword: str, content: bytes, *, expected: bool
) -> None:
    for header in ways(keyword, content):
        assert is_malformed(header, keyword) is expected
        assert is_malformed(header, "SpacingBetweenSlices") is False


TEXTS = [
    ("ImageType", b"ORIGINAL\\PRIMARY ", ("ORIGINAL", "PRIMARY")),
    ("ImageType", b" ORIGINAL\\ M ", ("ORIGINAL", "M")),
    ("ImageType", b"\\PRIMARY", ("", "PRIMARY")),
    ("ImageType", b"", ()),
    ("SOPInstanceUID", b"1.2.3\0", ("1.2.3",)),
    ("SOPInstanceUID", b"1.2.3 ", ("1.2.3",)),
    ("Manufacturer", b"SIEMENS ", ("SIEMENS",)),
    ("Manufacturer", b"A\\B ", ("A", "B")),
    ("PatientName", b"Doe^Jane", ("Doe^Jane",)),
    ("PatientName", b"Doe^Jane== ", ("Doe^Jane",)),
    ("PatientComments", b"one \\ two ", ("one \\ two",)),
]


@pytest.mark.parametrize(("keyword", "content", "expected"), TEXTS)
def test_texts_have_no_padding(keyword: str, content: bytes, expected: tuple[str, ...]) -> None:
    for header in ways(keyword, content):
        assert texts(header, keyword) == expected
        assert text(header, keyword) == (expected[0] if expected else "")
        assert texts(header, "StationName") == ()
        assert text(header, "StationName") == ""


def test_an_equals_sign_belongs_to_any_text_but_a_name() -> None:
    header = ScannedHeader(
        {key: ScannedElement(vr, b"a=") for key, vr in (("PatientName", "PN"), ("StationName", "SH"))}
    )
    assert (text(header, "PatientName"), text(header, "StationName")) == ("a", "a=")


def test_padding_of_what_is_no_text_of_the_patient_is_taken_from_each_value() -> None:
    header = ScannedHeader({"ImageType": ScannedElement("CS", b" A\0\\\0B \\ C")})
    assert texts(header, "ImageType") == ("A", "B", "C")


def test_one_element_is_decoded_by_the_character_set_of_each_header() -> None:
    element = ScannedElement("LO", b"\xc4")
    sets = {b"": None, b"ISO_IR 100": "Ä", b"ISO_IR 144": "Ф"}
    for term, expected in sets.items():
        header = ScannedHeader({"StationName": element})
        if term:
            header.elements["SpecificCharacterSet"] = ScannedElement("CS", term)
        found = text(header, "StationName")
        assert expected is None or found == expected


@pytest.mark.parametrize(("content", "expected"), [(b"1_0 ", None), (b"10 ", (10.0,)), (b"1\\2_0", None)])
def test_what_python_alone_takes_for_a_number_is_none(content: bytes, expected: tuple[float, ...] | None) -> None:
    assert ScannedElement("DS", content).numbers == expected


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("SliceThickness", 2, (2.0,)),
        ("PixelSpacing", [0.5, 0.7], (0.5, 0.7)),
        ("Rows", 512, (512.0,)),
        ("InstanceNumber", "7", (7.0,)),
        ("StationName", "7", (7.0,)),
        ("StationName", "seven", None),
        ("StationName", "1_0", None),
        ("PixelSpacing", [], None),
        ("PixelSpacing", None, None),
        ("PatientName", "Doe", None),
        ("DiffusionBValue", float("nan"), None),
        ("PixelData", b"\1\0", None),
    ],
)
def test_numbers_of_a_dataset_in_memory(keyword: str, value: Any, expected: tuple[float, ...] | None) -> None:
    header = Dataset()
    setattr(header, keyword, value)
    assert numbers(header, keyword) == expected


def test_texts_of_a_dataset_in_memory() -> None:
    header = Dataset()
    header.ImageType, header.PatientName, header.StationName = ["A", "B "], "Doe^Jane", ""
    header.Rows, header.SliceThickness = 5, 2.5
    assert texts(header, "ImageType") == ("A", "B")
    assert texts(header, "PatientName") == ("Doe^Jane",)
    assert (texts(header, "Rows"), texts(header, "SliceThickness"), texts(header, "StationName")) == (
        ("5",),
        ("2.5",),
        (),
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_of_any_encoding_has_the_same_values(syntax: str) -> None:
    dataset = Dataset()
    dataset.Rows, dataset.SliceThickness, dataset.ImageType = 258, 2.5, ["A", "B"]
    dataset.DiffusionBValue, dataset.InstanceNumber, dataset.Modality = 0.1, 7, "MR"
    header = dcmread(io.BytesIO(file_in(dataset, syntax)))
    assert [number(header, key) for key in ("Rows", "SliceThickness", "DiffusionBValue", "InstanceNumber")] == [
        *(258, 2.5, 0.1, 7)
    ]
    assert (texts(header, "ImageType"), text(header, "Modality")) == (("A", "B"), "MR")
    assert not any(is_malformed(header, key) for key in ("Rows", "SliceThickness", "DiffusionBValue"))


def test_a_word_that_is_no_keyword_is_absent() -> None:
    for header in (Dataset(), ScannedHeader({})):
        assert numbers(header, "Rows") is None
        assert text(header, "Rows") == ""


def test_items_of_a_sequence() -> None:
    one, two, header = Dataset(), Dataset(), Dataset()
    header.DetectorInformationSequence, header.ViewCodeSequence, header.Modality = [one, two], [], "NM"
    assert items(header, "DetectorInformationSequence") == (one, two)
    assert item(header, "DetectorInformationSequence") is header.DetectorInformationSequence[0]
    for keyword in ("ViewCodeSequence", "EnergyWindowInformationSequence", "Modality"):
        assert items(header, keyword) == ()
        assert item(header, keyword) is None
    assert items(ScannedHeader({}), "DetectorInformationSequence") == ()


def group(thickness: float | None) -> Dataset:
    """Makes a dataset whose functional group states a thickness, or nothing."""
    place, measures = Dataset(), Dataset()
    if thickness is not None:
        measures.SliceThickness = thickness
    place.PixelMeasuresSequence = [measures]
    return place


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([group(1), group(2), Dataset()], 1),
        ([group(None), group(2), Dataset()], 2),
        ([Dataset(), group(2), Dataset()], 2),
        ([group(0), group(2), Dataset()], 0),
        ([group(None), Dataset(), Dataset()], None),
    ],
)
def test_the_nearest_group_that_says_it_counts(places: list[Dataset], expected: float | None) -> None:
    read: Callable[[Header, str], Any] = number
    assert in_groups(places, "PixelMeasuresSequence", read, "SliceThickness") == expected
    places[-1].SliceThickness = 9
    assert in_groups(places, "PixelMeasuresSequence", read, "SliceThickness") == (9 if expected is None else expected)


def test_the_top_level_is_read_itself_and_not_its_groups() -> None:
    assert in_groups([group(3)], "PixelMeasuresSequence", number, "SliceThickness") is None


def test_private_values() -> None:
    header = Dataset()
    header.add_new(0x0019100A, "US", 36)
    assert (tag_value(header, 0x0019100A), tag_value(header, 0x0019100B)) == (36, None)
    scanned = ScannedHeader(
        {
            0x0019100A: ScannedElement("US", b"\x24\0\x25\0"),
            0x0019100B: ScannedElement("", b"\x24\0"),
            0x0019100C: ScannedElement("US", b"\x24"),
            0x0019100D: ScannedElement("DS", b"36"),
        }
    )
    values = [tag_value(scanned, tag) for tag in range(0x0019100A, 0x0019100F)]
    assert values == [36.0, b"\x24\0", b"\x24", b"36", None]


def test_headers_share_elements_and_leave_out_what_is_absent() -> None:
    first = ScannedHeader({"Rows": ScannedElement("US", b"\2\0"), "Columns": ScannedElement("US", b"\3\0")})
    shared = first.shared(("Columns", "Modality", "Rows"))
    assert shared == (first.elements["Columns"], None, first.elements["Rows"])
    again = ScannedHeader.of(("Columns", "Modality", "Rows"), shared)
    assert again.elements == first.elements
    assert ("Rows" in again, "Modality" in again) == (True, False)
    with pytest.raises(ValueError, match="zip"):
        ScannedHeader.of(("Columns",), shared)
