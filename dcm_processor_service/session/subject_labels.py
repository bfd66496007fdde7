"""Describes the subjects of a report: the attributes that distinguish a series, and on request those of the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.models.run_report import InputSeries

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models import Patient, SeriesRecord, Study

__all__ = ["PATIENT_FACTS", "input_series", "patient_facts"]

PATIENT_FACTS = {
    "PatientName": "patient",
    "PatientID": "patient id",
    "PatientBirthDate": "birth date",
    "PatientSex": "sex",
}
"""The patient's attributes that are shown on request, with the word that a report shows for each."""

_DATE_DIGITS = 8


def input_series(record: SeriesRecord, scrub: Callable[[str], str], *, sha256: str = "", count: int = 0) -> InputSeries:
    """Returns the entry of a series in a report; ``scrub`` removes patient attributes from free text.

    Example:
        >>> from dcm_processor_service.models import SeriesRecord
        >>> record = SeriesRecord(
        ...     id="2" * 24,
        ...     metadata={"Modality": "CT", "SeriesDescription": "Thorax 5.0", "SeriesDate": "20240131"},
        ... )
        >>> input_series(record, str, count=60).label
        'CT, Thorax 5.0, 2024-01-31, 60 instances'
    """
    header = record.metadata
    return InputSeries(
        series_instance_uid=record.series_instance_uid,
        study_instance_uid=record.study_instance_uid,
        modality=record.modality,
        instance_count=count or len(record.instance_ids),
        sha256=sha256,
        description=scrub(_as_text(header.get("SeriesDescription"))),
        date=_day(_as_text(header.get("SeriesDate")) or _as_text(header.get("StudyDate"))),
        body_part=_as_text(header.get("BodyPartExamined")),
    )


def patient_facts(subject: Patient | Study | SeriesRecord | None) -> dict[str, str]:
    """Returns the values that identify the patient; their keys are the words of ``PATIENT_FACTS``."""
    if subject is None:
        return {}
    found = {word: _as_text(subject.metadata.get(keyword)) for keyword, word in PATIENT_FACTS.items()}
    if "birth date" in found:
        found["birth date"] = _day(found["birth date"])
    return {word: value for word, value in found.items() if value}


def _as_text(value: Any) -> str:
    if isinstance(value, dict):  # a person name in DICOM's JSON (PS3.18, F.2.2)
        value = value.get("Alphabetic")
    return "" if value is None else str(value).strip()


def _day(text: str) -> str:
    """Returns a DICOM date (PS3.5, section 6.2) in the form of ISO 8601; an empty string for any other text."""
    if len(text) != _DATE_DIGITS or not (text.isascii() and text.isdigit()):
        return ""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
