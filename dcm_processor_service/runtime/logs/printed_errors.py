"""Removes the patient's values from errors that leave a job, wherever these are raised and printed."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import CallbackFailedError, DcmProcessorError
from dcm_processor_service.runtime.execution.results import readable

if TYPE_CHECKING:
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["formatted", "own_frames", "printable", "scrub_error"]

_MOST_ERRORS = 1000
_LIBRARIES = re.compile(
    "|".join(
        [
            r"[/\\](?:site|dist)-packages[/\\]",
            r"^<frozen ",
            re.escape(sysconfig.get_paths()["stdlib"]) + r"[/\\]",
            re.escape(str(Path(__file__).parents[2])) + r"[/\\]",
        ]
    )
)
"""Files that are not the user's own."""
_PARTS = ("message", "filename", "filename2", "strerror", "msg", "text", "reason", "name", "path")
"""Attributes from which builtin errors make their text."""


def formatted(error: BaseException | None) -> str:
    """Returns an error with its traceback, as the interpreter prints it."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) if error else ""


def own_frames(error: BaseException | None) -> str:
    """Returns an error as the interpreter prints it, but only with the frames of the user's own code.

    Frames of this package, of other packages and of Python itself are counted, not shown. If there are no other frames,
    all are shown; but if the error is one of this package, none are shown, because its sentence is enough.
    """
    if error is None:
        return ""
    report = traceback.TracebackException.from_exception(error)
    report.__cause__, report.__context__ = None, None
    kept = [frame for frame in report.stack if not _LIBRARIES.search(frame.filename)]
    if not kept and isinstance(error, DcmProcessorError):
        return "".join(report.format_exception_only())
    if not kept:
        return formatted(error)
    hidden = len(report.stack) - len(kept)
    report.stack = traceback.StackSummary.from_list(kept)
    more = f"({hidden} frame{'' if hidden == 1 else 's'} of libraries left out)\n" if hidden else ""
    return "".join(report.format()) + more


def scrub_error(error: BaseException, scrubber: Scrubber) -> None:
    """Removes what the scrubber knows from an error, from those that led to it, and from those that it groups.

    This happens in place, so that type, cause and traceback stay. Some texts cannot be changed, such as the message of
    an ExceptionGroup; :func:`printable` replaces such errors.
    """
    for one in _chain(error):
        cleaned = tuple(_clean(part, scrubber) for part in one.args)
        if any(new is not old for new, old in zip(cleaned, one.args, strict=True)):
            one.args = cleaned
        if isinstance(one, SystemExit) and one.code is not None and not isinstance(one.code, int):
            text = str(one.code)  # the interpreter prints this text
            if scrubber.text(text) != text:
                one.code = scrubber.text(text)
        for name in {*_PARTS, *getattr(one, "__dict__", {})}:
            held = getattr(one, name, None)
            new = _clean(held, scrubber)
            if new is not held:
                try:
                    setattr(one, name, new)
                except AttributeError:  # read-only; code that prints the error calls printable()
                    continue


def _clean(part: Any, scrubber: Scrubber) -> Any:
    """Returns the same object unless there is something to remove."""
    if isinstance(part, bytes):
        text = part.decode("utf-8", "backslashreplace")
        return part if scrubber.text(text) == text else scrubber.text(text).encode()
    if isinstance(part, (str, list, tuple, dict)):
        new = scrubber.value(part)
        same = new == (list(part) if isinstance(part, tuple) else part)
        return part if same else new
    return part


def _chain(error: BaseException) -> list[BaseException]:
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _MOST_ERRORS:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            waiting += [one.__cause__, one.__context__]
            waiting += [part for part in getattr(one, "exceptions", ()) if isinstance(part, BaseException)]
    return list(found.values())


def printable(error: BaseException, scrubber: Scrubber, message: str | None = None) -> BaseException:
    """Returns the error, scrubbed in place, or a replacement if its text still holds patient values.

    Args:
        error: The error that is going to be raised.
        scrubber: Knows the texts that must not be printed.
        message: The message of the replacement; the error's own when not given.
    """
    scrub_error(error, scrubber)
    shown = formatted(error)
    cleaned = readable(scrubber.text(shown))
    if cleaned == shown:
        return error
    own = readable(scrubber.text(str(error))) if message is None else message
    replacement = CallbackFailedError(f"{own}\n\n{cleaned}")
    replacement.__suppress_context__ = True
    return replacement
