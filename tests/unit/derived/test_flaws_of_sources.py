"""Flaws of a source: what must be copied is, what can be mended is, and no result is refused for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dcm_processor_service.derived import (
    SourceSeries,
    StudyIdentity,
    derive_image,
    encapsulated_pdf,
    measurement_report,
    parametric_map,
    save,
    segmentation,
    text_report,
    validate,
)
from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import SegmentationOptions
from tests.unit.derived.sources import make_headers, make_recipe, stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MASK = np.zeros((5, 4, 3), bool)
MASK[1] = True
KINDS: dict[str, Callable[[SourceSeries], Dataset]] = {
    "image": lambda source: derive_image(MASK, source, make_recipe()).datasets[0],
    "segmentation": lambda source: segmentation({"liver": MASK}, source, make_recipe()),
    "map": lambda source: parametric_map(MASK * 1.5, source, make_recipe()),
    "measurements": lambda source: measurement_report({"liver": {"Volume": (1.0, "ml")}}, source, make_recipe()),
    "text": lambda source: text_report("words", source, make_recipe()),
    "PDF": lambda source: encapsulated_pdf(b"%PDF-1.7", source, make_recipe()),
}


def put(header: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """Puts a value in as it stands in a file, so that pydicom lets a malformed one in."""
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def flawed(*flaws: tuple[str, str, bytes]) -> SourceSeries:
    headers = make_headers()
    for header in headers:
        for flaw in flaws:
            put(header, *flaw)
    return SourceSeries.from_headers(headers)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_that_breaks_the_standard_is_kept_and_refuses_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = flawed(
        ("PatientID", "LO", b"p" * 70), ("StudyID", "SH", b"seventeen letters"),
        ("AccessionNumber", "SH", b"A" * 20), ("PatientIdentityRemoved", "CS", b"YES"),
    )  # fmt: skip
    made = KINDS[kind](source)
    assert (made.PatientID, made.StudyID, made.AccessionNumber) == ("p" * 70, "seventeen letters", "A" * 20)
    assert {each.about for each in validate(made)} == {"source"}
    assert len(save([made], tmp_path)) == 1
    for keyword in ("PatientID", "StudyID", "AccessionNumber", "DeidentificationMethod"):
        assert any(keyword in message for message in caplog.messages)
    assert not any("ppp" in message or "AAA" in message for message in caplog.messages)


@pytest.mark.parametrize("kind", ["image", "segmentation", "map"])
def test_decimal_strings_that_are_too_long_do_not_stop_a_result(kind: str, tmp_path: Path) -> None:
    source = flawed(
        ("PixelSpacing", "DS", b"0.75000000000000001\\0.500000000000000001"),
        ("ImageOrientationPatient", "DS", b"1.00000000000000000\\0.0000000000000000001\\0\\0\\1.0000000000000000\\0"),
        ("SliceThickness", "DS", b"2.500000000000000001"),
    )
    for index, header in enumerate(source.headers):
        put(header, "ImagePositionPatient", "DS", b"0.12345678901234567\\-12.345678901234567\\%.16f" % (2.5 * index))
    made = KINDS[kind](source)
    assert validate(made) == ()
    assert len(save([made], tmp_path)) == 1
    if kind == "image":
        assert float(made.ImagePositionPatient[1]) == pytest.approx(-12.345678901234567, rel=1e-9)


def test_a_copied_decimal_string_is_shortened_without_changing_its_value() -> None:
    header, target = Dataset(), Dataset()
    put(header, "PatientWeight", "DS", b"71.123456789012345678")
    copy_attributes(header, target, ["PatientWeight"])
    assert len(str(target.PatientWeight)) <= 16
    assert float(target.PatientWeight) == pytest.approx(71.123456789012345678, rel=1e-9)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("Żółć^Łucja".encode(), "Żółć^Łucja"),
        ("山田^太郎".encode(), "山田^太郎"),
        ("Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("Иванов^Пётр".encode("cp1251"), ""),
    ],
    ids=["UTF-8", "UTF-8, Japanese", "Latin-1", "unknown"],
)
def test_an_undeclared_name_is_right_or_left_empty(
    read: bytes, written: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    source = flawed(("PatientName", "PN", read), ("StudyDescription", "LO", read))
    made = text_report("words", source, make_recipe())
    save([made], tmp_path)
    again = stored(made)
    assert str(again.PatientName) == written
    assert str(again.get("StudyDescription", "")) == written
    assert any("SpecificCharacterSet" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("cp1251", "Иванов^Пётр"), ("koi8-r", "Иванов^Пётр"), ("iso8859-5", "Иванов^Пётр"), ("cp866", "Иванов^Пётр"),
        ("cp1253", "Παπαδόπουλος^Γιώργος"), ("iso8859-7", "Παπαδόπουλος^Γιώργος"), ("cp1255", "כהן^דוד"),
        ("cp1256", "محمد^علي"), ("cp1250", "Żółć^Łucja"), ("cp1254", "Çağlayan^Şükrü"), ("tis-620", "สมชาย"),
        ("shift_jis", "山田^太郎"), ("gbk", "王^小明"), ("euc-kr", "김^희중"), ("big5", "陳^大文"), ("cp1252", "Šaf"),
        ("cp1250", "Pawłowski^Jan"), ("cp1250", "Łukasz"), ("cp1250", "Michał"), ("cp1257", "Šimonytė"),
        ("cp1254", "Y\N{LATIN SMALL LETTER DOTLESS I}lmaz^Ali"), ("cp1254", "Erdoğan"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_an_undeclared_name_of_any_code_page_never_becomes_another_name(
    codec: str, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = flawed(("PatientName", "PN", name.encode(codec)), ("PatientID", "LO", b"P-4711"))
    again = stored(KINDS[kind](source))
    assert str(again.PatientName) == ""
    assert again.PatientID == "P-4711"
    assert any(
        message.startswith("a flaw of the source: PatientName") and "left empty" in message
        for message in caplog.messages
    )
    assert not any(part in message for message in caplog.messages for part in name.split("^"))


def test_a_name_of_a_code_page_is_right_when_the_headers_given_say_what_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = flawed(("PatientName", "PN", "Иванов^Пётр".encode("cp1251")), ("StudyDescription", "LO", b"skull"))
    for header in source.headers:
        assert isinstance(header, Dataset)
        header.PatientName, header.SpecificCharacterSet = "Иванов^Пётр", "ISO_IR 192"
    again = stored(text_report("words", source, make_recipe()))
    assert (str(again.PatientName), again.StudyDescription) == ("Иванов^Пётр", "skull")
    assert not caplog.messages


def test_an_id_of_a_code_page_is_kept_byte_by_byte_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """To leave it out would file the result under no patient."""
    read = "ИБ-12".encode("cp1251")
    again = stored(text_report("words", flawed(("PatientID", "LO", read)), make_recipe()))
    assert str(again.PatientID).encode("latin-1") == read
    assert any("PatientID" in message and "Latin-1" in message for message in caplog.messages)


def test_a_declared_name_is_decoded_by_its_declaration(caplog: pytest.LogCaptureFixture) -> None:
    source = flawed(("SpecificCharacterSet", "CS", b"ISO_IR 144"), ("PatientName", "PN", "Иванов".encode("iso8859-5")))
    assert str(stored(text_report("words", source, make_recipe())).PatientName) == "Иванов"
    assert not caplog.messages


@pytest.mark.parametrize(
    "fields", [{"patient_id": "p" * 70}, {"study_id": "s" * 17}, {"patient_birth_date": "1980"}], ids=str
)
def test_an_identity_that_the_caller_made_is_refused_instead(fields: dict[str, Any]) -> None:
    who = StudyIdentity(**{"patient_id": "P-1", "study_instance_uid": "1.2.3", **fields})
    with pytest.raises(DerivedObjectError, match="of the StudyIdentity"):
        text_report("words", who, make_recipe())


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyInstanceUID", b"1.2.03.4"), ("StudyInstanceUID", b"study 1"), ("SeriesInstanceUID", b"1." + b"2" * 70),
        ("FrameOfReferenceUID", b"1.2.003"), ("FrameOfReferenceUID", b"frame-1"), ("SOPInstanceUID", b""),
    ],
)  # fmt: skip
def test_malformed_uids_are_those_of_the_source(
    kind: str, keyword: str, value: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers = make_headers()
    for number, header in enumerate(headers):
        put(header, keyword, "UI", value or b"1.2.3.00%d" % number)
    made = KINDS[kind](SourceSeries.from_headers(headers))
    assert {each.about for each in validate(made)} <= {"source"}
    assert len(save([made], tmp_path)) == 1
    assert any(keyword in message for message in caplog.messages)
    assert not any(value.decode() in message for message in caplog.messages if value)
    if keyword == "StudyInstanceUID":
        assert made.StudyInstanceUID == value.decode()


@pytest.mark.parametrize("offset", [b"+9900", b"+25:00", b"-1560", b"CET", b"0100"])
def test_a_time_zone_that_is_none_is_left_out(offset: bytes, caplog: pytest.LogCaptureFixture) -> None:
    made = text_report("words", flawed(("TimezoneOffsetFromUTC", "SH", offset)), make_recipe())
    assert "TimezoneOffsetFromUTC" not in made
    assert any("TimezoneOffsetFromUTC" in message and "left out" in message for message in caplog.messages)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_source_without_a_study_or_series_says_what_is_missing(keyword: str) -> None:
    headers = make_headers()
    del headers[1][keyword]
    with pytest.raises(DerivedObjectError, match=f"has no {keyword}, by which"):
        SourceSeries.from_headers(headers)


def test_a_mask_away_from_its_source_is_refused() -> None:
    affine = np.diag([0.5, 0.75, 2.5, 1.0])
    affine[0, 3] = 5000.0
    with pytest.raises(DerivedObjectError, match=r"lie 499\d mm away"):
        segmentation({"liver": MASK}, SourceSeries.from_headers(make_headers()), make_recipe(), affine)
    affine[0, 3] = 1.1
    segmentation({"liver": MASK}, SourceSeries.from_headers(make_headers()), make_recipe(), affine)


@pytest.mark.parametrize("options", [{"kind": "labels"}, {"algorithm_type": "AUTO"}], ids=str)
def test_an_unknown_kind_of_segmentation_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DerivedObjectError, match=r"is called 'labels'|is called 'AUTO'"):
        segmentation(
            {"liver": MASK},
            SourceSeries.from_headers(make_headers()),
            make_recipe(),
            None,
            SegmentationOptions(**options),
        )
