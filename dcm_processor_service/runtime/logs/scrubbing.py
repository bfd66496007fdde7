"""Keeps patient attributes out of what is printed: knows this session's own names, ids and dates, and removes them.

What is removed is what the headers of the job's patient, study or series say, in the spellings of this module and of
:mod:`.written_dates`; nothing is guessed from how a text looks. What could as well be an ordinary word or number is
removed only where it is written as a name or stands after a word such as ``patient``. UIDs stay. SECURITY.md has the
rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from dcm_processor_service.models.network.identifying import IDS, NAMES
from dcm_processor_service.ports.forks import SharedLock
from dcm_processor_service.runtime.logs.ordinary_words import ALSO_NAMES, VOCABULARY
from dcm_processor_service.runtime.logs.written_dates import date_pattern, year_signs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dcm_processor_service.models import Job, Patient, SeriesRecord, Study

__all__ = ["REMOVED", "Scrubber"]

REMOVED = "[removed]"

_NAME_GROUPS = frozenset({"Alphabetic", "Ideographic", "Phonetic"})  # of a person name in DICOM's JSON (PS3.18, F.2.2)
_SHORTEST_NAME, _SHORTEST_ID, _SHORTEST_NUMBER = 2, 3, 5
_SHORTEST_PIECE = 4
"""Of a name with a hyphen, which is removed alone."""
_SHORTEST_JOINED = 6
"""Of an id in which letters meet digits, and of a name without a space, where a separator may stand or not."""
_FREE_LENGTH = 8
"""The least length of a text that is removed inside of words too."""

_FIRST_IDEOGRAPH = "\u2e80"
_DATE_DIGITS = 8
_NAME_SEPARATOR = r"(?:[\s^,_.=+-]|%5E|%20){0,3}"
_ID_SEPARATOR = r"[-_./' ’]?"
_LABEL = (
    r"(?<![^\W_])(?:(?:patient|pat|accession|study|medical record)(?:[ _-]?(?:id|no|nr|number|name))?s?|mrn|pid"
    r"|(?<!\w )(?<!\w_)id)"
)
"""What precedes an id that could also be an ordinary number or word."""
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


class Scrubber:
    """Removes what it has learned from texts.

    Several threads may use one.

    Example:
        >>> from dcm_processor_service.models import Patient
        >>> scrubber = Scrubber()
        >>> scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": "Doe^Jane", "PatientBirthDate": "19790131"}))
        >>> scrubber.text("cannot read /scans/DOE_jane.dcm of 1979-01-31, series 1.2.19790131.4")
        'cannot read /scans/[removed].dcm of [removed], series 1.2.19790131.4'
    """

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._patterns: set[str] = set()
        self._labelled: set[str] = set()
        self._days: dict[date, bool] = {}
        self._pattern: re.Pattern[str] | None = None
        self._dates: dict[int, tuple[tuple[str, ...], re.Pattern[str]]] = {}  # by year: its signs, and its dates
        self._lock = SharedLock()

    def __repr__(self) -> str:
        return f"Scrubber({len(self._words) + len(self._patterns)} texts, {len(self._days)} dates)"

    def learn(self, subject: Patient | Study | SeriesRecord | None) -> None:
        """Learns the person's values from a patient, study or series."""
        if subject is None:
            return
        with self._lock:
            before = (len(self._words), len(self._patterns), len(self._labelled))
            self._add_id(subject.patient_uid)
            for keyword, value in subject.metadata.items():
                self._learn(keyword, value)
            if before != (len(self._words), len(self._patterns), len(self._labelled)):
                self._pattern = None

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
            for text in str(value).split("\\"):  # how DICOM writes several values as one text
                if keyword in NAMES:
                    self._add_name(text.strip())
                elif keyword in IDS:
                    self._add_id(text.strip())
                elif keyword.endswith(("Date", "DateTime")):
                    self._add_date(text.strip(), short_year=keyword == "PatientBirthDate")

    def _add_name(self, name: str) -> None:
        parts = [part.strip(".") for part in re.split(r"[\^=\s,]+", name) if any(map(str.isalpha, part))]
        if "^" in name:
            self._add_word(name)
        for part in parts:
            self._add_part(part)
            for piece in part.split("-"):
                if len(piece) >= _SHORTEST_PIECE:
                    self._add_part(piece)
        self._patterns.update(_word(one) for one in _joined([part for part in parts if len(part) > 1]))

    def _add_part(self, part: str) -> None:
        """Learns a part of a name, or an id of letters, unless it is an ordinary word."""
        lower = part.lower()
        if lower in ALSO_NAMES:
            self._patterns.add(_word(_capitalised(part)))
        elif lower not in VOCABULARY and len(part) >= (1 if _is_ideographic(part) else _SHORTEST_NAME):
            self._add_word(part)

    def _add_id(self, text: str) -> None:
        runs = re.findall(r"[^\W\d_]+|\d+", text)
        if len(text) < _SHORTEST_ID:
            return
        if text.isdigit():
            number = text.lstrip("0")
            if len(number) >= _SHORTEST_NUMBER:
                self._patterns.add(_number(f"0*{number}"))
            else:
                self._labelled.add(text)
        elif text.lower() in VOCABULARY:
            self._labelled.add(text)
        elif text.isalpha():
            self._add_part(text)
        else:
            self._add_word(text)
            if sum(map(len, runs)) >= _SHORTEST_JOINED - 1:
                pattern = _word(_ID_SEPARATOR.join(runs))
                self._patterns.add(_number(pattern) if text[0].isdigit() else pattern)

    def _add_word(self, text: str) -> None:
        if len(text) >= (1 if _is_ideographic(text) else _SHORTEST_NAME):
            self._words.update(_spellings(text))

    def _add_date(self, written: str, *, short_year: bool) -> None:
        digits = re.sub(r"\D", "", written)[:_DATE_DIGITS]
        try:
            day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:  # not a date: half of one, or none at all
            self._add_id(written)
            return
        if self._days.get(day) is None or (short_year and not self._days[day]):
            self._days[day] = short_year
            self._dates.pop(day.year, None)

    def text(self, text: str) -> str:
        """Returns a text without what has been learned."""
        with self._lock:
            pattern = self._pattern = self._pattern or self._compiled()
            for year in {day.year for day in self._days} - self._dates.keys():
                self._dates[year] = self._compiled_dates(year)
            dates = list(self._dates.values())
        lower = text.lower()
        for signs, dates_of_year in dates:  # a look for the year first: most lines name none
            if any(sign in lower for sign in signs):
                text = dates_of_year.sub(REMOVED, text)
        return pattern.sub(_replacement, text)

    def value(self, value: Any) -> Any:
        """Returns a JSON value without what has been learned: in texts, keys and numbers, at any depth."""
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
            return self.text(str(value)) if str(value) not in self._labelled else REMOVED
        return self.value(value)

    def _compiled_dates(self, year: int) -> tuple[tuple[str, ...], re.Pattern[str]]:
        days = {day: short for day, short in self._days.items() if day.year == year}
        pattern = "|".join(date_pattern(day, short_year=short) for day, short in sorted(days.items()))
        return year_signs(year, short_year=any(days.values())), re.compile(pattern, re.IGNORECASE)

    def _compiled(self) -> re.Pattern[str]:
        free = {word for word in self._words if len(word) >= _FREE_LENGTH or _is_ideographic(word)}
        choices = [
            *sorted(self._patterns, key=len, reverse=True),
            _any(free),
            _word(rf"(?:{_any(self._words - free)})"),
            _after_label(rf"(?:{_any(self._labelled)})"),
        ]
        return re.compile("|".join(choices), re.IGNORECASE)


