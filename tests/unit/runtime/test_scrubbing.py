"""What the scrubber knows it removes, however it is written; what it does not know it leaves."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.models import Job, Patient, Series
from dcm_processor_service.scrubbing import REMOVED, Scrubber

if TYPE_CHECKING:
    from pathlib import Path

METADATA: dict[str, Any] = {
    "PatientName": "Müller-Ek^Änne^^Dr",
    "PatientID": "PX-4711",
    "PatientBirthDate": "19790203",
    "ReferringPhysicianName": [{"Alphabetic": "House^Gregory", "Ideographic": "家^格雷"}],
    "OtherPatientIDs": ["0012345", "B7"],
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
        *("19790203101500", "20240131", "2024-01-31"),
        *(r"M\xfcller-Ek", r"M\xc3\xbcller-Ek"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "of {}.", "/scans/{}_CT.dcm", "'{}'", "a={};", "({})", "x\t{}\n"])
def test_what_is_known_is_removed_in_every_spelling(scrubber: Scrubber, written: str, around: str) -> None:
    cleaned = scrubber.text(around.format(written))
    assert written.lower() not in cleaned.lower()
    assert REMOVED in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "1.2.840.19790203.4711",  # a UID keeps its components
        "2.25.20240131.1",
        "219790203",  # within a longer number
        "annexe",  # within a word
        "Thorax CT of 45 slices",
        "series 1.2.3 has 12 instances",
        "B77",
        "",
    ],
)
def test_what_is_not_the_patients_stays(scrubber: Scrubber, text: str) -> None:
    assert scrubber.text(text) == text


def test_who_knows_nothing_removes_nothing() -> None:
    scrubber = Scrubber()
    scrubber.learn(None)
    scrubber.learn_job(Job(id="1" * 24, session_id="5" * 24))
    assert scrubber.text("Doe^Jane 19790203") == "Doe^Jane 19790203"


@pytest.mark.parametrize("value", ["", " ", "X", "1", None, [], {}, "^^", "7"])
def test_what_would_remove_half_of_every_line_is_not_learned(value: object) -> None:
    scrubber = Scrubber()
    scrubber.learn(Series(id="0" * 24, metadata={"PatientName": value, "PatientID": value, "StudyDate": value}))
    assert scrubber.text("slice 1 of 7: X 10") == "slice 1 of 7: X 10"


def test_half_a_date_is_removed_as_it_is_written() -> None:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientBirthDate": "1979-13-77"}))
    assert scrubber.text("born 1979-13-77, 1979") == f"born {REMOVED}, 1979"


def test_it_learns_more_while_it_runs(scrubber: Scrubber) -> None:
    assert scrubber.text("Foreman") == "Foreman"
    scrubber.learn(Series(id="0" * 24, metadata={"OperatorsName": "Foreman^Eric"}))
    assert scrubber.text("Foreman") == REMOVED
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
    scrubber.exception(caught.value)
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
    scrubber.exception(error)
    assert error.args is before
