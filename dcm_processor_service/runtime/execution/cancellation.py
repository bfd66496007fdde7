"""The end that somebody asks for: SIGTERM, as worker managers and container runtimes send it before they kill.

The signal only sets a flag. The callback looks at ``ctx.cancelled`` between its steps and returns; what is open is
closed, and the process ends with exit code 143, as one that SIGTERM ended. A second signal does not wait for a step.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["EXIT_CANCELLED", "Cancellation", "cancelled_by_sigterm"]

EXIT_CANCELLED = 128 + signal.SIGTERM
"""143: what a shell reports of a process that SIGTERM ended."""


class Cancellation:
    """Whether this run should come to its end.

    Example:
        >>> cancellation = Cancellation()
        >>> cancellation.cancel()
        >>> cancellation.requested
        True
    """

    def __init__(self) -> None:
        self._requested = False

    def __repr__(self) -> str:
        return f"Cancellation(requested={self._requested})"

    @property
    def requested(self) -> bool:
        """Whether somebody asked for it."""
        return self._requested

    def cancel(self) -> None:
        """Asks for it."""
        self._requested = True


@contextmanager
def cancelled_by_sigterm(cancellation: Cancellation) -> Iterator[None]:
    """Turns SIGTERM into a request, as long as this lasts; elsewhere than in the main thread nothing changes.

    Raises:
        SystemExit: In the midst of whatever runs, with code 143, when the signal comes again.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if cancellation.requested:
            raise SystemExit(EXIT_CANCELLED)
        cancellation.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
