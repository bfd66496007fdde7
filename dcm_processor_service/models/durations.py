"""Durations as the manifest of a service spells them, such as ``10m``."""

from __future__ import annotations

import re

from dcm_processor_service.errors import UnsupportedValueError

__all__ = ["duration_s"]

_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_S = 3650 * 86400
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)\s*")


def duration_s(text: str | float | None) -> float | None:
    """Returns the seconds of a duration, or None for no limit.

    None, an empty text, ``-1``, 0 or less, and more than ten years, which system timers cannot hold, mean no limit.

    Raises:
        UnsupportedValueError: The text is not a duration.

    Example:
        >>> duration_s("10m"), duration_s("1h30m"), duration_s(45), duration_s("")
        (600.0, 5400.0, 45.0, None)
    """
    if text is None or isinstance(text, bool):
        return None
    if isinstance(text, (int, float)):
        return float(text) if 0 < text <= _MOST_S else None
    wanted = text.strip().lower()
    if not wanted or wanted == "-1":
        return None
    parts = _PART.findall(wanted)
    if _PART.sub("", wanted):
        raise UnsupportedValueError(f"{text!r} is not a duration; write 90s, 10m, 2h or 1h30m")
    wanted_s = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return wanted_s if 0 < wanted_s <= _MOST_S else None
