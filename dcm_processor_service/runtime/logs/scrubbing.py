"""Keeps patient attributes out of what is printed: knows this session's own names, ids and dates, and removes them.

What is removed is what the platform's documents say of the job's patient, study or series; nothing is guessed from how
a text looks. A name goes as a whole and in its parts of two letters or more, an id of three characters or more, a date
in every usual way of writing it: numbers in any order, with and without leading zeros, and English names of months.
UIDs stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dcm_processor_service.models import Job, Patient, SeriesRecord, Study

__all__ = ["REMOVED", "Scrubber"]

REMOVED = "[removed]"

_NAMES = frozenset(
    {
        "ConsultingPhysicianName",
        "NameOfPhysiciansReadingStudy",
        "OperatorsName",
        "OtherPatientNames",
        "PatientBirthName",
        "PatientMotherBirthName",
        "PatientName",
        "PerformingPhysicianName",
        "PhysiciansOfRecord",
        "ReferringPhysicianName",
        "RequestingPhysician",
        "ResponsiblePerson",
        "ScheduledPerformingPhysicianName",
    }
)
_IDS = frozenset(
    {
        "AccessionNumber",
        "AdmissionID",
        "MedicalRecordLocator",
        "OtherPatientIDs",
        "PatientAddress",
        "PatientComments",
        "PatientID",
        "PatientTelephoneNumbers",
        "StudyID",
    }
)
_NAME_GROUPS = frozenset({"Alphabetic", "Ideographic", "Phonetic"})  # of a person name in DICOM's JSON (PS3.18, F.2.2)
_SHORTEST_NAME, _SHORTEST_ID = 2, 3
_FREE_LENGTH = 8
"""From so many characters on a text is removed inside of words too."""

_FIRST_IDEOGRAPH = "\u2e80"
_DATE_DIGITS = 8
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_SEPARATOR = r"(?:[-/.]|, )"
_TIME = r"(?:\d\d){0,3}"
"""What may follow the eight digits of a date in a DT value (PS3.5, section 6.2): HHMMSS, or its beginning."""
_CHAIN_LIMIT = 20


class Scrubber:
    """Removes what it has learned from texts.

    Example:
        >>> from dcm_processor_service.models import Patient
        >>> scrubber = Scrubber()
        >>> scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": "Doe^Jane", "PatientBirthDate": "19790131"}))
        >>> scrubber.text("cannot read /scans/DOE_jane.dcm of 1979-01-31, series 1.2.19790131.4")
        'cannot read /scans/[removed]_[removed].dcm of [removed], series 1.2.19790131.4'
    """

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._numbers: set[str] = set()
        self._days: set[date] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = SharedLock()

    def __repr__(self) -> str:
        return f"Scrubber({len(self._words) + len(self._numbers)} texts, {len(self._days)} dates)"

    def learn(self, subject: Patient | Study | SeriesRecord | None) -> None:
        """Takes in what a patient, study or series says of the person."""
        if subject is None:
            return
        self._add(subject.patient_uid, _SHORTEST_ID)
        for keyword, value in subject.metadata.items():
            self._learn(keyword, value)

    def learn_job(self, job: Job) -> None:
        """Takes in what a job is about."""
        self.learn(job.subject)

    def _learn(self, keyword: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._learn("PatientName" if key in _NAME_GROUPS else str(key), item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._learn(keyword, item)
        elif value is not None and keyword in _NAMES:
            self._add_name(str(value))
        elif value is not None and keyword in _IDS:
            self._add(str(value), _SHORTEST_ID)
        elif value is not None and keyword.endswith(("Date", "DateTime")):
            self._add_date(str(value))

    def _add_name(self, name: str) -> None:
        self._add(name, _SHORTEST_NAME)
        self._add(" ".join(part for part in re.split(r"[\^=]+", name) if part), _SHORTEST_NAME)
        for part in re.split(r"[\^=\s,]+", name):
            if any(character.isalpha() for character in part):
                self._add(part.strip("."), 1 if _is_ideographic(part) else _SHORTEST_NAME)

    def _add_date(self, written: str) -> None:
        digits = re.sub(r"\D", "", written)[:_DATE_DIGITS]
        try:
            day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:  # not a date: half of one, or none at all
            self._add(written, _SHORTEST_ID)
            return
        self._days.add(day)
        self._pattern = None

    def _add(self, text: str, shortest: int) -> None:
        text = text.strip()
        if len(text) < shortest:
            return
        with self._lock:
            (self._numbers if text.isdigit() else self._words).update(_spellings(text))
            self._pattern = None

    def text(self, text: str) -> str:
        """Gives a text without what has been learned."""
        with self._lock:
            pattern = self._pattern = self._pattern or self._compiled()
        return pattern.sub(REMOVED, text)

    def value(self, value: Any) -> Any:
        """Gives a JSON value without what has been learned: in texts, keys and numbers, at any depth."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and self.text(str(value)) == REMOVED:
            return REMOVED
        return value

    def exception(self, error: BaseException) -> None:
        """Removes what has been learned from the messages of an exception and of those that led to it, in place."""
        for one in _chain(error):
            if any(isinstance(part, str) and self.text(part) != part for part in one.args):
                one.args = tuple(self.text(part) if isinstance(part, str) else part for part in one.args)
            for field in ("message", "filename", "filename2", "strerror"):
                held = getattr(one, field, None)
                if isinstance(held, str) and self.text(held) != held:
                    setattr(one, field, self.text(held))

    def _compiled(self) -> re.Pattern[str]:
        free = {word for word in self._words if len(word) >= _FREE_LENGTH or _is_ideographic(word)}
        choices = [
            _any(free),
            rf"(?<![^\W_])(?:{_any(self._words - free)})(?![^\W_])",
            # not inside of longer numbers, and not as a component of a UID, whose first has one digit
            rf"(?<!\d)(?<!\d\.)(?:{_any(self._numbers)})(?!\d)(?!\.\d)",
            *(
                rf"(?<!\d)(?<!\d\.)(?:{day.year:04}{day.month:02}{day.day:02}{_TIME}|(?:{_written(day)})(?!\.\d))(?!\d)"
                for day in self._days
            ),
        ]
        return re.compile("|".join(choices), re.IGNORECASE)


