"""Scrubs uncaught errors: those of ``__del__``, of atexit functions, and of the end of the interpreter.

The interpreter prints them itself, without logging, and most of them after the job's logging has ended. So the hooks
that print them stay in place until the process ends.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dcm_processor_service.runtime.logs.printed_errors import formatted, scrub_error
from dcm_processor_service.runtime.logs.terminal_text import UNPRINTABLE, escape_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["scrub_last_errors"]

T = TypeVar("T")

_MOST_SCRUBBERS = 100
_CLEAN = "_errors_are_clean"


class _LastErrors:
    """The hooks of this process; they use attributes of their own, since the interpreter empties modules at its end."""

    def __init__(self) -> None:
        self._scrubbers: list[Scrubber] = []
        self._formatted: Callable[[BaseException | None], str] = formatted
        self._visible: Callable[[str], str] = partial(UNPRINTABLE.sub, escape_of)
        self._scrub: Callable[[BaseException, Scrubber], None] = scrub_error
        self._sys = sys

    def add(self, scrubber: Scrubber) -> None:
        """Makes the hooks remove what a scrubber knows, including what it learns later."""
        if scrubber not in self._scrubbers:
            self._scrubbers = [*self._scrubbers, scrubber][-_MOST_SCRUBBERS:]
        if not hasattr(sys.unraisablehook, _CLEAN):
            sys.unraisablehook = self._marked(partial(self._unraisable, _of_others(sys.unraisablehook)))
        if not hasattr(sys.excepthook, _CLEAN):
            sys.excepthook = self._marked(partial(self._uncaught, _of_others(sys.excepthook)))

    @staticmethod
    def _marked(hook: partial[None]) -> partial[None]:
        setattr(hook, _CLEAN, True)
        return hook

    def _unraisable(
        self, before: Callable[[sys.UnraisableHookArgs], object] | None, failure: sys.UnraisableHookArgs, /
    ) -> None:
        """Prints an error that cannot be raised; if other code has set a hook, calls it with the scrubbed error."""
        error = failure.exc_value
        if error is not None:
            self._clean(error)
        if before is not None:
            before(failure)
            return
        what = failure.err_msg or "Exception ignored in"
        where = getattr(failure.object, "__qualname__", type(failure.object).__qualname__)
        try:
            shown = self._formatted(error)
        except ImportError:  # from Python 3.13 on, when the interpreter is too near its end to read source lines
            shown = f"{type(error).__qualname__}: {error}\n"
        self._print(f"{what}: {where}\n{shown}")

    def _uncaught(
        self,
        before: Callable[[type[BaseException], BaseException, TracebackType | None], object] | None,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Prints an error that ends the process; if other code has set a hook, calls it with the scrubbed error."""
        self._clean(error)
        if before is not None:
            before(kind, error, trace)
        else:
            self._print(self._formatted(error))

    def _clean(self, error: BaseException) -> None:
        for scrubber in self._scrubbers:
            self._scrub(error, scrubber)

    def _print(self, text: str) -> None:
        for scrubber in self._scrubbers:
            text = scrubber.text(text)
        if self._sys.stderr is not None:
            self._sys.stderr.write(self._visible(text))


def _of_others(hook: T) -> T | None:
    """Returns a hook that other code has set; None for the interpreter's own hook, which is not called."""
    own: tuple[object, ...] = (sys.__unraisablehook__, sys.__excepthook__)
    return None if any(hook is one for one in own) else hook


_last_errors = _LastErrors()


def scrub_last_errors(scrubber: Scrubber) -> None:
    """Scrubs uncaught errors that this process prints, until it ends."""
    _last_errors.add(scrubber)
