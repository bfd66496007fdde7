"""Chooses earlier studies of the job's patient, and of no other patient, among the studies that a peer holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import ConfigurationError, PatientMismatchError
from dcm_processor_service.models.subjects import is_decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dcm_processor_service.models import FindKeys, FoundStudy, Peer
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries

__all__ = ["PatientKeys", "PriorsWanted", "choose_priors", "refuse_strangers", "start_of"]

_SEXES = frozenset({"M", "F"})
_DAY_DIGITS = 8


@dataclass(frozen=True)
class PatientKeys:
    """The attributes that identify a patient; a repr shows none of them."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> PatientKeys:
        """Reads the keys from header values by keyword."""

        def value(keyword: str) -> str:
            return str(metadata.get(keyword) or "").strip()

        return cls(
            value("PatientID"),
            value("IssuerOfPatientID"),
            value("PatientBirthDate").replace(".", ""),
            value("PatientSex"),
        )

    @classmethod
    def of_found(cls, found: FoundStudy) -> PatientKeys:
        """Reads the keys from a peer's answer."""
        born = found.patient_birth_date
        return cls(
            found.patient_id,
            found.issuer_of_patient_id,
            born.strftime("%Y%m%d") if born else "",
            found.patient_sex,
        )

    def contradictions(self, other: PatientKeys) -> list[str]:
        """Returns the attributes that show two different patients; an attribute that one side lacks shows nothing.

        Ids that could not be decoded never count as equal, because different bytes may have become the same text.
        """
        pairs = {
            "PatientID": (self.patient_id, other.patient_id),
            "IssuerOfPatientID": (self.issuer, other.issuer),
            "PatientBirthDate": (self.birth_date, other.birth_date),
        }
        found = [
            name
            for name, (one, another) in pairs.items()
            if one and another and (one != another or not is_decoded(one))
        ]
        if {self.sex, other.sex} == _SEXES:
            found.append("PatientSex")
        return found


@dataclass(frozen=True)
class PriorsWanted:
    """The patient, and which of the patient's studies are wanted."""

    identity: PatientKeys
    own_study_uids: frozenset[str]
    before: datetime
    modality: str
    most: int | None
    limit: int
    from_: Peer | str | None

    @property
    def keys(self) -> FindKeys:
        """The keys of the query for studies."""
        keys: FindKeys = {
            "patient_id": self.identity.patient_id,
            "study_date": (None, self.before.date()),
            "limit": self.limit,
        }
        if self.modality:
            keys["modality"] = self.modality
        return keys


def start_of(studies: Iterable[Mapping[str, Any]], before: date | None) -> datetime:
    """Returns the datetime before which priors must lie: ``before``, or else the start of the job's latest study.

    Raises:
        ConfigurationError: ``before`` is not given, and no study has a date.
    """
    if isinstance(before, datetime):
        return before.replace(tzinfo=None)  # headers have no zone: they have the local time of the scanner
    if before is not None:
        return datetime.combine(before, time())
    starts = [start for metadata in studies if (start := _start(metadata)) is not None]
    if not starts:
        raise ConfigurationError("the job's study has no date, so that none can be earlier; give before=date(…)")
    return max(starts)


def _start(metadata: Mapping[str, Any]) -> datetime | None:
    written = str(metadata.get("StudyDate") or "").replace(".", "").replace("-", "")
    clock = str(metadata.get("StudyTime") or "").replace(":", "").partition(".")[0]
    try:
        day = datetime.strptime(written[:_DAY_DIGITS], "%Y%m%d")  # noqa: DTZ007  headers have no zone
    except ValueError:
        return None
    try:
        return datetime.combine(day, time(int(clock[:2] or 0), int(clock[2:4] or 0), int(clock[4:6] or 0)))
    except ValueError:
        return day


def choose_priors(studies: Iterable[FoundStudy], wanted: PriorsWanted) -> tuple[list[FoundStudy], dict[str, str]]:
    """Returns the patient's earlier studies, newest first, and for each other study why it is passed over.

    Raises:
        PatientMismatchError: A study has the patient's id and another birth date or sex.
    """
    chosen: list[FoundStudy] = []
    passed_over: dict[str, str] = {}
    mixed: list[str] = []
    for study in studies:
        uid = study.study_instance_uid
        contradictions = wanted.identity.contradictions(PatientKeys.of_found(study))
        if uid in wanted.own_study_uids:
            passed_over[uid] = "it is of this job"
        elif not study.patient_id or {"PatientID", "IssuerOfPatientID"} & {*contradictions}:
            passed_over[uid] = "it has another PatientID or IssuerOfPatientID, or none"
        elif contradictions:
            mixed.append(f"{uid} ({', '.join(contradictions)})")
        elif reason := _not_earlier(study, wanted.before):
            passed_over[uid] = reason
        else:
            chosen.append(study)
    if mixed:
        raise PatientMismatchError(
            f"studies under the PatientID of this job contradict its patient: {'; '.join(mixed)}; have the archive "
            "correct them, or fetch the right ones by hand with peers.find and dicom.fetch"
        )
    chosen.sort(key=lambda one: (one.study_date or date.min, one.study_time or time()), reverse=True)
    return chosen, passed_over


def _not_earlier(study: FoundStudy, before: datetime) -> str:
    if study.study_date is None:
        return "the peer does not state its date"
    if study.study_date < before.date():
        return ""
    if study.study_date > before.date():
        return "it is later"
    if study.study_time is None or before.time() == time():
        return "it is of the same day, and no time shows that it is earlier"
    return "" if study.study_time < before.time() else "it is of the same day, and not earlier"


def refuse_strangers(fetched: Iterable[AsyncDicomSeries], identity: PatientKeys) -> None:
    """Checks the headers of the fetched series against the patient, because the peer's answers may be wrong.

    Raises:
        PatientMismatchError: The header of a series contradicts the patient.
    """
    for series in fetched:
        theirs = PatientKeys.of(series.info.metadata)
        contradictions = identity.contradictions(theirs)
        if not theirs.patient_id:
            contradictions.append("PatientID, which it does not have")
        if contradictions:
            raise PatientMismatchError(
                f"the series {series.series_instance_uid} came under the PatientID of this job, and its header "
                f"contradicts it ({', '.join(contradictions)}); nothing of it was kept"
            )
