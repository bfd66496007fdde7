"""Replaces each identifying text by one substitute, the same in headers, values, keys, file names and texts.

Each pull makes its own key and writes it nowhere, so nobody can find out afterwards which UID became which.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dcm_processor_service.models import Patient
from dcm_processor_service.runtime.logs.scrubbing import REMOVED, Scrubber

if TYPE_CHECKING:
    from dcm_processor_service.models import SeriesRecord, Study

__all__ = ["Substitution"]

_DOTTED = re.compile(r"(?<!\d)\d+(?:\.\d+){2,}")
_JOINED = re.compile(r"(?<!\d)\d+([_-])\d+(?:\1\d+){4,}")
"""A UID with another character in place of its dots, as in file names."""
_ROOTS = frozenset("012")
_MOST_COMPONENTS = 32
_REGISTERED = "1.2.840.10008."
_UID_COMPONENTS, _UID_CHARACTERS = 6, 20
"""A dotted text with at least so many components, or characters, is taken for a UID even if no header has it; a shorter
one may be a version or an address."""
_PLATFORM_ID = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-f]{24}|[0-9a-f]{64})(?![0-9a-zA-Z])")
_DATE = re.compile(r"(?<![\d.])(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)(?!\.\d)")
_TIME_OF_DAY = r"(?:[01]\d|2[0-3])(?:(:?)[0-5]\d(?:\1(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"  # with colons in ACR-NEMA
_TIME = re.compile(_TIME_OF_DAY, re.ASCII)
_AFTER_DATE = re.compile(rf"(?:{_TIME_OF_DAY})?(?:[+-](?:0\d|1[0-4])[0-5]\d)?", re.ASCII)
_WHOLE_IDS = frozenset({"AccessionNumber", "IssuerOfPatientID", "OtherPatientIDs", "PatientID"})
_SHORTEST_ID = 3
"""Characters of the shortest id that is replaced. A log keeps short numbers, which may mean anything; a pull replaces
an id even if it is as short as this."""
_LEAST_DAYS, _MOST_DAYS = 365, 3650
_MOST_KEPT_CHARACTERS = 1024
"""Most characters of a text whose substitute is remembered: texts of headers repeat in each instance, files do not."""
_UID_BYTES = 16
_MOST_OF_A_WHOLE_FLOAT = 1e16
"""From this number on, a float cannot hold every whole number."""


class Substitution:
    """The known values of one patient, and their substitutes."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._scrubber = Scrubber()
        self._learned: set[tuple[str, str]] = set()
        self._uids: set[str] = set()
        self._ids: dict[str, str] = {}
        self._days: set[date] = set()
        self._births: set[date] = set()
        self._removed_keys: frozenset[str] = frozenset()
        self._whole: set[str] = set()
        self._whole_numbers: set[str] = set()
        self._whole_pattern: re.Pattern[str] | None = None
        number = int.from_bytes(self._digest("days")[:4], "big")
        self._shift = timedelta(days=-(_LEAST_DAYS + number % (_MOST_DAYS - _LEAST_DAYS)))
        self.patient_id = f"PULLED-{self._digest('patient').hex()[:12].upper()}"
        self._text = lru_cache(maxsize=4096)(self._substituted)

    def __repr__(self) -> str:
        return f"Substitution({len(self._learned)} attributes, {len(self._uids)} UIDs)"

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def learn(self, keyword: str, value: str) -> None:
        """Remembers a value of the person for its removal; the keyword states whether it is a name, an id or a date."""
        if (keyword, value) in self._learned or not value.strip():
            return
        self._learned.add((keyword, value))
        self._scrubber.learn(Patient(id="", metadata={keyword: value}))
        if keyword in _WHOLE_IDS and len(value.strip()) >= _SHORTEST_ID:
            self._whole.add(value.strip())
            digits = value.strip().lstrip("0")
            self._whole_numbers |= {digits} if len(digits) >= _SHORTEST_ID else set()
            self._whole_pattern = None
        if keyword.endswith(("Date", "DateTime")):
            day = _day(value.strip().replace(".", "")[:8])
            (self._births if "Birth" in keyword else self._days).update({day} if day else ())
        self._text.cache_clear()

    def learn_subject(self, subject: Patient | Study | SeriesRecord) -> None:
        """Learns the values in the platform's record of a patient, study or series."""
        self._scrubber.learn(subject.model_copy(update={"patient_uid": ""}))
        for keyword, value in subject.metadata.items():
            if isinstance(value, str) and (keyword in _WHOLE_IDS or keyword.endswith(("Date", "DateTime"))):
                self.learn(keyword, value)
        self._text.cache_clear()

    def learn_uid(self, uid: str) -> None:
        """Learns a UID, so that it is found in a text even if it has few components."""
        if uid not in self._uids:
            self._uids.add(uid)
            self._text.cache_clear()

    def learn_id(self, platform_id: str, local_id: str) -> None:
        """Learns which local id replaces an id of the platform."""
        self._ids[platform_id] = local_id
        self._text.cache_clear()

    def remove_values_of(self, keys: frozenset[str]) -> None:
        """Learns the keys of session data whose values are removed, whatever they are."""
        self._removed_keys = keys

    def uid(self, uid: str) -> str:
        """Returns the substitute of a UID, a UID below ``2.25``; a UID of the standard (PS3.6) is unchanged."""
        if not uid or uid.startswith(_REGISTERED):
            return uid
        return f"2.25.{int.from_bytes(self._digest(f'uid {uid}')[:_UID_BYTES], 'big')}"

    def moved(self, written: str) -> str:
        """Returns a value of VR DA or DT, moved back by this pull's days; empty if it is not a date (PS3.5, 6.2)."""
        plain = re.sub(r"^(\d{4})\.(\d{2})\.(\d{2})", r"\1\2\3", written.strip())  # dates of ACR-NEMA have dots
        day = _day(plain[:8]) if _AFTER_DATE.fullmatch(plain[8:]) else None
        shifted = self._shifted(day) if day else None
        return f"{shifted:%Y%m%d}{plain[8:]}" if shifted and shifted.year > 999 else ""  # noqa: PLR2004  four digits

    @staticmethod
    def time(written: str) -> str:
        """Returns a value of VR TM; empty where it is not a time of day."""
        return written if _TIME.fullmatch(written.strip()) else ""

    def _shifted(self, day: date) -> date | None:
        try:
            return day + self._shift
        except OverflowError:
            return None

    def text(self, text: str) -> str:
        """Returns a text with UIDs and ids replaced, known dates moved, other known values of the person removed."""
        if not text:
            return text
        return self._text(text) if len(text) <= _MOST_KEPT_CHARACTERS else self._substituted(text)

    def _substituted(self, text: str) -> str:
        text = _PLATFORM_ID.sub(lambda found: self._ids.get(found[0], found[0]), text)
        text = _DOTTED.sub(self._uid_in_text, text)
        text = _JOINED.sub(self._joined_uid_in_text, text)
        text = _DATE.sub(self._date_in_text, text)
        if self._whole:
            text = self._standalone_id().sub(REMOVED, text)
        return self._scrubber.text(text)

    def _standalone_id(self) -> re.Pattern[str]:
        """Returns the pattern of an id that is not a part of a longer number or UID."""
        if self._whole_pattern is None:
            choices = "|".join(map(re.escape, sorted(self._whole, key=len, reverse=True)))
            alone = rf"(?<![0-9A-Za-z])(?<!\d\.)(?:{choices})(?![0-9A-Za-z])(?!\.\d)"
            self._whole_pattern = re.compile(alone, re.IGNORECASE)
        return self._whole_pattern

    def _uid_in_text(self, found: re.Match[str]) -> str:
        """Returns numbers with dots between them, with the UID among them replaced."""
        parts = found[0].split(".")
        start = next((number for number, part in enumerate(parts) if part in _ROOTS), len(parts))
        uid = ".".join(parts[start:])  # the numbers before belong to something else, as in 3.1.2.840
        long = len(parts) - start >= _UID_COMPONENTS or len(uid) >= _UID_CHARACTERS
        if not long and (start or uid not in self._uids):
            return found[0]
        return ".".join([*parts[:start], self.uid(uid)])

    def _joined_uid_in_text(self, found: re.Match[str]) -> str:
        """Returns numbers that underscores or hyphens join, and replaces the known UIDs among them."""
        sign, parts = found[1], found[0].split(found[1])
        done: list[str] = []
        start = 0
        while start < len(parts):
            ends = range(min(start + _MOST_COMPONENTS, len(parts)), start + 4, -1)
            end = next((end for end in ends if ".".join(parts[start:end]) in self._uids), start)
            done.append(self.uid(".".join(parts[start:end])).replace(".", sign) if end > start else parts[start])
            start = max(end, start + 1)
        return sign.join(done)

    def _date_in_text(self, found: re.Match[str]) -> str:
        """Returns a date in its own spelling, moved if it is a known day."""
        day = _day(found[1] + found[3] + found[4])
        if day is None or day not in self._days:
            return found[0]
        shifted = self._shifted(day)
        return REMOVED if shifted is None else f"{shifted:%Y}{found[2]}{shifted:%m}{found[2]}{shifted:%d}"

    def value(self, value: Any) -> Any:
        """Returns a value of session data with its texts replaced as :meth:`text` does, at any depth, in keys as well.

        The value has to be in its normal form. Numbers and datetimes are replaced or moved if they are known.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, datetime):
            return self._datetime(value)
        if isinstance(value, bytes):
            return self.content(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_OF_A_WHOLE_FLOAT:
            return value if self.value(int(value)) == int(value) else REMOVED
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in self._whole_numbers:
            return REMOVED
        return self._scrubber.value(value)

    def _datetime(self, value: datetime) -> datetime | str:
        """Removes a datetime of the birth, moves a datetime of another known day, and keeps any other datetime.

        Because of time zones, a datetime belongs to a known day if it is at most one day away from it.
        """
        if any(abs(value.date() - day) <= timedelta(days=1) for day in self._births):
            return REMOVED
        if all(abs(value.date() - day) > timedelta(days=1) for day in self._days):
            return value
        try:
            return value + self._shift
        except OverflowError:
            return REMOVED

    def _mapping(self, value: dict[str, Any]) -> dict[str, Any]:
        """Returns a dictionary with its keys and values replaced."""
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = self.unused(self.text(key), found)
            cleaned = self.value(item)
            if key in self._removed_keys:
                cleaned = _removed(cleaned)
            if isinstance(item, (str, int)) and not isinstance(item, bool) and cleaned == item:
                cleaned = self._scrubber.value({key: item}).get(self._scrubber.text(key), REMOVED)
            found[name] = cleaned
        return found

    @staticmethod
    def unused(name: str, taken: Any) -> str:
        """Returns a name, with a number added if the name is taken."""
        number, chosen = 1, name
        while chosen in taken:
            number += 1
            chosen = f"{name} {number}"
        return chosen

    def content(self, content: bytes) -> bytes:
        """Returns bytes of text with the replacements of :meth:`text`, and other bytes unchanged.

        Bytes that are not text but hold a known value become empty.
        """
        try:
            return self.text(content.decode("utf-8")).encode("utf-8")
        except UnicodeDecodeError:
            plain = content.decode("latin-1")
            return content if self.text(plain) == plain else b""


def _removed(item: Any) -> Any:
    """Returns the substitute for the value of an attribute removed from headers; a container keeps its shape."""
    if isinstance(item, dict):
        return {key: _removed(one) for key, one in item.items()}
    if isinstance(item, list):
        return [_removed(one) for one in item]
    return item if item is None or item == "" else REMOVED


def _day(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
