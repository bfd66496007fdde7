"""Turns a peer's answers about studies, series and instances into records, and drops those that do not match."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING, Any

from dcm_processor_service.dicom_network.retrieval.keys import KEYWORDS, is_text
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.values import integer, text, texts
from dcm_processor_service.models import FoundInstance, FoundSeries, FoundStudy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.models import FindQuery, FoundItem

__all__ = ["found_records"]

_DAY = re.compile(r"([0-9]{4})[.]?([0-9]{2})[.]?([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?(?:\.([0-9]{1,6}))?")
_CASELESS = frozenset({"StudyDescription", "SeriesDescription"})
# not compared here, because peers may match names in their own way, such as by sound or without accents (PS3.4,
# section C.2.2.2.1)
_NOT_JUDGED = frozenset({"PatientName", "AccessionNumber"})


def found_records(answers: Iterable[Header], query: FindQuery) -> list[FoundItem]:
    """Returns one record for each answer, without repeated answers and without answers that contradict the query.

    A peer need not support matching by optional keys, and then answers as if the query did not have them (PS3.4,
    section C.2.2.1.2). If an answer lacks an attribute, that attribute does not contradict the query.
    """
    records: dict[tuple[str, ...], FoundItem] = {}
    with contained():
        for answer in answers:
            record = _record(answer, query) if _matches(answer, query) else None
            if record is not None:
                uids = (record.study_instance_uid, *(getattr(record, name, "") for name in _LOWER_UIDS))
                records.setdefault(uids, record)
    return list(records.values())


_LOWER_UIDS = ("series_instance_uid", "sop_instance_uid")


def _record(answer: Header, query: FindQuery) -> FoundItem | None:
    values = _of_patient_and_study(answer, query)
    if not values["study_instance_uid"]:
        return None  # a study without its UID cannot be fetched
    if query.level == "study":
        return FoundStudy(
            **values,
            accession_number=text(answer, "AccessionNumber"),
            description=text(answer, "StudyDescription"),
            modalities=tuple(filter(None, texts(answer, "ModalitiesInStudy"))),
            sop_class_uids=tuple(filter(None, texts(answer, "SOPClassesInStudy"))),
            series_count=integer(answer, "NumberOfStudyRelatedSeries"),
            instance_count=integer(answer, "NumberOfStudyRelatedInstances"),
        )
    values["series_instance_uid"] = _uid_or_the_one_asked_for(answer, "SeriesInstanceUID", query.series_instance_uid)
    if not values["series_instance_uid"]:
        return None
    if query.level == "series":
        return FoundSeries(
            **values,
            modality=text(answer, "Modality"),
            number=integer(answer, "SeriesNumber"),
            description=text(answer, "SeriesDescription"),
            body_part=text(answer, "BodyPartExamined"),
            instance_count=integer(answer, "NumberOfSeriesRelatedInstances"),
        )
    sop_instance_uid = text(answer, "SOPInstanceUID")
    if not sop_instance_uid:
        return None
    return FoundInstance(
        **values,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=text(answer, "SOPClassUID"),
        number=integer(answer, "InstanceNumber"),
    )


def _of_patient_and_study(answer: Header, query: FindQuery) -> dict[str, Any]:
    return {
        "patient_id": text(answer, "PatientID").strip(),
        "issuer_of_patient_id": text(answer, "IssuerOfPatientID").strip(),
        "patient_name": text(answer, "PatientName"),
        "patient_birth_date": _day(text(answer, "PatientBirthDate")),
        "patient_sex": text(answer, "PatientSex").strip(),
        "study_instance_uid": _uid_or_the_one_asked_for(answer, "StudyInstanceUID", query.study_instance_uid),
        "study_date": _day(text(answer, "StudyDate")),
        "study_time": _time(text(answer, "StudyTime")),
        "asked_patient_id": "" if {*query.patient_id} & {*"*?"} else query.patient_id,
    }


def _uid_or_the_one_asked_for(answer: Header, keyword: str, asked: tuple[str, ...]) -> str:
    """Returns the UID of the study or series in an answer; if the answer lacks it, the only one in the query.

    Some peers leave out a UID that the query has named.
    """
    return text(answer, keyword) or (asked[0] if len(asked) == 1 else "")


def _matches(answer: Header, query: FindQuery) -> bool:
    return all(
        _fits(tuple(filter(None, texts(answer, keyword))), keyword, wanted)
        for keyword, field in KEYWORDS[query.level].items()
        if keyword not in _NOT_JUDGED and (wanted := getattr(query, field))
    )


def _fits(stated: tuple[str, ...], keyword: str, wanted: str | tuple[str, ...]) -> bool:
    if not stated:
        return True
    if isinstance(wanted, tuple):
        return stated[0] in wanted
    if is_text(keyword):
        return any(_as_pattern(wanted, keyword).fullmatch(one.strip()) for one in stated)
    day = _day(stated[0])
    first, dash, last = wanted.partition("-")
    if day is None:
        return True
    written = day.strftime("%Y%m%d")
    return first <= written and (written <= last if last else bool(dash) or written == first)


def _as_pattern(wanted: str, keyword: str) -> re.Pattern[str]:
    """Returns the regular expression for a text with wildcards (PS3.4, section C.2.2.2.4).

    ``*`` matches any characters, and ``?`` matches one.
    """
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in wanted)
    return re.compile("".join(parts), re.IGNORECASE if keyword in _CASELESS else 0)


def _day(written: str) -> date | None:
    match = _DAY.fullmatch(written.strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _time(written: str) -> time | None:
    match = _TIME.fullmatch(written.strip())
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    try:
        return time(int(hour), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None
