"""Removes patient attributes from text that is printed: the names, ids and dates of this session.

It removes the values in the headers of the job's patient, study or series, in the spellings of :mod:`.spellings` and
:mod:`.written_dates`; it does not guess from how a text looks. A value that could as well be an ordinary word or number
is removed only where it is written as a name or stands after a word such as ``patient``. UIDs are not removed.
SECURITY.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from dcm_processor_service.models.network.identifying import IDS, NAMES
from dcm_processor_service.ports.forks import SharedLock
from dcm_processor_service.runtime.logs.known_texts import KnownTexts
from dcm_processor_service.runtime.logs.ordinary_words import ALSO_NAMES, VOCABULARY
from dcm_processor_service.runtime.logs.spellings import (
    as_a_name,
    is_ideographic,
    joined_names,
    number,
    runs,
    separated_runs,
    spellings,
    telephone_number,
    word,
)
from dcm_processor_service.runtime.logs.written_dates import date_pattern, year_signs

if TYPE_CHECKING:
    from dcm_processor_service.models import Job, Patient, SeriesRecord, Study

__all__ = ["REMOVED", "Scrubber"]

REMOVED = "[removed]"

_NAME_GROUPS = frozenset({"Alphabetic", "Ideographic", "Phonetic"})  # of a person name in DICOM's JSON (PS3.18, F.2.2)
_SHORTEST_NAME, _SHORTEST_ID, _SHORTEST_NUMBER = 2, 3, 5
_SHORTEST_PIECE = 4
"""The fewest letters of a piece of a name (as between hyphens) that is removed alone."""
_SHORTEST_JOINED = 4
"""The fewest letters and digits of an id that is removed also with separators between its parts."""
_DATE_DIGITS = 8


class Scrubber:
    """Removes from texts the values that it has learned.

    Several threads may use one.

    Example:
        >>> from dcm_processor_service.models import Patient
        >>> scrubber = Scrubber()
        >>> scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": "Doe^Jane", "PatientBirthDate": "19790131"}))
        >>> scrubber.text("cannot read /scans/DOE_jane.dcm of 1979-01-31, series 1.2.19790131.4")
        'cannot read /scans/[removed].dcm of [removed], series 1.2.19790131.4'
    """

    def __init__(self) -> None:
        self._known = KnownTexts()
        self._days: dict[date, bool] = {}
        self._signs: dict[int, tuple[str, ...]] = {}  # by year, see year_signs
        self._dates: dict[int, re.Pattern[str]] = {}  # by year
        self._lock = SharedLock()

    def __repr__(self) -> str:
        return f"Scrubber({len(self._known)} texts, {len(self._days)} dates)"

    def learn(self, subject: Patient | Study | SeriesRecord | None) -> None:
        """Learns the person's values from a patient, study or series."""
        if subject is None:
            return
        with self._lock:
            self._add_id(subject.patient_uid)
            for keyword, value in subject.metadata.items():
                self._learn(keyword, value)

    def learn_job(self, job: Job) -> None:
        """Learns the person's values from a job's subject."""
        self.learn(job.subject)

    def _learn(self, keyword: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._learn("PatientName" if key in _NAME_GROUPS else str(key), item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._learn(keyword, item)
        elif value is not None:
            for text in str(value).split("\\"):  # in DICOM, a backslash separates values
                self._learn_text(keyword, text.strip())

    def _learn_text(self, keyword: str, text: str) -> None:
        if keyword in NAMES:
            self._add_name(text)
        elif keyword in IDS:
            self._add_id(text)
            if "Address" in keyword:
                for line in re.split(r"[\^,;\r\n]+", text):
                    self._add_id(line.strip())
            elif telephone := re.search("Tele|Phone", keyword) and telephone_number(text):
                self._known.add_pattern(telephone, [text[-1:]])
        elif keyword.endswith(("Date", "DateTime")):
            self._add_date(text, short_year=keyword == "PatientBirthDate")

    def _add_name(self, name: str) -> None:
        parts = [part.strip(".") for part in re.split(r"[\^=\s,]+", name) if any(map(str.isalpha, part))]
        if "^" in name:
            self._add_word(name)
        pieces: list[str] = []
        for part in parts:
            self._add_part(part)
            within = [piece for piece in re.split(r"[-'’.]", part) if piece]
            for piece in within if len(within) > 1 else ():
                if len(piece) >= _SHORTEST_PIECE:
                    self._add_part(piece)
            pieces += within
        for pattern, signs in joined_names(pieces, VOCABULARY):
            self._known.add_pattern(pattern, signs)

    def _add_part(self, part: str) -> None:
        """Learns a part of a name, or an id of letters, unless it is an ordinary word."""
        lower = part.lower()
        if lower in ALSO_NAMES:
            self._known.add_pattern(word(as_a_name(part)), [part])
        elif lower not in VOCABULARY and len(part) >= (1 if is_ideographic(part) else _SHORTEST_NAME):
            self._add_word(part)

    def _add_id(self, text: str) -> None:
        if len(text) < _SHORTEST_ID:
            return
        if text.isdigit():
            digits = text.lstrip("0")
            if len(digits) >= _SHORTEST_NUMBER:
                self._known.add_pattern(number(f"0*{digits}"), [digits])
            else:
                self._known.add_labelled(text)
        elif text.lower() in VOCABULARY or _is_short_number(text):
            self._known.add_labelled(text)
        elif text.isalpha():
            self._add_part(text)
        else:
            self._add_word(text)
            if sum(map(len, runs(text))) >= _SHORTEST_JOINED:
                self._known.add_pattern(separated_runs(text), spellings(max(runs(text), key=len)))

    def _add_word(self, text: str) -> None:
        if len(text) >= (1 if is_ideographic(text) else _SHORTEST_NAME):
            for spelling in spellings(text):
                self._known.add_word(spelling)

    def _add_date(self, written: str, *, short_year: bool) -> None:
        digits = re.sub(r"\D", "", written)[:_DATE_DIGITS]
        try:
            day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:  # an incomplete date, or no date
            self._add_id(written)
            return
        if self._days.get(day) is None or (short_year and not self._days[day]):
            self._days[day] = short_year
            self._dates.pop(day.year, None)
            in_two_digits = any(short for other, short in self._days.items() if other.year == day.year)
            self._signs[day.year] = year_signs(day.year, short_year=in_two_digits)

    def text(self, text: str) -> str:
        """Returns a text without the values that were learned."""
        lower = text.lower()
        with self._lock:
            # looks for the year first, because most lines contain none
            years = [year for year, signs in self._signs.items() if any(sign in lower for sign in signs)]
            dates = [self._dates_of(year) for year in years]
            for dates_of_year in dates:
                text = dates_of_year.sub(REMOVED, text)
            pattern = self._known.pattern_for(text)
        return text if pattern is None else pattern.sub(_replacement, text)

    def _dates_of(self, year: int) -> re.Pattern[str]:
        if year not in self._dates:
            days = {day: short for day, short in self._days.items() if day.year == year}
            pattern = "|".join(date_pattern(day, short_year=short) for day, short in sorted(days.items()))
            self._dates[year] = re.compile(pattern, re.IGNORECASE)
        return self._dates[year]

    def value(self, value: Any) -> Any:
        """Returns a JSON value without the values that were learned: in texts, keys and numbers, at any depth."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._labelled_value(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and self.text(str(value)) == REMOVED:
            return REMOVED
        return value

    def _labelled_value(self, label: str, value: Any) -> Any:
        if (
            not isinstance(value, bool)
            and isinstance(value, (str, int))
            and self.text(f"{label}={value}").endswith(REMOVED)
        ):
            return self.text(str(value)) if not self._known.is_labelled(str(value)) else REMOVED
        return self.value(value)


def _is_short_number(text: str) -> bool:
    """Returns whether an id could as well be a measure, such as ``1.5``, or a range, such as ``1-12``."""
    return not any(map(str.isalpha, text)) and sum(map(str.isdigit, text)) < _SHORTEST_NUMBER


def _replacement(found: re.Match[str]) -> str:
    return f"{found['label'] or ''}{REMOVED}"
