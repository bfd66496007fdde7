"""The record that a job's memory runs short; the job's process writes it, and it is read after the process's death."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

__all__ = ["MEMORY_RECORD", "MemoryRecord"]

MEMORY_RECORD = "memory-" + 4 * "9e3779b9" + "/short"
"""Name of the record among the data of the job; no job would choose such a name."""

_MOST = 1 << 63
_LAST_S = 1 << 36
"""Seconds since 1970; a record with a later time was not written by a job."""


@dataclass(frozen=True)
class MemoryRecord:
    """How much memory a job used when it had reached nine tenths of the limit, and the time of that.

    Example:
        >>> record = MemoryRecord(95, 100, datetime(2024, 2, 29, tzinfo=timezone.utc))
        >>> MemoryRecord.of(record.as_value()) == record
        True
    """

    used_bytes: int
    limit_bytes: int
    at: datetime
    """The time by the clock of the job's machine."""

    def as_value(self) -> dict[str, object]:
        """Returns the record as plain values, which every store can hold."""
        return {"used_bytes": self.used_bytes, "limit_bytes": self.limit_bytes, "at_s": int(self.at.timestamp())}

    @classmethod
    def of(cls, value: object) -> MemoryRecord | None:
        """Returns the record that a stored value holds; None if the value is not a record."""
        if not isinstance(value, Mapping):
            return None
        numbers = [value.get(name) for name in ("used_bytes", "limit_bytes", "at_s")]
        used, limit, at_s = [one if isinstance(one, int) and 0 < one < _MOST else 0 for one in numbers]
        if not (used and limit and 0 < at_s < _LAST_S):
            return None
        return cls(used, limit, datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=at_s))
