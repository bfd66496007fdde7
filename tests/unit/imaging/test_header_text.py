"""Text in headers is decoded by SpecificCharacterSet, in whichever way the header is read."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import ScannedElement, ScannedHeader, text, texts
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.models.subjects import is_decoded
from dcm_processor_service.series_rules import SeriesRules
from dcm_processor_service.session.images.selection import select_series
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

CHARSETS = sorted((Path(pydicom.data.__file__).parent / "charset_files").glob("*.dcm"))
DESCRIPTIONS = {
    "ISO_IR 192": "Schädel 頭部",
    "ISO_IR 100": "Schädel nativ",
    "ISO_IR 101": "Łódź głowa",
    "ISO_IR 126": "Κρανίο",
    "ISO_IR 144": "Череп",
    "ISO_IR 138": "גולגולת",
    "ISO_IR 13": "ｱﾀﾏ",
    "GB18030": "颅骨 软组织",
    "GBK": "颅骨",
    "\\ISO 2022 IR 87": "Head 頭部",
    "ISO 2022 IR 6\\ISO 2022 IR 149": "머리",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "頭部",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "Schädel",
}


def known_elements(path: Path) -> Iterator[tuple[str | int, ScannedElement]]:
    """Returns the text elements of a file, as the fast scan would keep them."""
    for element in dcmread(path):
        if element.VR in {"PN", "LO", "SH", "ST", "LT", "UT", "UC"} and element.keyword:
            raw = dcmread(path).get_item(element.tag)
            yield element.keyword, ScannedElement(element.VR, raw.value or b"")


@pytest.mark.parametrize("path", CHARSETS, ids=lambda path: path.stem)
def test_every_way_of_reading_gives_what_pydicom_decodes(path: Path) -> None:
    quick, whole = scan_instance(path), read_instance(path)
    for keyword in ("PatientName", "SeriesDescription", "PatientID", "BodyPartExamined"):
        assert text(quick.header, keyword) == text(whole.header, keyword)
    ds = dcmread(path)
    terms = "\\".join(texts(ds, "SpecificCharacterSet")).encode()
    elements: dict[str | int, ScannedElement] = dict(known_elements(path))
    header = ScannedHeader({"SpecificCharacterSet": ScannedElement("CS", terms), **elements})
    for keyword in map(str, elements):
        assert texts(header, keyword) == texts(ds, keyword), keyword


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian])
@pytest.mark.parametrize(("terms", "description"), DESCRIPTIONS.items())
def test_descriptions_in_any_character_set(tmp_path: Path, terms: str, description: str, syntax: str) -> None:
    paths = single_frame(Recipe(slices=3, syntax=syntax), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.SpecificCharacterSet = terms.split("\\")
        ds.SeriesDescription, ds.PatientName = description, description
        ds.save_as(path)
        assert isinstance(scan_instance(path).header, ScannedHeader)
        assert text(scan_instance(path).header, "PatientName") == description
    report = inspect_series(paths)
    assert report.description == description
    assert "CHARACTER_SET" not in report.codes


def test_files_of_one_series_in_two_character_sets(tmp_path: Path) -> None:
    """Both files have the same bytes, but these mean different characters."""
    memory = SeriesMemory()
    found = []
    for index, path in enumerate(single_frame(Recipe(slices=6), tmp_path)):
        ds = dcmread(path)
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.SeriesDescription = "Äß"
        ds.save_as(path)
        if index % 2:
            path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 144"))
        found.append(text(scan_instance(path, memory).header, "SeriesDescription"))
    assert found == ["Äß", "Фп"] * 3


def test_text_of_no_declared_character_set_is_reported(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=3), tmp_path)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"made up ", "Schädel".encode("latin-1") + b" "))
    report = inspect_series(paths)
    [finding] = report.findings
    assert (finding.code, finding.blocking, finding.attribute) == ("CHARACTER_SET", False, "SeriesDescription")
    assert report.description == "Schädel"


@pytest.mark.parametrize(
    "terms", [b"nonsense", b"ISO_IR 192\\ISO 2022 IR 87", b"ISO 2022 IR 149", b"\\\\", b"ISO_IR 999"]
)
@pytest.mark.parametrize("content", [b"Sch\xe4del", b"\x1b$B\x46\x2c\x1b(B", b"\x1b", b"\xff\xfe\x1b$)C\xb1"])
def test_what_cannot_be_decoded_is_no_error_and_no_warning(terms: bytes, content: bytes) -> None:
    header = ScannedHeader(
        {"SpecificCharacterSet": ScannedElement("CS", terms), "SeriesDescription": ScannedElement("LO", content)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(text(header, "SeriesDescription"), str)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_rule_in_german_leaves_out_what_it_says(tmp_path: Path, form: Literal["NFC", "NFD"]) -> None:
    reports = {}
    for name in ("Schädel nativ", "Thorax"):
        (tmp_path / name).mkdir()
        paths = single_frame(Recipe(slices=3), tmp_path / name)
        for path in paths:
            ds = dcmread(path)
            ds.SpecificCharacterSet, ds.SeriesDescription = "ISO_IR 192", unicodedata.normalize(form, name)
            ds.save_as(path)
        reports[name] = inspect_series(paths)
    selection = select_series(list(reports.values()), SeriesRules(not_description="schädel"))
    assert [reports["Thorax"].series_instance_uid] == [one.series_instance_uid for one in selection.chosen]


@pytest.mark.parametrize(
    ("terms", "content", "description"),
    [
        ("\\ISO 2022 IR 58", b"\x1b$)A" + "头颅".encode("gb2312"), "头颅"),
        ("\\ISO 2022 IR 58", b"CT \x1b$)A" + "头颅".encode("gb2312") + b" 2", "CT 头颅 2"),
        ("ISO_IR 203", "€œ".encode("iso8859_15"), "€œ"),
        ("iso_ir 192", "schädel".encode(), "schädel"),
        ("GBK", b"a" + "欯乗猏".encode("gbk"), "a欯乗猏"),  # some bytes of its characters mean a backslash in ASCII
        ("\\ISO 2022 IR 87", b"\x1b$B" + "表予".encode("iso2022_jp")[3:], "表予"),
    ],
    ids=["GB 2312", "GB 2312 among Latin", "Latin-9", "lower case", "GBK", "JIS X 0208"],
)
@pytest.mark.filterwarnings(
    "ignore:Unknown encoding", "ignore:Incorrect value for Specific Character Set", "ignore:Invalid value for VR CS"
)
@pytest.mark.parametrize("is_whole", [False, True], ids=["scanned", "whole"])
def test_text_that_pydicom_decodes_in_part(
    tmp_path: Path, terms: str, content: bytes, description: str, *, is_whole: bool
) -> None:
    content += b" " * (len(content) % 2)
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.SpecificCharacterSet, ds.SeriesDescription = terms.split("\\"), "@" * len(content)
    ds.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"@" * len(content), content))
    header = (read_instance if is_whole else scan_instance)(path).header
    assert isinstance(header, ScannedHeader) is not is_whole
    assert text(header, "SeriesDescription") == description


@pytest.mark.filterwarnings(
    "ignore:Unknown encoding", "ignore:Incorrect value for Specific Character Set", "ignore:Invalid value for VR CS"
)
@pytest.mark.parametrize("terms", ["ISO_IR 6", "nonsense"])
def test_text_of_a_character_set_that_names_no_encoding_is_reported(tmp_path: Path, terms: str) -> None:
    paths = single_frame(Recipe(slices=3, extra={"SpecificCharacterSet": terms}), tmp_path)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"made up ", "Schädel".encode("latin-1") + b" "))
    assert "CHARACTER_SET" in inspect_series(paths).codes


@pytest.mark.parametrize("terms", [None, "ISO_IR 100", "\\ISO 2022 IR 149"], ids=["none", "Latin-1", "Korean"])
@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")
@pytest.mark.parametrize("is_whole", [False, True], ids=["scanned", "whole"])
def test_characters_of_a_set_that_is_not_declared_are_not_taken_for_latin(
    tmp_path: Path, terms: str | None, *, is_whole: bool
) -> None:
    content = b"CT \x1b$B;3ED\x1b(B "
    [path] = single_frame(Recipe(slices=1), tmp_path)
    ds = dcmread(path)
    ds.SeriesDescription = "@" * len(content)
    if terms is not None:
        ds.SpecificCharacterSet = terms.split("\\")
    ds.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"@" * len(content), content))
    header = (read_instance if is_whole else scan_instance)(path).header
    assert not is_decoded(text(header, "SeriesDescription"))
