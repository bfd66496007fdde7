"""What a report shows of a patient and of a series, where headers lack values or hold odd ones."""

from __future__ import annotations

from typing import Any

import pytest

from dcm_processor_service.models import Patient, SeriesRecord
from dcm_processor_service.session.subject_labels import input_series, patient_facts


@pytest.mark.parametrize("missing", [{}, {"PatientSex": None, "PatientBirthDate": None, "PatientName": {}}])
def test_of_a_patient_only_what_is_known_is_shown(missing: dict[str, Any]) -> None:
    name = {"PatientName": {"Alphabetic": "Doe^Jane"}}
    assert list(patient_facts(Patient(id="4" * 24, metadata=missing | name)).values()) == ["Doe^Jane"]
    assert patient_facts(Patient(id="4" * 24, metadata=missing)) == {}
    assert patient_facts(None) == {}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("19790131", {"birth date": "1979-01-31"}),
        (" 19790131 ", {"birth date": "1979-01-31"}),
        (19790131, {"birth date": "1979-01-31"}),
        ("1979", {}),
        ("1979013a", {}),
        ("197901311", {}),
        ("²9790131", {}),
    ],
)
def test_a_birth_date_is_shown_where_it_is_one(written: object, shown: dict[str, str]) -> None:
    assert patient_facts(Patient(id="4" * 24, metadata={"PatientBirthDate": written})) == shown


def test_a_series_without_values_has_empty_ones() -> None:
    empty = dict.fromkeys(("SeriesDescription", "SeriesDate", "StudyDate", "BodyPartExamined"))
    for metadata in ({}, empty):
        shown = input_series(SeriesRecord(id="2" * 24, metadata=metadata), str)
        assert (shown.description, shown.date, shown.body_part, shown.instance_count) == ("", "", "", 0)


def test_a_series_is_shown_with_its_own_date_and_its_scrubbed_description() -> None:
    header = {"SeriesDescription": " Thorax ", "SeriesDate": "20240131", "BodyPartExamined": "CHEST"}
    record = SeriesRecord(id="2" * 24, instance_ids=("7" * 24,), metadata={**header, "StudyDate": "20240130"})
    shown = input_series(record, str.upper, sha256="ab")
    assert (shown.description, shown.date, shown.body_part) == ("THORAX", "2024-01-31", "CHEST")
    assert (shown.instance_count, shown.sha256) == (1, "ab")
    without = record.model_copy(update={"metadata": {"StudyDate": "20240130"}})
    assert input_series(without, str).date == "2024-01-30"
