"""What the scrubber knows it removes, however it is written; what it does not know it leaves."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from pydicom._dicom_dict import DicomDictionary

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.models import Job, Patient, SeriesRecord
from dcm_processor_service.models.network.identifying import NAMES
from dcm_processor_service.runtime.logs.known_texts import KnownTexts
from dcm_processor_service.runtime.logs.printed_errors import scrub_error
from dcm_processor_service.runtime.logs.scrubbing import REMOVED, Scrubber

if TYPE_CHECKING:
    from pathlib import Path

METADATA: dict[str, Any] = {
    "PatientName": "Müller-Ek^Änne^^Dr",
    "PatientID": "PX-4711",
    "PatientBirthDate": "19790203",
    "ReferringPhysicianName": [{"Alphabetic": "House^Gregory", "Ideographic": "家^格雷"}],
    "OtherPatientIDs": ["0012345", "B71"],
    "AccessionNumber": 987654,
    "StudyDate": "20240131",
    "Modality": "CT",
    "PatientAge": 45,
    "SeriesDescription": "Thorax",
    "RequestAttributesSequence": [{"RequestingPhysician": "Cuddy^Lisa"}],
}


@pytest.fixture
def scrubber() -> Scrubber:
    made = Scrubber()
    made.learn(Patient(id="0" * 24, patient_uid="9f86d081884c7d65", metadata=METADATA))
    return made


@pytest.mark.parametrize(
    "written",
    [
        *(
            "Müller-Ek^Änne^^Dr",
            "Müller-Ek Änne Dr",
            "Müller-Ek",
            "MÜLLER-EK",
            "änne",
            "House",
            "GREGORY",
            "家",
            "格雷",
        ),
        *("PX-4711", "px-4711", "0012345", "987654", "9f86d081884c7d65", "Cuddy", "Lisa"),
        *("19790203", "1979-02-03", "1979/02/03", "03.02.1979", "3.2.1979", "02/03/1979", "2/3/1979", "1979, 2, 3"),
        *("19790203101500", "19790203101500.125000", "1979020310", "20240131", "2024-01-31", "b71"),
        *(r"M\xfcller-Ek", r"M\xc3\xbcller-Ek"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "of {}.", "/scans/{}_CT.dcm", "'{}'", "a={};", "({})", "x\t{}\n"])
def test_what_is_known_is_removed_in_every_spelling(scrubber: Scrubber, written: str, around: str) -> None:
    cleaned = scrubber.text(around.format(written))
    assert written.lower() not in cleaned.lower()
    assert REMOVED in cleaned


def spellings(year: int, month: int, day: int, name: str) -> list[str]:
    """A date in every spelling that is known, written out."""
    months, days = {str(month), f"{month:02}"}, {str(day), f"{day:02}"}
    numbers = [
        separator.join(parts)
        for separator in ("-", "/", ".", ", ")
        for m in sorted(months)
        for d in sorted(days)
        for parts in ((str(year), m, d), (d, m, str(year)), (m, d, str(year)))
    ]
    named = [
        written
        for m in (name, name.upper(), name[:3], f"{name[:3]}.")
        for d in sorted(days)
        for written in (f"{d} {m} {year}", f"{d}. {m} {year}", f"{d}-{m}-{year}", f"{m} {d}, {year}", f"{m} {d} {year}")
    ]
    return [f"{year}{month:02}{day:02}", *numbers, *named]


@pytest.mark.parametrize(
    ("stored", "year", "month", "day", "name"),
    [
        ("19990102", 1999, 1, 2, "January"),
        ("19990203", 1999, 2, 3, "February"),
        ("19990304", 1999, 3, 4, "March"),
        ("19990411", 1999, 4, 11, "April"),
        ("19990531", 1999, 5, 31, "May"),
        ("19990610", 1999, 6, 10, "June"),
        ("19990720", 1999, 7, 20, "July"),
        ("19990808", 1999, 8, 8, "August"),
        ("19990930", 1999, 9, 30, "September"),
        ("19991001", 1999, 10, 1, "October"),
        ("19991009", 1999, 10, 9, "October"),
        ("19991110", 1999, 11, 10, "November"),
        ("1999.11.30", 1999, 11, 30, "November"),
        ("1999-12-03", 1999, 12, 3, "December"),
        ("19991231", 1999, 12, 31, "December"),
    ],
)
def test_a_date_is_removed_in_every_spelling_and_its_neighbours_stay(
    stored: str, year: int, month: int, day: int, name: str
) -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientBirthDate": stored}))
    for written in spellings(year, month, day, name):
        for around in ("{}", "born {}.", "/scans/{}_CT.dcm", "({})", "at {}T10:15:00"):
            assert scrubber.text(around.format(written)) == around.format(REMOVED), written
    other_month, other_day = (9 if month == 8 else 8), (15 if day != 15 else 16)
    for written in spellings(year + 1, month, day, name) + spellings(year, month, other_day, name):
        assert scrubber.text(f"on {written}") == f"on {written}"
    other_name = {8: "August", 9: "September"}[other_month]
    for written in spellings(year, other_month, day, other_name):
        if written not in spellings(year, month, day, name):
            assert scrubber.text(f"on {written}") == f"on {written}"


@pytest.mark.parametrize(
    ("birth_date", "text"),
    [
        ("19991231", "112/31/1999"),
        ("19991231", "12/31/19990"),
        ("19990203", "12/3/1999"),  # 2 March, or 3 February, in a longer number
        ("19990203", "1999-2-30"),
        ("19990203", "1.2.840.3.2.1999.5"),  # a UID keeps its components
        ("19990201", "1.2.1999.5"),
        ("19991231", "1.2.19991231"),
        ("19991231", "1.2.19991231235959.7"),
        ("19991231", "1999123112345"),  # as many digits as no date and time have
        ("19991203", "Decembers 3, 1999"),
    ],
)
def test_what_only_looks_like_the_date_in_part_stays(birth_date: str, text: str) -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientBirthDate": birth_date}))
    assert scrubber.text(text) == text


def test_a_file_named_by_the_date_and_a_number_loses_the_date() -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientBirthDate": "19991231"}))
    assert scrubber.text("19991231.1.dcm") == f"{REMOVED}.1.dcm"


@pytest.mark.parametrize(
    "text",
    [
        "1.2.840.19790203.4711",  # a UID keeps its components
        "2.25.20240131.1",
        "1.2.840.987654.1",
        "219790203",  # within a longer number
        "9876541",
        "987654.25",
        "9876541234",  # a time follows a date alone
        *("Housework", "Warehouse", "houses", "elisabeth", "Lisas", "Ännes", "Kännel"),  # within a word
        *("B710", "AB71", "PX-47110"),  # within a longer id
        "Thorax CT of 45 slices",
        "series 1.2.3 has 12 instances",
        "",
    ],
)
def test_what_is_not_the_patients_stays(scrubber: Scrubber, text: str) -> None:
    assert scrubber.text(text) == text


@pytest.mark.parametrize(("name", "cut"), [("seventy", False), ("eighteen", True)])
def test_a_name_of_eight_letters_or_more_is_removed_inside_of_words_too(name: str, *, cut: bool) -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": name}))
    for around in ("{}s", "x{}", "x{}7"):
        text = around.format(name)
        assert scrubber.text(text) == (around.format(REMOVED) if cut else text)


def test_who_knows_nothing_removes_nothing() -> None:
    scrubber = Scrubber()
    scrubber.learn(None)
    scrubber.learn_job(Job(id="1" * 24, session_id="5" * 24))
    assert scrubber.text("Doe^Jane 19790203") == "Doe^Jane 19790203"


@pytest.mark.parametrize("value", ["", " ", "X", "1", None, [], {}, "^^", "7"])
def test_what_would_remove_half_of_every_line_is_not_learned(value: object) -> None:
    scrubber = Scrubber()
    scrubber.learn(SeriesRecord(id="0" * 24, metadata={"PatientName": value, "PatientID": value, "StudyDate": value}))
    assert scrubber.text("slice 1 of 7: X 10") == "slice 1 of 7: X 10"


def test_names_of_two_letters_and_ids_of_three_characters_are_the_shortest_that_are_removed() -> None:
    scrubber = Scrubber()
    metadata = {"PatientName": "Li^X", "PatientID": "Q7", "AccessionNumber": "42", "StudyID": "Q78"}
    scrubber.learn(SeriesRecord(id="0" * 24, metadata=metadata))
    assert scrubber.text("Li; X, Q7, 42, Q78") == f"{REMOVED}; X, Q7, 42, {REMOVED}"


def test_half_a_date_is_removed_as_it_is_written() -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientBirthDate": "1979-13-77"}))
    assert scrubber.text("born 1979-13-77, 1979") == f"born {REMOVED}, 1979"


def test_it_learns_more_while_it_runs(scrubber: Scrubber) -> None:
    assert scrubber.text("Foreman") == "Foreman"
    scrubber.learn(SeriesRecord(id="0" * 24, metadata={"OperatorsName": "Foreman^Eric"}))
    assert scrubber.text("Foreman") == REMOVED
    scrubber.learn(SeriesRecord(id="0" * 24, metadata={"SeriesDate": "20251231"}))
    assert scrubber.text("2025-12-31") == REMOVED
    assert scrubber.text("House") == REMOVED


def test_its_repr_shows_nothing(scrubber: Scrubber) -> None:
    assert "House" not in repr(scrubber)
    assert "4711" not in repr(scrubber)


def test_values_are_cleaned_at_any_depth(scrubber: Scrubber) -> None:
    given = {"House": [{"id": 987654, "n": 45, "ok": True, "t": ("PX-4711", None, 1.5)}]}
    assert scrubber.value(given) == {REMOVED: [{"id": REMOVED, "n": 45, "ok": True, "t": [REMOVED, None, 1.5]}]}


def test_exceptions_lose_it_and_keep_their_type_cause_and_traceback(scrubber: Scrubber, tmp_path: Path) -> None:
    secret = "PX-4711"

    def fail() -> None:
        try:
            {}[secret]  # type: ignore[index]  # on purpose
        except KeyError as error:
            try:
                (tmp_path / "House.dcm").read_bytes()
            except FileNotFoundError:
                raise InvalidSeriesError(f"the series of {secret} is damaged") from error

    with pytest.raises(InvalidSeriesError) as caught:
        fail()
    scrub_error(caught.value, scrubber)
    shown = "".join(traceback.format_exception(InvalidSeriesError, caught.value, caught.value.__traceback__))
    assert secret not in shown
    assert "in fail" in shown
    assert isinstance(caught.value.__cause__, KeyError)
    context = caught.value.__context__
    assert isinstance(context, FileNotFoundError)
    assert "House" not in str(context)
    assert str(context.filename).endswith(f"/{REMOVED}.dcm")


def test_an_exception_without_it_is_left_alone(scrubber: Scrubber) -> None:
    error = ValueError("nothing", 3, b"x")
    error.__cause__ = error  # a chain that leads back to itself ends
    before = error.args
    scrub_error(error, scrubber)
    assert error.args is before


WHO: dict[str, Any] = {
    "PatientName": "Müller-Lüdenscheidt^Hans Peter^Karl",
    "OtherPatientNames": "Sørensen^Łukasz\\O'Leary^Ann",
    "PatientID": "PT-7f3a-0042",
    "AccessionNumber": "A12.345/67",
    "MedicalRecordLocator": "ZX-99",
    "PatientBirthDate": "19790203",
    "PatientTelephoneNumbers": "+49 (0)30 / 765-4321",
    "PatientAddress": "Hauptstraße 12^^Wolkenstadt^^10115",
}
PARTS = [
    *("müller", "mueller", "lüdenscheidt", "luden", "hans", "peter", "rensen", "ukasz", "leary", "7f3a", "0042", "345"),
    *("zx", "99", "765", "4321", "haupt", "wolken", "10115", "1979", "79"),
]


@pytest.mark.parametrize(
    "written",
    [
        *("hans peter", "HansPeter", "MüllerLüdenscheidt", "muellerhans", "HPMueller", "CTMueller.dcm", "peter01.dcm"),
        *("M%C3%BCller", "M%FCller", "M&uuml;ller", "M&#252;ller", "M&#xfc;ller", "M\u00c3\u00bcller", "M?ller"),
        *("M\ufffdller", "M\udcfcller", "Sorensen", "SOERENSEN", "S\u00f8rensen", "Lukasz", "lukasz_sorensen"),
        *("OLeary", "O’Leary", "O&#x27;Leary", "annleary"),
        *("PT--7f3a--0042", "PT:7f3a:0042", "PT%2D7f3a%2D0042", "PT\u20117f3a\u20130042", "A12%2E345%2F67", "zx99"),
        *("+49307654321", "030 7654321", "0049 30 765 4321", "(030) 765-4321", "7654321"),
        *("Hauptstraße 12", "HAUPTSTRASSE 12", "Wolkenstadt", "10115"),
        *(
            "1979_02_03",
            "1979 02 03",
            "3. 2. 1979",
            "03 . 02 . 1979",
            "date(1979,2,3)",
            "1979\\02\\03",
            "1979%2F02%2F03",
        ),
        *(
            "1979\u201302\u201103",
            "3\u00a0Feb\u00a01979",
            "1979-034",
            "1979-W05-6",
            "3.II.1979",
            "3 lutego 1979",
            "03_02_79",
        ),
        *(
            "3 lutego 1979",
            "1979%2F02%2F03",
            "3 февраля 1979",
            "3 \u015fubat 1979",
            "3 Subat 1979",
            "third of February seventy-nine",
        ),
    ],
)
def test_other_hands_and_other_programs_write_it_otherwise(written: str) -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata=WHO))
    for around in ("{}", "of {}, twice", "/scans/{}", '"{}"'):
        cleaned = scrubber.text(around.format(written)).lower()
        assert REMOVED in cleaned
        assert [part for part in PARTS if part in cleaned] == []


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ({"PatientName": "Ade^Bea"}, "the job 5ade5bea5ade5bea5ade5bea"),
        ({"PatientName": "van der Berg^Jan"}, "/usr/bin/x: wrote das Bild, von der Lunge"),
        ({"PatientID": "1.5"}, "1.5 mm, 0.5 to 1.5"),
        ({"PatientID": "1-12"}, "slices 1-12 of 40"),
        ({"PatientName": "Hu^Wei"}, "-1000 hu at the rim"),
        ({"PatientName": "Base^Key"}, "the database has a keyboard"),
        ({"PatientName": "A^B"}, "a or b: A, B"),
        ({"PatientName": "Na^Nan"}, "na, nan"),
        ({"PatientBirthDate": "19790203"}, "79 2 3 of shape 1979 x 2 x 3"),
        ({"PatientTelephoneNumbers": "7654321"}, "1.2.840.7654321.5 of 76543210"),
    ],
)
def test_ordinary_lines_stay_whoever_the_patient_is(metadata: dict[str, str], line: str) -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata=metadata))
    assert scrubber.text(line) == line


def test_every_name_of_a_person_in_dicom_is_known() -> None:
    keywords = {row[4] for row in DicomDictionary.values() if row[0] == "PN"}
    assert keywords - {""} <= NAMES


def test_a_line_costs_no_more_for_each_patient_that_is_known() -> None:
    known = KnownTexts()
    for number in range(500):
        known.add_word(f"quux{number}zz")
    pattern = known.pattern_for("a line that names quux7zz alone")
    assert pattern is not None
    assert "quux7zz" in pattern.pattern
    assert "quux8zz" not in pattern.pattern
    assert known.pattern_for("a line that names nobody") is None
