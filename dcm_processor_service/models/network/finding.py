"""Queries to a peer, and what it finds (PS3.4, annex C)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from typing import Annotated, ClassVar, Literal, TypeAlias, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.keywords import refuse_unknown, refuses_unknown_keywords

__all__ = ["DateRange", "FindKeys", "FindLevel", "FindQuery", "FoundInstance", "FoundItem", "FoundSeries", "FoundStudy"]

FindLevel: TypeAlias = Literal["study", "series", "instance"]
"""The level of the Study Root information model at which a peer is asked."""

DateRange: TypeAlias = "date | str | tuple[date | None, date | None]"
"""One day, or the first and the last day of a range, where None is an open end, or a text such as DICOM's
``20240101-``."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_CHARACTERS = 64
_LONGEST_TEXT = 64  # characters of a Long String, and of each part of a person's name (PS3.5, table 6.2-1)
_CODE = re.compile(r"[A-Z0-9 _?*]{1,16}")
_NO_DATE = "is not a date: give a date, YYYYMMDD, or a range such as YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD"
_DATES = re.compile(r"(?P<first>[0-9]{8})?(?P<dash>-)?(?P<last>[0-9]{8})?")


def _text(value: object) -> object:
    if not isinstance(value, str):
        return value
    if "\\" in value or not value.isprintable() or not value.strip():
        raise ValueError("holds a backslash or a control character, or nothing; give one value, wildcards are * and ?")
    if len(value.strip()) > _LONGEST_TEXT:
        raise ValueError(f"is longer than {_LONGEST_TEXT} characters")
    return value.strip()


def _code(value: object) -> object:
    if isinstance(value, str) and not _CODE.fullmatch(value):
        raise ValueError(
            "is not a code: 1 to 16 upper-case letters, digits, spaces or underscores; wildcards are * and ?"
        )
    return value


def _uids(value: object) -> object:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Sequence):
        return value
    if not found or not all(
        isinstance(one, str) and len(one) <= _UID_CHARACTERS and _UID.fullmatch(one) for one in found
    ):
        raise ValueError("is not a UID and not a list of UIDs: digits and dots, at most 64, no wildcards")
    return tuple(found)


def _dates(value: object) -> object:
    if isinstance(value, tuple) and len(value) == 2:  # noqa: PLR2004  first and last
        first, last = value
        if first is None and last is None:
            raise ValueError("is a range without a first and a last day")
        value = f"{_day(first)}-{_day(last)}"
    elif not isinstance(value, str):
        value = _day(value)
    match = _DATES.fullmatch(value)
    if match is None or not (match["first"] or match["last"]) or bool(match["last"]) > bool(match["dash"]):
        raise ValueError(_NO_DATE)
    first, last = _parsed_day(match["first"]), _parsed_day(match["last"])
    if first and last and first > last:
        raise ValueError("is a range that ends before it begins")
    return value


def _parsed_day(text: str | None) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if text else None
    except ValueError:
        raise ValueError(_NO_DATE) from None  # its own message quotes the value


