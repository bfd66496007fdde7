"""Makes times from headers comparable, be they TM, DA followed by TM, or DT (PS3.5, section 6.2)."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["clock_kind", "clock_times"]

# also matches the colons and dots with which old files, in ACR-NEMA's format, write times and dates
_CLOCK = re.compile(
    r"(?:(?P<date>\d{8}|\d{4}\.\d{2}\.\d{2}))?"
    r"(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?)?"
    r"(?P<offset>[+-]\d{4})?"
)
_DAY_US = 24 * 3600 * 10**6


def clock_times(values: Sequence[str | None]) -> list[int | None]:
    """Returns times in µs that can be compared with each other; all are None if their order is not certain.

    The order is not certain if a time is absent or malformed, or if only some times have a date or an offset from UTC.
    It is not certain either if times without a date, or all with the same date, span more than half a day, because some
    of them may belong to the next day.
    """
    unknown: list[int | None] = [None] * len(values)
    found = [None if value is None else _CLOCK.fullmatch(value) for value in values]
    matches = [match for match in found if match is not None]
    kinds = {(match["date"] is None, match["offset"] is None) for match in matches}
    if len(matches) < len(values) or len(kinds) > 1:
        return unknown
    try:
        times = [_microseconds(match) for match in matches]
    except ValueError:
        return unknown
    is_one_date = len({match["date"] for match in matches}) == 1
    # no scan takes half a day, so a scan with such times went on past midnight
    return unknown if is_one_date and max(times) - min(times) > _DAY_US // 2 else [*times]


def clock_kind(value: str | None) -> tuple[bool, bool] | None:
    """Returns whether a time lacks a date, and whether it lacks an offset from UTC; None if the value is not a time.

    Only times for which both answers are the same can be compared.

    Example:
        >>> clock_kind("20250102120000"), clock_kind("1200"), clock_kind("noon")
        ((False, True), (True, True), None)
    """
    match = None if value is None else _CLOCK.fullmatch(value)
    return None if match is None else (match["date"] is None, match["offset"] is None)


def _microseconds(match: re.Match[str]) -> int:
    day = match["date"].replace(".", "") if match["date"] else ""
    days = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal() if day else 0
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004 60 is a leap second
        raise ValueError
    offset = match["offset"] or "+0000"
    minute -= int(f"{offset[0]}1") * (int(offset[1:3]) * 60 + int(offset[3:]))
    whole = ((days * 24 + hour) * 60 + minute) * 60 + second
    return whole * 10**6 + int((match["fraction"] or "").ljust(6, "0"))
