"""Patient, study, series and instance, as the platform stores them.

``…_id`` is the platform's id (24 hexadecimal digits), ``…_uid`` is DICOM's. ``metadata`` holds header values under
DICOM keywords; it is patient data, so it never enters a ``repr``.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.images.series_kinds import SeriesKind, kind_of_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "NOT_DECODED",
    "Instance",
    "Patient",
    "SeriesRecord",
    "Study",
    "Subject",
    "SubjectLevel",
    "contradicts",
    "is_decoded",
    "patient_uid",
    "within_study_of",
]


class SubjectLevel(str, Enum):
    """The levels of DICOM's patient hierarchy at which the platform makes jobs (PS3.3, section 7)."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"


class _Subject(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str = Field(description="The platform's id of this object")
    metadata: dict[str, Any] = Field(default_factory=dict, repr=False, description="Header values by DICOM keyword")


@refuses_unknown_keywords
class Patient(_Subject):
    """One patient of the platform's database.

    Example:
        >>> Patient(id="0" * 24, patient_uid="9f86d08", study_ids=("1" * 24,))
        Patient(id='000000000000000000000000', level='patient', study_ids=('111111111111111111111111',))
    """

    level: Literal["patient"] = "patient"
    patient_uid: str = Field(default="", repr=False, description="The platform's hash of the patient's identity")
    study_ids: tuple[str, ...] = ()

    @property
    def child_ids(self) -> tuple[str, ...]:
        """The platform's ids of its studies."""
        return self.study_ids

    @property
    def uid(self) -> str:
        """The platform's hash of the patient's identity; a store finds a patient by it, as by the id."""
        return self.patient_uid


@refuses_unknown_keywords
class Study(_Subject):
    """One study: the series that were acquired for one request.

    Example:
        >>> Study(id="1" * 24, study_instance_uid="1.2", series_ids=("2" * 24,)).child_ids
        ('222222222222222222222222',)
    """

    level: Literal["study"] = "study"
    patient_uid: str = Field(default="", repr=False, description="The platform's hash of the patient's identity")
    study_instance_uid: str = Field(default="", description="StudyInstanceUID (0020,000D)")
    series_ids: tuple[str, ...] = ()

    @property
    def child_ids(self) -> tuple[str, ...]:
        """The platform's ids of its series."""
        return self.series_ids

    @property
    def uid(self) -> str:
        """StudyInstanceUID; a store finds a study by it, as by the id."""
        return self.study_instance_uid


@refuses_unknown_keywords
class SeriesRecord(_Subject):
    """One series: instances that belong together, such as the slices of a volume.

    Example:
        >>> SeriesRecord(id="2" * 24, series_instance_uid="1.2.3", metadata={"Modality": "CT"}).modality
        'CT'
    """

    level: Literal["series"] = "series"
    patient_uid: str = Field(default="", repr=False, description="The platform's hash of the patient's identity")
    study_instance_uid: str = Field(default="", description="StudyInstanceUID (0020,000D)")
    series_instance_uid: str = Field(default="", description="SeriesInstanceUID (0020,000E)")
    instance_ids: tuple[str, ...] = Field(default=(), repr=False, description="In order of arrival")

    @property
    def uid(self) -> str:
        """SeriesInstanceUID; a store finds a series by it, as by the id."""
        return self.series_instance_uid

    @property
    def modality(self) -> str:
        """Modality (0008,0060), such as ``CT`` or ``MR``; empty when the header did not say."""
        return str(self.metadata.get("Modality") or "")

    @property
    def kind(self) -> SeriesKind:
        """The kind of the series, as far as its class and modality state it; ``inspect()`` finds out more.

        Example:
            >>> SeriesRecord(id="2" * 24, metadata={"Modality": "RTSTRUCT"}).kind.value
            'structure set'
        """
        return kind_of_class(str(self.metadata.get("SOPClassUID") or ""), self.modality)


Subject: TypeAlias = Annotated[Patient | Study | SeriesRecord, Field(discriminator="level")]
"""The subject of a job; ``level`` says which of the three it is."""

NOT_DECODED = "\ufffd"
"""The character by which pydicom replaces bytes that are not in the declared character set."""
_DEPTHS = ("patient", "study", "series")


def contradicts(one: Patient | Study | SeriesRecord, other: Patient | Study | SeriesRecord) -> bool:
    """Returns whether two subjects certainly differ, and neither contains the other.

    If one subject is a level above the other and lists its members, this list decides. Otherwise the UIDs that both
    state decide. Without any of these, the answer is False.

    Example:
        >>> study, series = Study(id="1" * 24, series_ids=("2" * 24,)), SeriesRecord(id="3" * 24)
        >>> contradicts(study, series), contradicts(series, series), contradicts(Study(id="4" * 24), series)
        (True, False, False)
    """
    upper, lower = sorted((one, other), key=lambda subject: _DEPTHS.index(subject.level))
    if upper.level == lower.level:
        return upper.id != lower.id
    if _DEPTHS.index(lower.level) - _DEPTHS.index(upper.level) == 1:
        members = () if isinstance(upper, SeriesRecord) else upper.child_ids
        if members:
            return lower.id not in members
    uids = [(upper.patient_uid, lower.patient_uid)]
    if isinstance(upper, Study) and isinstance(lower, SeriesRecord):
        uids.append((upper.study_instance_uid, lower.study_instance_uid))
    return any(above != below for above, below in uids if above and below)


def within_study_of(own: Patient | Study | SeriesRecord) -> Callable[[Patient | Study | SeriesRecord], bool]:
    """Returns a function that says whether another subject may belong to the same study as ``own``.

    If ``own`` or the other subject is a patient, the function says whether they may belong to the same patient. It
    returns False only if they certainly do not.

    Example:
        >>> one, other = (SeriesRecord(id=digit * 24, study_instance_uid="1.2") for digit in "12")
        >>> within_study_of(one)(other), contradicts(one, other)
        (True, True)
    """
    members = frozenset(() if isinstance(own, SeriesRecord) else own.child_ids)
    level_below: Any = {Patient: Study, Study: SeriesRecord}.get(type(own), ())

    def is_within(other: Patient | Study | SeriesRecord) -> bool:
        if members and isinstance(other, level_below):
            return other.id in members
        if isinstance(own, SeriesRecord) and isinstance(other, SeriesRecord):
            uids = ((own.study_instance_uid, other.study_instance_uid), (own.patient_uid, other.patient_uid))
            return all(first == second or not (first and second) for first, second in uids)
        return not contradicts(own, other)

    return is_within


def is_decoded(value: str) -> bool:
    """Returns whether a text could be decoded completely in the character set that its header declares.

    Example:
        >>> is_decoded("M\u00fcller"), is_decoded("M\ufffdller")
        (True, False)
    """
    return NOT_DECODED not in value


def patient_uid(attributes: Mapping[str, str]) -> str:
    """Returns the hash by which the platform groups files into patients.

    It is made of PatientID and IssuerOfPatientID, else of PatientName, PatientBirthDate and PatientSex, else of the
    StudyInstanceUID. Text that could not be decoded is not used: the names of two patients may have become the same
    text.
    """
    for keywords in (("PatientID", "IssuerOfPatientID"), ("PatientName", "PatientBirthDate", "PatientSex")):
        values = [value for keyword in keywords if (value := attributes.get(keyword))]
        if attributes.get(keywords[0]) and all(map(is_decoded, values)):
            identity = "::".join(values)
            break
    else:
        identity = attributes.get("StudyInstanceUID", "")
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()


class Instance(BaseModel):
    """One stored DICOM file of a series.

    Example:
        >>> Instance(id="3" * 24, sop_instance_uid="1.2.3.4", size_bytes=526_000).size_bytes
        526000
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: str = Field(description="The platform's id of the file")
    sop_instance_uid: str = Field(default="", description="SOPInstanceUID (0008,0018)")
    size_bytes: int = 0
