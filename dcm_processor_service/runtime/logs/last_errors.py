"""Uncaught errors: of ``__del__``, of atexit functions, of the interpreter's end.

The interpreter prints them itself, past all logging, and most of them after the job's logging has ended. So the hooks
that print them stay in place until the process ends.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dcm_processor_service.runtime.logs.printed_errors import formatted, scrub_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["scrub_last_errors"]

_MOST_SCRUBBERS = 100


class _LastErrors:
    """The hooks of this process; their needs are attributes, because modules are empty at the very end."""

    def __init__(self) -> None:
        self._scrubbers: list[Scrubber] = []
        self._formatted: Callable[[BaseException | None], str] = formatted
        self._scrub: Callable[[BaseException, Scrubber], None] = scrub_error
        self._unraisable: Callable[[sys.UnraisableHookArgs], object] | None = None
        self._uncaught: Callable[[type[BaseException], BaseException, TracebackType | None], object] | None = None
        self._sys = sys

    def add(self, scrubber: Scrubber) -> None:
        """Has the hooks remove what a scrubber knows, now or later."""
        if scrubber not in self._scrubbers:
            self._scrubbers = [*self._scrubbers, scrubber][-_MOST_SCRUBBERS:]
        if sys.unraisablehook != self.unraisable:
            self._unraisable = None if sys.unraisablehook is sys.__unraisablehook__ else sys.unraisablehook
            sys.unraisablehook = self.unraisable
        if sys.excepthook != self.uncaught:
            self._uncaught = None if sys.excepthook is sys.__excepthook__ else sys.excepthook
            sys.excepthook = self.uncaught

    def unraisable(self, failure: sys.UnraisableHookArgs) -> None:
        """Prints an error that cannot be raised; a hook of other code receives the scrubbed error."""
        error = failure.exc_value
        if error is not None:
            self._clean(error)
        if self._unraisable is not None:
            self._unraisable(failure)
            return
        what = failure.err_msg or "Exception ignored in"
        where = getattr(failure.object, "__qualname__", type(failure.object).__qualname__)
        try:
            shown = self._formatted(error)
        except ImportError:  # from Python 3.13 on, when the interpreter has come too far to look at source lines
            shown = f"{type(error).__qualname__}: {error}\n"
        self._print(f"{what}: {where}\n{shown}")

    def uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Prints an error that ends the process; a hook of other code receives the scrubbed error."""
        self._clean(error)
        if self._uncaught is not None:
            self._uncaught(kind, error, trace)
        else:
            self._print(self._formatted(error))

    def _clean(self, error: BaseException) -> None:
        for scrubber in self._scrubbers:
            self._scrub(error, scrubber)

    def _print(self, text: str) -> None:
        for scrubber in self._scrubbers:
            text = scrubber.text(text)
        if self._sys.stderr is not None:
            self._sys.stderr.write(text)


_last_errors = _LastErrors()


def scrub_last_errors(scrubber: Scrubber) -> None:
    """Scrubs uncaught errors that this process prints, until it ends."""
    _last_errors.add(scrubber)