def _replacement(found: re.Match[str]) -> str:
    return f"{found['label'] or ''}{REMOVED}"


def _word(pattern: str) -> str:
    return rf"(?<![^\W_]){pattern}(?![^\W_])"


def _number(pattern: str) -> str:
    """Returns the pattern of digits that are not part of a longer number or of a UID."""
    return rf"(?<!\d)(?<!\d\.){pattern}(?!\d)(?!\.\d)"


def _after_label(pattern: str) -> str:
    return rf"(?P<label>{_LABEL}[\s:=#'\"(\[.]{{1,4}}){pattern}(?![^\W_])(?!\.\d)"


def _joined(parts: list[str]) -> Iterator[str]:
    """Yields the patterns of a name's first two parts, in both orders, with or without something between them."""
    if not parts[1:]:
        return
    first, second = parts[:2]
    ordinary = all(part.lower() in VOCABULARY for part in (first, second))
    least = _NAME_SEPARATOR if len(first + second) >= _SHORTEST_JOINED else _NAME_SEPARATOR.replace("{0,", "{1,")
    for pair in ((first, second), (second, first)):
        yield least.join(map(_capitalised if ordinary else _any_spelling, pair))


def _any_spelling(text: str) -> str:
    return rf"(?:{_any(_spellings(text))})"


def _capitalised(text: str) -> str:
    """Returns the pattern of a text that is written as a name: ``Young``, ``YOUNG``, but not ``young``."""
    return rf"(?-i:{_any({text.upper(), text.capitalize()} | ({text} if text[:1].isupper() else set()))})"


def _is_ideographic(text: str) -> bool:
    """Returns whether one character is a name in the script of a text, in which nothing stands between words."""
    return any(character >= _FIRST_IDEOGRAPH for character in text)


def _any(texts: Iterable[str]) -> str:
    """Returns the pattern of any of these, longest first; of none it never matches."""
    ordered = sorted(texts, key=lambda text: (-len(text), text))
    return "|".join(map(re.escape, ordered)) or r"(?!)"


def _spellings(text: str) -> set[str]:
    """Returns a text as it is, without its accents, and as programs write it where only ASCII is allowed."""
    found = {text}
    if not text.isascii():
        for form in ("NFC", "NFD"):
            found.add(unicodedata.normalize(form, text))
        for plain in (unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode(), text.translate(_GERMAN)):
            if plain.isascii() and len(plain) >= _SHORTEST_PIECE:
                found.add(plain)
        found.add(text.encode("ascii", "backslashreplace").decode())
        found.add("".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in text))
        for encoding in ("utf-8", "latin-1"):
            found.add(repr(text.encode(encoding, "replace"))[2:-1])
    return found
