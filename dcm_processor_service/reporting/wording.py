"""Numbers and states as a page writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dcm_processor_service.hypertext import chip

if TYPE_CHECKING:
    from dcm_processor_service.hypertext import Html
    from dcm_processor_service.models.run_report import JobReport

__all__ = ["memory_text", "seconds_text", "short_json", "state_chip", "uid_text", "volume_text"]

_MINUTE_S = 60
_STATES = {0: ("done", "ok"), 2: ("configuration", "bad"), 3: ("try again", "warn"), 143: ("asked to end", "warn")}


def seconds_text(seconds: float) -> str:
    """Returns a duration as text.

    Example:
        >>> seconds_text(0.042), seconds_text(12.34), seconds_text(125)
        ('42 ms', '12.3 s', '2 min 5 s')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{int(seconds // _MINUTE_S)} min {seconds % _MINUTE_S:.0f} s"


def memory_text(size_bytes: int) -> str:
    """Returns a number of bytes as text, with a unit that suits its size.

    Example:
        >>> memory_text(512), memory_text(3_200_000), memory_text(5 * 2**30)
        ('512 B', '3.1 MiB', '5.0 GiB')
    """
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:  # noqa: PLR2004 the next unit
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def short_json(value: object, most: int = 200) -> str:
    """Returns a value as JSON, cut where it is long.

    Example:
        >>> short_json({"ok": True}), short_json("a" * 20, most=5)
        ('{"ok": true}', '"aaaa… (22 characters)')
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def volume_text(volume_ml: float) -> str:
    """Returns a volume as text, in ml.

    Example:
        >>> volume_text(1512.26), volume_text(0.0164), volume_text(0)
        ('1,512.3 ml', '0.0164 ml', '0 ml')
    """
    return f"{volume_ml:,.1f} ml" if volume_ml >= 1 else f"{volume_ml:.3g} ml"


def state_chip(job: JobReport) -> Html:
    """Returns a label with a word or two that says how a job ended."""
    word, state = _STATES.get(job.exit_code, ("failed", "bad"))
    return chip(word, state)


def uid_text(uid: str) -> str:
    """Returns a UID, shortened in its middle where it is long.

    Example:
        >>> uid_text("1.2.826.0.1.3680043.8.498.11111111111111111111111111111111")
        '1.2.826.0.1…1111111111111111'
    """
    start, end = 11, 16
    return uid if len(uid) <= start + end + 1 else f"{uid[:start]}…{uid[-end:]}"
