"""Scrubs log records that other code makes, before handlers of other code receive them."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["clean_names", "clean_record"]

_PLACE = ("pathname", "filename", "module", "funcName")
_NAMES = ("name", "levelname", *_PLACE, "threadName", "processName", "taskName")
_USUAL = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "MainThread", "MainProcess"})

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def clean_record(record: logging.LogRecord, scrubber: Scrubber) -> None:
    """Scrubs a record that was made without the scrubber: its text, its error, its additional fields.

    A part that holds nothing to remove is not changed, because handlers read more of a record than its text.
    """
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001  the error's own text would show the arguments
        record.msg, record.args = f"a message that cannot be formatted: {type(error).__name__}", ()
    else:
        if scrubber.text(text) != text or not _is_clean(record.msg, scrubber) or not _is_clean(record.args, scrubber):
            record.msg, record.args = scrubber.text(text), ()
    if record.exc_info and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if scrubber.text(trace) != trace:
            record.exc_text, record.exc_info = trace, None
    for name in ("exc_text", "stack_info"):
        if held := vars(record).get(name):
            vars(record)[name] = scrubber.text(held)
    clean_names(record, scrubber)
    for name in vars(record).keys() - _OF_EVERY_RECORD:
        held = vars(record)[name]
        try:
            vars(record)[name] = _clean_field(held, scrubber)
        except Exception:  # noqa: BLE001  its str() fails, so it cannot be printed either
            vars(record)[name] = f"<{type(held).__qualname__}>"


def clean_names(record: logging.LogRecord, scrubber: Scrubber) -> None:
    """Scrubs the names in a record: those of its logger, level, place, thread and task."""
    for name in _NAMES:
        held = getattr(record, name, None)
        if isinstance(held, str) and held not in _USUAL:
            setattr(record, name, scrubber.text(held))


def _is_clean(held: Any, scrubber: Scrubber) -> bool:
    """Returns whether a value holds nothing to remove; one whose ``str()`` fails cannot be printed, and is clean."""
    if isinstance(held, (list, tuple)):
        return all(_is_clean(one, scrubber) for one in held)
    if isinstance(held, dict) and scrubber.value(held) != _as_value(held):
        return False
    try:
        text = str(held)
    except Exception:  # noqa: BLE001  of whatever type
        return True
    return scrubber.text(text) == text


def _as_value(held: Any) -> Any:
    """Returns a value in the types that :meth:`Scrubber.value` returns, with nothing removed."""
    if isinstance(held, dict):
        return {str(key): _as_value(item) for key, item in held.items()}
    if isinstance(held, (list, tuple)):
        return [_as_value(item) for item in held]
    return held


def _clean_field(held: Any, scrubber: Scrubber) -> Any:
    if held is None or isinstance(held, (bool, int, float, str, list, tuple, dict)):
        cleaned = scrubber.value(held)
        return held if cleaned == _as_value(held) else cleaned
    text = str(held)
    return held if scrubber.text(text) == text else scrubber.text(text)
