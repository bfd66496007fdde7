"""Scrubs lines and warnings outside of the job's own log, from other handlers and from code that runs after the job.

A thread that outlives the job, an atexit function or a task that nobody awaited may log, warn and fail when the job's
logging has ended. Fields that a library adds by ``extra``, records of a library's own record factory, and errors inside
of a handler do not pass through the job's log. So these hooks stay in place until the process ends.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dcm_processor_service.runtime.logs.printed_errors import scrub_error
from dcm_processor_service.runtime.logs.records import clean_record

if TYPE_CHECKING:
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["scrub_last_lines"]

_CLEAN = "_texts_are_clean"

_Hook = Callable[..., None]


class _LastLines:
    """The hooks of this process; they remove the values that the scrubber of its latest job knows.

    Each hook calls the one function that it replaced. So no hook calls itself, even if other code has replaced one of
    these hooks by its own, which was then replaced by a new one of these.
    """

    def __init__(self) -> None:
        self._scrubber: Scrubber | None = None

    def serve(self, scrubber: Scrubber) -> None:
        """Puts each hook in place, unless it is already the current one."""
        self._scrubber = scrubber
        made: list[tuple[Any, str, Callable[[_Hook], _Hook]]] = [
            (logging.Logger, "handle", self._handled),
            (logging.Handler, "handleError", self._handler_failed),
            (warnings, "showwarning", self._warned),
            (threading, "excepthook", self._thread_failed),
        ]
        for holder, name, over in made:
            before = getattr(holder, name)
            if not hasattr(before, _CLEAN):
                hook = over(before)
                setattr(hook, _CLEAN, True)
                setattr(holder, name, hook)

    def _handled(self, before: _Hook) -> _Hook:
        def handled(logger: logging.Logger, record: logging.LogRecord) -> None:
            if self._scrubber is not None:
                clean_record(record, self._scrubber)
            before(logger, record)

        return handled

    def _handler_failed(self, before: _Hook) -> _Hook:
        def failed(handler: logging.Handler, record: logging.LogRecord) -> None:
            """Removes the patient's values from the error of a handler before the standard library prints it."""
            error = sys.exc_info()[1]
            if error is not None and self._scrubber is not None:
                scrub_error(error, self._scrubber)
            before(handler, record)

        return failed

    def _warned(self, before: _Hook) -> _Hook:
        def warned(message: Warning | str, *where: Any, **more: Any) -> None:
            scrubber = self._scrubber
            if scrubber is not None:
                if isinstance(message, Warning):
                    scrub_error(message, scrubber)
                else:
                    message = scrubber.text(message)
                where = tuple(scrubber.text(part) if isinstance(part, str) else part for part in where)
            before(message, *where, **more)

        return warned

    def _thread_failed(self, before: _Hook) -> _Hook:
        def failed(failure: threading.ExceptHookArgs) -> None:
            if failure.exc_value is not None and self._scrubber is not None:
                scrub_error(failure.exc_value, self._scrubber)
            before(failure)

        return failed


_last_lines = _LastLines()


def scrub_last_lines(scrubber: Scrubber) -> None:
    """Removes what a scrubber knows from lines and warnings until the process ends or its next job begins."""
    _last_lines.serve(scrubber)