def _day(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.strftime("%Y%m%d")
    raise ValueError("is not a date")


_Text = Annotated[str, BeforeValidator(_text)]
_Code = Annotated[str, BeforeValidator(_code)]
_Uids = Annotated[tuple[str, ...], BeforeValidator(_uids)]
_Dates = Annotated[str, BeforeValidator(_dates)]


class FindKeys(TypedDict, total=False):
    """Keys that restrict a search; texts may have the wildcards ``*`` and ``?`` (PS3.4, C.2.2.2.4).

    Example:
        >>> keys: FindKeys = {"patient_id": "4711", "study_date": (date(2024, 1, 1), None), "modality": "CT"}
    """

    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: DateRange
    accession_number: str
    study_instance_uid: str | Sequence[str]
    study_date: DateRange
    study_description: str
    modality: str
    series_instance_uid: str | Sequence[str]
    series_description: str
    sop_instance_uid: str | Sequence[str]
    limit: int


@refuses_unknown_keywords
class FindQuery(BaseModel):
    """A query to a peer: the level of the answers, and the keys that they match (PS3.4, C.2.2.2).

    Texts may have the wildcards ``*`` and ``?``, a date may be a range, and UIDs are lists. A repr shows UIDs, the
    modality and the limit, but no other key.

    Example:
        >>> FindQuery(level="study", patient_id="4711", study_date=(date(2024, 1, 1), None)).study_date
        '20240101-'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    level: FindLevel = "study"
    patient_id: _Text = Field(default="", repr=False)
    issuer_of_patient_id: _Text = Field(default="", repr=False)
    patient_name: _Text = Field(default="", repr=False, description="As DICOM writes it: Family^Given")
    patient_birth_date: _Dates = Field(default="", repr=False)
    accession_number: _Text = Field(default="", repr=False)
    study_instance_uid: _Uids = ()
    study_date: _Dates = Field(default="", repr=False)
    study_description: _Text = Field(default="", repr=False)
    modality: _Code = Field(default="", description="Modality of a series; finds the studies that have such a series")
    series_instance_uid: _Uids = ()
    series_description: _Text = Field(default="", repr=False)
    sop_instance_uid: _Uids = ()
    limit: int = Field(
        default=1000, ge=1, description="Most answers; if there are more, the peer is told to stop and an error raised"
    )

    @classmethod
    def of(cls, level: FindLevel, keys: FindKeys) -> FindQuery:
        """Makes a query.

        Raises:
            ConfigurationError: A key is unknown or malformed; the message names it, and not its value.
        """
        refuse_unknown("find", "key", keys, FindKeys.__annotations__)
        try:
            return cls.model_validate({"level": level, **keys})
        except ValidationError as error:
            faults = [f"{one['loc'][0]} {one['msg'].removeprefix('Value error, ')}" for one in error.errors()]
            raise ConfigurationError(f"the peer is not asked, since {'; '.join(faults)}") from None


class _FoundRecord(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    patient_id: str = Field(default="", repr=False)
    issuer_of_patient_id: str = Field(default="", repr=False)
    patient_name: str = Field(default="", repr=False)
    patient_birth_date: date | None = Field(default=None, repr=False)
    patient_sex: str = Field(default="", repr=False)
    study_instance_uid: str = Field(description="StudyInstanceUID (0020,000D)")
    study_date: date | None = Field(default=None, repr=False)
    study_time: time | None = Field(default=None, repr=False)
    asked_patient_id: str = Field(
        default="", repr=False, exclude=True, description="PatientID of the query; no other patient's is fetched"
    )


class FoundStudy(_FoundRecord):
    """A study that a peer holds; values that the peer does not state are empty or None.

    Example:
        >>> FoundStudy(study_instance_uid="1.2.3", patient_id="4711", modalities=("CT", "SR"), instance_count=301)
        FoundStudy(study_instance_uid='1.2.3', modalities=('CT', 'SR'), series_count=None, instance_count=301)
    """

    accession_number: str = Field(default="", repr=False)
    description: str = Field(default="", repr=False)
    modalities: tuple[str, ...] = Field(default=(), description="ModalitiesInStudy (0008,0061)")
    sop_class_uids: tuple[str, ...] = Field(default=(), repr=False, description="SOPClassesInStudy (0008,0062)")
    series_count: int | None = None
    instance_count: int | None = None


class FoundSeries(_FoundRecord):
    """A series that a peer holds; values that the peer does not state are empty or None.

    Example:
        >>> FoundSeries(study_instance_uid="1.2.3", series_instance_uid="1.2.3.4", modality="CT").modality
        'CT'
    """

    series_instance_uid: str = Field(description="SeriesInstanceUID (0020,000E)")
    modality: str = ""
    number: int | None = Field(default=None, description="SeriesNumber (0020,0011)")
    description: str = Field(default="", repr=False)
    body_part: str = Field(default="", description="BodyPartExamined (0018,0015)")
    instance_count: int | None = None


class FoundInstance(_FoundRecord):
    """An instance that a peer holds; values that the peer does not state are empty or None.

    Example:
        >>> FoundInstance(study_instance_uid="1.2", series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4").number
    """

    series_instance_uid: str = Field(description="SeriesInstanceUID (0020,000E)")
    sop_instance_uid: str = Field(description="SOPInstanceUID (0008,0018)")
    sop_class_uid: str = ""
    number: int | None = Field(default=None, description="InstanceNumber (0020,0013)")


FoundItem: TypeAlias = FoundStudy | FoundSeries | FoundInstance
"""A study, series or instance that a peer holds, and that can be fetched."""
