"""Encodes a query as the identifier of a C-FIND request (PS3.4, C.6.2.1) or as parameters of QIDO-RS (PS3.18, 10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from pydicom import Dataset

from dcm_processor_service.imaging.headers.containment import contained

if TYPE_CHECKING:
    from dcm_processor_service.models import FindLevel, FindQuery

__all__ = ["KEYWORDS", "identifier", "is_text", "parameters"]

_PATIENT = {
    "PatientID": "patient_id",
    "IssuerOfPatientID": "issuer_of_patient_id",
    "PatientName": "patient_name",
    "PatientBirthDate": "patient_birth_date",
}
_STUDY = {
    **_PATIENT,
    "StudyInstanceUID": "study_instance_uid",
    "StudyDate": "study_date",
}
_SERIES = {"SeriesInstanceUID": "series_instance_uid", "Modality": "modality"}

KEYWORDS: dict[FindLevel, dict[str, str]] = {
    "study": {
        **_STUDY,
        "AccessionNumber": "accession_number",
        "StudyDescription": "study_description",
        "ModalitiesInStudy": "modality",
    },
    "series": {
        **_STUDY,
        **_SERIES,
        "AccessionNumber": "accession_number",
        "StudyDescription": "study_description",
        "SeriesDescription": "series_description",
    },
    "instance": {**_STUDY, **_SERIES, "SOPInstanceUID": "sop_instance_uid"},
}
"""For each level, the attributes to match, and the fields of a query that hold the values to match."""

_TOLD: dict[FindLevel, tuple[str, ...]] = {
    "study": (
        "PatientSex",
        "StudyTime",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "series": ("PatientSex", "StudyTime", "SeriesNumber", "BodyPartExamined", "NumberOfSeriesRelatedInstances"),
    "instance": ("SOPClassUID", "InstanceNumber"),
}
"""For each level, further attributes that the peer shall return."""

_LEVELS: dict[FindLevel, str] = {"study": "STUDY", "series": "SERIES", "instance": "IMAGE"}
_OF_PATIENTS = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")


def is_text(keyword: str) -> bool:
    """Returns whether an attribute is matched as text with wildcards, because it is neither a UID nor a date."""
    return not keyword.endswith(("UID", "Date"))


def identifier(query: FindQuery) -> Dataset:
    """Returns the identifier of a C-FIND request, with a character set if its texts need one (PS3.4, C.2.2.2).

    For keys without a value, the peer returns the value.
    """
    dataset = Dataset()
    dataset.QueryRetrieveLevel = _LEVELS[query.level]
    texts: list[str] = []
    for keyword, field in KEYWORDS[query.level].items():
        value = getattr(query, field)
        if not value and query.level == "instance" and keyword in _OF_PATIENTS:
            continue  # the same in all answers about the instances of a series, so the peer need not return it
        with contained():
            setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
        texts += [value] if isinstance(value, str) else []
    for keyword in _TOLD[query.level]:
        setattr(dataset, keyword, None)
    character_set = _character_set("".join(texts))
    if character_set:
        dataset.SpecificCharacterSet = character_set
    return dataset


def _character_set(text: str) -> str:
    """Returns the character set for a text (PS3.3, C.12.1.1.2); Latin-1 if possible, as fewer peers support UTF-8."""
    if text.isascii():
        return ""
    try:
        text.encode("iso8859-1")
    except UnicodeEncodeError:
        return "ISO_IR 192"
    return "ISO_IR 100"


def parameters(query: FindQuery) -> tuple[str, str]:
    """Returns path and query of a QIDO-RS request; the query may name a patient."""
    path = {"study": "studies", "series": "series", "instance": "instances"}[query.level]
    matched = {keyword: value for keyword, field in KEYWORDS[query.level].items() if (value := getattr(query, field))}
    if query.level != "study" and len(query.study_instance_uid) == 1:  # every service supports such a path
        path = f"studies/{matched.pop('StudyInstanceUID')[0]}/{path}"
        if query.level == "instance" and len(query.series_instance_uid) == 1:
            path = path.replace("instances", f"series/{matched.pop('SeriesInstanceUID')[0]}/instances")
    pairs = [
        f"{keyword}={quote(','.join(value) if isinstance(value, tuple) else value, safe='*,-')}"
        for keyword, value in matched.items()
    ]
    pairs += [f"includefield={keyword}" for keyword in (*KEYWORDS[query.level], *_TOLD[query.level])]
    return path, "&".join(pairs)
