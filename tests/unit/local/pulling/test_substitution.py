"""One substitute for each identifying text, wherever it stands."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcm_processor_service.local.pulling.substitution import Substitution

KEY = bytes(32)
UID = "1.2.826.0.1.3680043.8.498.7"


@pytest.fixture
def to() -> Substitution:
    made = Substitution(KEY)
    for keyword, value in {"PatientName": "Doe^Jane", "PatientID": "MRN-4711-X", "StudyDate": "20240229"}.items():
        made.learn(keyword, value)
    made.learn("PatientBirthDate", "19790131")
    made.learn_uid("1.2.3")
    return made


@pytest.mark.parametrize("text", [UID, f"mask_{UID}.nii", f"<{UID}>", f"a/{UID}/b", f"'{UID}'", "uid=1.2.3"])
def test_a_uid_becomes_the_same_one_wherever_it_stands(to: Substitution, text: str) -> None:
    uid = UID if UID in text else "1.2.3"
    assert to.text(text) == text.replace(uid, to.uid(uid))
    assert to.uid(uid).startswith("2.25.")
    assert len(to.uid(uid)) <= 64


@pytest.mark.parametrize(
    "text",
    [f"CT.{UID}.dcm", f"CT{UID}.dcm", f"{UID}mask.nii", f"{UID}.dcm", f"3.{UID}", f"a.{UID}_7.dcm", "CT1.2.3.dcm"],
)
def test_a_uid_goes_also_next_to_letters_and_numbers(to: Substitution, text: str) -> None:
    uid = UID if UID in text else "1.2.3"
    assert to.text(text) == text.replace(uid, to.uid(uid))


@pytest.mark.parametrize("sign", ["_", "-"])
def test_a_known_uid_goes_with_another_sign_for_its_dots(to: Substitution, sign: str) -> None:
    to.learn_uid(UID)
    written, substitute = UID.replace(".", sign), to.uid(UID).replace(".", sign)
    assert to.text(f"CT{sign}3{sign}{written}{sign}0001.dcm") == f"CT{sign}3{sign}{substitute}{sign}0001.dcm"
    assert to.text(sign.join("1234567")) == sign.join("1234567")


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.4",
        "v1.2.4",
        "10.0.0.1",
        "10.1.2.3",
        "1.25 ml",
        "1.2.840.10008.1.2.1",
        "CT.1.2.840.10008.1.2.1",
        "0.5.1",
        "1.2.3.4.5",
        "2024_01_02_10_15_30",
        "5.6.7.8.9.10.11",
    ],
)
def test_what_is_no_uid_of_an_instance_stays(to: Substitution, text: str) -> None:
    assert to.text(text) == text


def test_dates_of_the_study_move_in_the_way_they_are_written(to: Substitution) -> None:
    moved = to.moved("20240229")
    assert moved < "20240229"
    assert to.text("2024-02-29 and 20240229") == f"{moved[:4]}-{moved[4:6]}-{moved[6:]} and {moved}"
    assert to.text("born 1979-01-31") == "born [removed]"
    assert to.text("2023-05-05") == "2023-05-05"


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(0, 9000))
def test_intervals_are_kept(first: date, days: int) -> None:
    to = Substitution(KEY)
    second = first + timedelta(days=days)
    moved = [datetime.strptime(to.moved(f"{one:%Y%m%d}"), "%Y%m%d") for one in (first, second)]  # noqa: DTZ007
    assert (moved[1] - moved[0]).days == days


@pytest.mark.parametrize(
    "written",
    [
        "",
        "2024",
        "19990101-19991231",
        "20240229OTTILIE",
        "20240229250000",
        "20240229+9900",
        "00000000",
        "someday",
        "20241301",
        "OTTILIE!",
    ],
)
def test_what_is_no_date_becomes_empty(to: Substitution, written: str) -> None:
    assert to.moved(written) == ""


def test_a_datetime_keeps_its_time_and_zone(to: Substitution) -> None:
    assert to.moved("20240229101500.25+0100") == to.moved("20240229") + "101500.25+0100"


@pytest.mark.parametrize("written", ["101500", "10", "1015", "101500.250000", "10:15:00", "235960", " 101500"])
def test_a_time_of_day_stays(written: str) -> None:
    assert Substitution.time(written) == written


@pytest.mark.parametrize("written", ["19990101120000", "19990101", "OTTILIE", "250000", "101500-111500", "101500+0100"])
def test_what_is_no_time_of_day_becomes_empty(written: str) -> None:
    assert Substitution.time(written) == ""


def test_values_are_cleaned_at_any_depth_and_keys_as_well(to: Substitution) -> None:
    value = {"a": [{"Doe Jane": [UID, "jane doe"]}], "MRN-4711-X": 1, "n": 3.5, "none": None, "yes": True}
    cleaned = to.value(value)
    assert cleaned == {
        "a": [{"[removed]": [to.uid(UID), "[removed]"]}],
        "[removed]": 1,
        "n": 3.5,
        "none": None,
        "yes": True,
    }


def test_keys_that_become_one_stay_two(to: Substitution) -> None:
    assert to.value({"Jane": 1, "DOE": 2}) == {"[removed]": 1, "[removed] 2": 2}


@pytest.mark.parametrize("text", ["report of 4711", "4711_volume", "a/4711.json", "pid:4711", '{"id": "4711"}'])
def test_a_short_id_goes_wherever_it_stands_alone(text: str) -> None:
    to = Substitution(KEY)
    to.learn("PatientID", "4711")
    assert to.text(text) == text.replace("4711", "[removed]")
    assert to.value({"n": 4711, "m": 47110, "mm": 0.4711}) == {"n": "[removed]", "m": 47110, "mm": 0.4711}
    assert to.text("1.4711 mm, 47112") == "1.4711 mm, 47112"


def test_datetimes_of_the_study_move_with_it(to: Substitution) -> None:
    seen = datetime(2024, 2, 29, 10, tzinfo=timezone.utc)
    assert to.value(seen).strftime("%Y%m%d %H") == f"{to.moved('20240229')} 10"
    other = datetime(2023, 2, 28, tzinfo=timezone.utc)
    assert to.value(other) == other


@pytest.mark.parametrize("hours", [-20, 0, 20])
def test_datetimes_of_a_birth_go_in_any_time_zone(to: Substitution, hours: int) -> None:
    born = datetime(1979, 1, 31, 12, tzinfo=timezone.utc) + timedelta(hours=hours)
    assert to.value({"seen": [born]}) == {"seen": ["[removed]"]}


@pytest.mark.parametrize("hours", [-20, 0, 20])
def test_datetimes_of_a_study_move_in_any_time_zone(to: Substitution, hours: int) -> None:
    seen = datetime(2024, 2, 29, 12, tzinfo=timezone.utc) + timedelta(hours=hours)
    expected = datetime.strptime(to.moved("20240229"), "%Y%m%d") + timedelta(hours=12 + hours)  # noqa: DTZ007
    assert to.value(seen).replace(tzinfo=None) == expected


def test_whole_floats_that_are_an_id_go() -> None:
    to = Substitution(KEY)
    to.learn("PatientID", "1234567")
    to.learn("AccessionNumber", "0471")
    values = {"a": 1234567.0, "b": 471.0, "c": 471, "d": 471.5, "e": 0.0, "f": float("nan"), "g": 1e300, "h": 472.0}
    cleaned = to.value(values)
    assert [key for key, value in cleaned.items() if value == "[removed]"] == ["a", "b", "c"]
    assert cleaned["h"] == 472.0
    assert isinstance(cleaned["h"], float)


def test_bytes_that_hold_the_name_and_are_no_text_go(to: Substitution) -> None:
    assert to.value(b"Doe^Jane was here") == b"[removed] was here"
    assert to.value(b"\xff\xfe Doe^Jane") == b""
    assert to.value(b"\xff\xfe\x01") == b"\xff\xfe\x01"


def test_two_pulls_give_different_substitutes() -> None:
    assert Substitution().uid(UID) != Substitution().uid(UID)
    assert "Doe" not in repr(Substitution())
