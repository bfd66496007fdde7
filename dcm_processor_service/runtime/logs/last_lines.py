"""Lines and warnings that the job's own log does not make: of other handlers, and of code that runs after the job.

A thread that goes on, a function of atexit, a task that nobody waited for: they log, warn and fail when the job's
logging has ended. What fields a library adds by ``extra``, which record factory it sets, what a handler fails of: that
passes the log by. So these hooks stay in place until the process ends.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from dcm_processor_service.runtime.logs.printed_errors import scrub_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["scrub_last_lines"]

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CLEAN = "_texts_are_clean"


class _LastLines:
    """The hooks of this process; they remove what the scrubber of its latest job knows."""

    def __init__(self) -> None:
        self._scrubber: Scrubber | None = None
        self._handle: Callable[..., Any] = logging.Logger.handle
        self._handle_error: Callable[..., Any] = logging.Handler.handleError
        self._show: Callable[..., Any] = warnings.showwarning
        self._fail: Callable[..., Any] = threading.excepthook

    def serve(self, scrubber: Scrubber) -> None:
        """Puts the hooks in place, where others have not been put over them."""
        self._scrubber = scrubber
        if not hasattr(logging.Logger.handle, _CLEAN):
            self._handle, handle = logging.Logger.handle, self._handled
            self._handle_error, handle_error = logging.Handler.handleError, self._handler_failed

            def handled(logger: logging.Logger, record: logging.LogRecord) -> None:
                handle(logger, record)

            def failed(handler: logging.Handler, record: logging.LogRecord) -> None:
                handle_error(handler, record)

            setattr(handled, _CLEAN, True)
            vars_of_logger: Any = logging.Logger
            vars_of_logger.handle = handled
            vars_of_handler: Any = logging.Handler
            vars_of_handler.handleError = failed
        if warnings.showwarning != self._warned:
            self._show, warnings.showwarning = warnings.showwarning, self._warned
        if threading.excepthook != self._thread_failed:
            self._fail, threading.excepthook = threading.excepthook, self._thread_failed

    def _handled(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        if self._scrubber is not None:
            _clean_record(record, self._scrubber)
        self._handle(logger, record)

    def _handler_failed(self, handler: logging.Handler, record: logging.LogRecord) -> None:
        """Has a handler tell what it failed of, which the standard library prints itself."""
        error = sys.exc_info()[1]
        if error is not None and self._scrubber is not None:
            scrub_error(error, self._scrubber)
        self._handle_error(handler, record)

    def _warned(self, message: Warning | str, *where: Any, **more: Any) -> None:
        scrubber = self._scrubber
        if scrubber is not None:
            if isinstance(message, Warning):
                scrub_error(message, scrubber)
            else:
                message = scrubber.text(message)
            where = tuple(scrubber.text(part) if isinstance(part, str) else part for part in where)
        self._show(message, *where, **more)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None and self._scrubber is not None:
            scrub_error(failure.exc_value, self._scrubber)
        self._fail(failure)


def _clean_record(record: logging.LogRecord, scrubber: Scrubber) -> None:
    """Removes from a record what whoever made it has not removed: its text, its error, its additional fields."""
    if record.args or scrubber.text(str(record.msg)) != record.msg:
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001  what logging would print of it shows the arguments
            text = f"a message that cannot be formatted: {type(error).__name__}"
        record.msg, record.args = scrubber.text(text), ()
    if record.exc_info and record.exc_info[1] is not None:
        record.exc_text = scrubber.text("".join(traceback.format_exception(*record.exc_info)).rstrip())
        record.exc_info = None
    for name in vars(record).keys() - _OF_EVERY_RECORD:
        held = vars(record)[name]
        try:
            vars(record)[name] = _clean_field(held, scrubber)
        except Exception:  # noqa: BLE001  it has no text, so it cannot be printed either
            vars(record)[name] = f"<{type(held).__qualname__}>"


def _clean_field(held: Any, scrubber: Scrubber) -> Any:
    if held is None or isinstance(held, (bool, int, float, str, list, tuple, dict)):
        cleaned = scrubber.value(held)
        return held if cleaned == (list(held) if isinstance(held, tuple) else held) else cleaned
    text = str(held)
    return held if scrubber.text(text) == text else scrubber.text(text)


_last_lines = _LastLines()


def scrub_last_lines(scrubber: Scrubber) -> None:
    """Has this process log and warn without what the scrubber knows, until it ends or its next job begins."""
    _last_lines.serve(scrubber)