def _written(day: date) -> str:
    """Returns the pattern of a date as people and programs write it, other than in eight digits."""
    year, month, number = f"{day.year:04}", _with_zero(day.month), _with_zero(day.day)
    name = _MONTHS[day.month - 1]
    named = rf"{name[:3]}(?:{name[3:]}|\.)?"
    orders = ((year, month, number), (number, month, year), (month, number, year))
    return "|".join(
        (*map(_SEPARATOR.join, orders), rf"{number}\.?[ -]{named}[ -]{year}", rf"{named}[ -]{number},?[ -]{year}")
    )


def _with_zero(number: int) -> str:
    """Returns the pattern of a day's or month's number, with its leading zero or without."""
    return f"0?{number}" if number < 10 else str(number)  # noqa: PLR2004  from ten on there are two digits


def _is_ideographic(text: str) -> bool:
    """Tells scripts in which one character is a name, and nothing stands between words."""
    return any(character >= _FIRST_IDEOGRAPH for character in text)


def _any(texts: Iterable[str]) -> str:
    """Gives the pattern of any of these, longest first; of none it never matches."""
    ordered = sorted(texts, key=len, reverse=True)
    return "|".join(map(re.escape, ordered)) or r"(?!)"


def _spellings(text: str) -> Iterator[str]:
    """Gives a text as it is, and as Python writes it where only ASCII is allowed or bytes are shown."""
    yield text
    if not text.isascii():
        yield text.encode("ascii", "backslashreplace").decode()
        for encoding in ("utf-8", "latin-1"):
            yield repr(text.encode(encoding, "replace"))[2:-1]


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _CHAIN_LIMIT:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found
