"""Whose object it is: the patient and study attributes that a derived object shares with its source.

Text is decoded with the source's character set and written in UTF-8 (PS3.3, section C.12.1.1.2), private groups stay
behind, and an age is brought into the form of PS3.5, section 6.2.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import PersonName

from dcm_processor_service.derived.attributes.values import value_problem
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import StudyIdentity

__all__ = ["age_string", "copy_attributes", "write_identity"]

_PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence", "OtherPatientNames",
    "QualityControlSubject", "ReferencedPatientSequence", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "PatientSpeciesDescription", "PatientSpeciesCodeSequence",
    "PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization",
)  # fmt: skip
_STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence", "PhysiciansOfRecord", "PhysiciansOfRecordIdentificationSequence",
    "StudyDescription", "ProcedureCodeSequence", "ReferencedStudySequence", "RequestingService",
    "LongitudinalTemporalInformationModified", "TimezoneOffsetFromUTC",
)  # fmt: skip
_PATIENT_STUDY = (
    "PatientSize", "PatientWeight", "PatientBodyMassIndex", "PatientSexNeutered", "PregnancyStatus", "PatientState",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "MedicalAlerts", "Allergies",
)  # fmt: skip
_CLINICAL_TRIAL = (
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
)  # fmt: skip
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_KEYS = frozenset({"PatientID", "PatientName", "IssuerOfPatientID", "StudyInstanceUID", "StudyID", "AccessionNumber"})
_AGE = re.compile(r"\s*(\d{1,3})\s*([DWMY]?)\s*")


def write_identity(target: Dataset, source: Source) -> None:
    """Writes the patient, clinical trial, study and patient study modules of the source into the object.

    Attributes of type 2 are there afterwards, empty where the source has nothing (PS3.5, section 7.4.3).

    Raises:
        DerivedObjectError: The source names no study.
    """
    if isinstance(source, SourceSeries):
        copy_attributes(source.first, target, (*_PATIENT, *_STUDY, *_PATIENT_STUDY, *_CLINICAL_TRIAL))
        age = age_string(source.first)
        if age:
            target.PatientAge = age
    else:
        _write_given_identity(target, source)
    if not target.get("StudyInstanceUID"):
        raise DerivedObjectError(
            "the source names no study, and an object must belong to one: give a StudyIdentity with study_instance_uid"
        )
    for keyword in _TYPE_2:
        if keyword not in target:
            setattr(target, keyword, None)


def _write_given_identity(target: Dataset, identity: StudyIdentity) -> None:
    values = {
        "PatientID": identity.patient_id, "PatientName": identity.patient_name,
        "PatientBirthDate": identity.patient_birth_date, "PatientSex": identity.patient_sex,
        "StudyInstanceUID": identity.study_instance_uid, "StudyDate": identity.study_date,
        "StudyTime": identity.study_time, "StudyID": identity.study_id, "AccessionNumber": identity.accession_number,
        "ReferringPhysicianName": identity.referring_physician_name, "StudyDescription": identity.study_description,
    }  # fmt: skip
    with contained():
        for keyword, value in values.items():
            if value:
                setattr(target, keyword, value)
        age = age_string(target)
    if age:
        target.PatientAge = age


def copy_attributes(origin: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copies attributes that are there, decoded, without private elements in their sequences.

    A value that its VR does not allow is left out, so that a flaw of the source does not become one of the result.
    Those by which archives file an object are copied as they are.
    """
    with contained():
        for keyword in keywords:
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise KeyError(keyword)
            if tag not in origin:
                continue
            element = _copy(origin, tag)
            if element is not None and (keyword in _KEYS or value_problem(element) is None):
                target[tag] = element


def _copy(origin: Dataset, tag: int) -> DataElement | None:
    try:
        element = origin[tag]
        return DataElement(element.tag, element.VR, _plain(element))
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes; malformed counts as absent
        return None


def _plain(element: DataElement) -> Any:
    value = element.value
    if element.VR == "SQ":
        return DicomSequence([_plain_item(each) for each in value or ()])
    if element.VR == "PN" and value is not None:
        # a name keeps the bytes and character set that it was read with; a new one is free of both
        return [PersonName(str(part)) for part in value] if isinstance(value, MultiValue) else PersonName(str(value))
    return list(value) if isinstance(value, MultiValue) else value


def _plain_item(origin: Dataset) -> Dataset:
    plain = Dataset()
    for tag in list(origin.keys()):
        if tag.is_private or tag == 0x00080005:  # noqa: PLR2004 SpecificCharacterSet: the object's own says it all
            continue
        element = _copy(origin, tag)
        if element is not None:
            plain[tag] = element
    return plain


def age_string(header: Dataset) -> str:
    """Gives PatientAge as ``nnnD``, ``nnnW``, ``nnnM`` or ``nnnY``; empty when it is neither stated nor computable.

    A stated age without zeros or unit is completed; a missing one is counted from PatientBirthDate to StudyDate, in
    years from two years on, before that in months, in the first month in days (PS3.5, section 6.2).

    Example:
        >>> header = Dataset()
        >>> header.PatientBirthDate, header.StudyDate = "19791231", "20250102"
        >>> age_string(header)
        '045Y'
    """
    with contained():
        stated = _AGE.fullmatch(text(header, "PatientAge").upper())
        if stated:
            return f"{int(stated[1]):03d}{stated[2] or 'Y'}"
        born, studied = _day(text(header, "PatientBirthDate")), _day(text(header, "StudyDate"))
    if born is None or studied is None or studied < born:
        return ""
    months = (studied.year - born.year) * 12 + studied.month - born.month - (studied.day < born.day)
    if months >= 24:  # noqa: PLR2004 two years
        return f"{months // 12:03d}Y"
    return f"{months:03d}M" if months else f"{(studied - born).days:03d}D"


def _day(value: str) -> date | None:
    digits = value.replace(".", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if digits.isdigit() else None
    except ValueError:
        return None
