"""Copies the patient and study attributes that a derived object shares with its source.

Text is decoded with the source's character set and written in UTF-8 (PS3.3, section C.12.1.1.2), private groups are
left out, and an age is written in the form of PS3.5, section 6.2.
"""

from __future__ import annotations

import re
from datetime import date, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import PersonName, format_number_as_ds

from dcm_processor_service.derived.attributes.character_set import declares_characters, undeclared_text
from dcm_processor_service.derived.attributes.values import value_problem
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import StudyIdentity
from dcm_processor_service.models.subjects import is_decoded

__all__ = ["IDENTITY", "age_string", "copy_attributes", "flaws_of_source", "time_zone", "write_identity"]

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
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
_KEYS = frozenset({"PatientID", "PatientName", "IssuerOfPatientID", "StudyID", "AccessionNumber", *_UIDS})
_FILED_BY = ("PatientID", "IssuerOfPatientID", "StudyID", "AccessionNumber")
IDENTITY = frozenset((*_PATIENT, *_STUDY, *_PATIENT_STUDY, *_CLINICAL_TRIAL))
"""Attributes that a derived object takes from its source."""

_SAY_IT = (
    "If you know it, write the text into the headers that you give as like, and declare it there: "
    'SpecificCharacterSet "ISO_IR 192"'
)

_LONGEST_DS = 16
_SAME_NUMBER = 1e-9
_ZONE = "TimezoneOffsetFromUTC"
_OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)")
_ANY_SCRIPT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_AGE = re.compile(r"\s*(\d{1,3})\s*([DWMY]?)\s*")


def write_identity(target: Dataset, source: Source) -> None:
    """Writes the patient, clinical trial, study and patient study modules of the source into the object.

    Attributes of type 2 that the source lacks are written empty (PS3.5, section 7.4.3).

    Raises:
        DerivedObjectError: The source names no study, or an attribute by which archives file an object cannot be
            decoded in the character set that the source declares.
    """
    if isinstance(source, SourceSeries):
        _refuse_garbled_keys(source.first)
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


def _refuse_garbled_keys(header: Dataset) -> None:
    """Refuses ids that the character set of their header cannot decode, because archives file objects by these ids.

    Names are not refused: the part that can be decoded is kept, and the rest is left empty. Ids with an escape sequence
    of a set that is not declared are not refused either: they are kept as pydicom reads them, and reported as a flaw of
    the source.
    """
    with contained():
        garbled = [
            keyword
            for keyword in _FILED_BY
            if not is_decoded(text(header, keyword)) and "\x1b" not in str(header.get(keyword, ""))
        ]
    if garbled:
        raise DerivedObjectError(
            f"{' and '.join(garbled)} of the source cannot be read in the SpecificCharacterSet that its header "
            "declares, and archives file by it: write the right text into the headers that you give as like, and "
            'declare it there: SpecificCharacterSet "ISO_IR 192"'
        )


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
                problem = value_problem(target[keyword])
                if problem is not None:
                    raise DerivedObjectError(f"{keyword} of the StudyIdentity: {problem[0]}: {problem[1]}")
        age = age_string(target)
    if age:
        target.PatientAge = age


def copy_attributes(origin: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copies attributes if the origin has them, decoded, without private elements in their sequences.

    A value that its VR does not allow is left out, so that the result does not repeat a flaw of the source; decimal
    strings that are too long are shortened. Attributes by which archives file an object, such as PatientID, are copied
    as they are.
    """
    with contained():
        declared = declares_characters(origin)
        for keyword in keywords:
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise KeyError(keyword)
            if tag not in origin:
                continue
            element = _copy(origin, tag, declared=declared)
            if keyword == _ZONE and time_zone(origin) is None:
                continue
            if element is not None and element.VR == "SQ" and not element.value:
                continue  # an empty sequence states nothing
            if element is not None and (keyword in _KEYS or value_problem(element) is None):
                target[tag] = element


def flaws_of_source(source: SourceSeries) -> list[str]:
    """Lists attributes of the source's identity that break the standard, without their values."""
    header = source.first
    found = []
    with contained():
        copied = Dataset()
        copy_attributes(header, copied, IDENTITY)
        declared = declares_characters(header)
        for keyword in sorted(IDENTITY):
            if keyword not in header:
                continue
            unknown = not declared and _is_of_an_unknown_set(header, keyword)
            if keyword not in copied or (copied[keyword].is_empty and not _is_empty(header, keyword)):
                found.append(
                    f"{keyword} is beyond ASCII in an unknown character set: it is left empty. {_SAY_IT}"
                    if unknown
                    else f"{keyword} cannot be read or is not as its VR allows: it is left out"
                )
            elif (problem := value_problem(copied[keyword])) is not None:
                found.append(f"{keyword}: {problem[0]}; it is kept as it is")
            elif unknown:
                found.append(
                    f"{keyword} is beyond ASCII in an unknown character set: because archives file by it, it "
                    f"is kept with each byte read as Latin-1, as most archives do. {_SAY_IT}"
                )
        copy_attributes(header, copied, _UIDS[1:])
        uids = [(keyword, value_problem(copied[keyword])) for keyword in _UIDS[1:] if keyword in copied]
        found += [f"{keyword}: {problem[0]}; references repeat it as it is" for keyword, problem in uids if problem]
        if text(header, "PatientIdentityRemoved") == "YES" and not (
            text(header, "DeidentificationMethod") or "DeidentificationMethodCodeSequence" in header
        ):
            found.append("PatientIdentityRemoved is YES and no DeidentificationMethod states how (PS3.3, C.7.1.1)")
        shown = [text(header, keyword) for keyword in ("PatientName", "StudyDescription")]
        if not all(map(is_decoded, shown)) or (not declared and not all(_is_plain(each) for each in shown)):
            found.append(
                "the header has text beyond ASCII, and declares no SpecificCharacterSet that fits it: if a name is "
                "wrong in the result, declare the right one in the headers that you give as like"
            )
    return found


def _is_of_an_unknown_set(header: Dataset, keyword: str) -> bool:
    """Returns whether undeclared text could be in several character sets, such as a name in Windows-1251."""
    try:
        value = header[keyword].value
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes
        return False
    parts = value if isinstance(value, MultiValue) else [value]
    read = [(getattr(part, "original_string", part), isinstance(part, PersonName)) for part in parts]
    return any(
        isinstance(content, (str, bytes)) and undeclared_text(content, is_name=is_name) is None
        for content, is_name in read
    )


def _is_plain(part: str) -> bool:
    return part.isascii() and "\x1b" not in part


def _is_empty(header: Dataset, keyword: str) -> bool:
    try:
        return header[keyword].is_empty
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes; malformed is not empty
        return False


def _copy(origin: Dataset, tag: int, *, declared: bool) -> DataElement | None:
    try:
        element = origin[tag]
        return DataElement(element.tag, element.VR, _plain(element, declared=declared))
    except Exception:  # noqa: BLE001 pydicom raises whatever a malformed value provokes; malformed counts as absent
        return None


def _plain(element: DataElement, *, declared: bool) -> Any:
    value = element.value
    if element.VR == "SQ":
        return DicomSequence([_plain_item(each, declared=declared) for each in value or ()])
    if isinstance(value, MultiValue):
        return [_plain_part(part, element, declared=declared) for part in value]
    return _plain_part(value, element, declared=declared)


def _plain_part(part: Any, element: DataElement, *, declared: bool) -> Any:
    if isinstance(part, PersonName):
        # a name keeps the bytes and character set that it was read with; a new PersonName has neither
        read = getattr(part, "original_string", None)
        is_known = (declared and is_decoded(str(part))) or not isinstance(read, bytes)
        known = str(part) if is_known or read is None else undeclared_text(read, is_name=True)
        return PersonName(known or "")
    if isinstance(part, str) and element.VR in _ANY_SCRIPT and not (declared or _is_plain(part)):
        known = undeclared_text(part)
        return part if known is None and element.keyword in _KEYS else known
    if isinstance(part, str) and element.VR in _ANY_SCRIPT and not is_decoded(part):
        return None
    return shortened(part) if element.VR == "DS" and part is not None else part


def shortened(number: Any) -> Any:
    """Shortens a decimal string to 16 characters, unless its value would change by more than one part in 10**9."""
    written = getattr(number, "original_string", None) or str(number)
    if len(written) <= _LONGEST_DS:
        return number
    short = format_number_as_ds(float(number))
    return short if abs(float(short) - float(number)) <= _SAME_NUMBER * abs(float(number)) else number


def _plain_item(origin: Dataset, *, declared: bool) -> Dataset:
    plain = Dataset()
    declared = declared or declares_characters(origin)
    for tag in list(origin.keys()):
        if tag.is_private or tag == 0x00080005:  # noqa: PLR2004 SpecificCharacterSet is written for the whole object
            continue
        element = _copy(origin, tag, declared=declared)
        if element is not None:
            plain[tag] = element
    return plain


def time_zone(header: Dataset) -> timezone | None:
    """Returns the time zone of a header's dates and times, TimezoneOffsetFromUTC (0008,0201); None if it has none.

    Example:
        >>> header = Dataset()
        >>> header.TimezoneOffsetFromUTC = "-0330"
        >>> str(time_zone(header))
        'UTC-03:30'
        >>> header.TimezoneOffsetFromUTC = "+9900"
        >>> time_zone(header) is None
        True
    """
    found = _OFFSET.fullmatch(text(header, _ZONE))
    if found is None:
        return None
    shift = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(shift if found[1] == "+" else -shift)


def age_string(header: Dataset) -> str:
    """Returns PatientAge as ``nnnD``, ``nnnW``, ``nnnM`` or ``nnnY``; empty when it is neither stated nor computable.

    A stated age without leading zeros or unit is completed. A missing one is counted from PatientBirthDate to
    StudyDate: in years from the age of two, in months below that, and in days in the first month (PS3.5, section 6.2).

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
