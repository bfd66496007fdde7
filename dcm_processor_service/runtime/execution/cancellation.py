"""Requests to stop: SIGTERM, as worker managers and container runtimes send it, or the job's time limit.

The signal only sets a flag. The callback reads ``ctx.cancelled`` between its steps and returns; the runner closes the
container, and the process ends with exit code 143, like a process that SIGTERM ended. A second signal ends the
process without waiting for the step. When the time limit is reached, ``ctx.cancelled`` is True as well;
:mod:`.time_limit` ends a job that does not look at it.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["EXIT_CANCELLED", "Cancellation", "cancelled_by_sigterm"]

EXIT_CANCELLED = 128 + signal.SIGTERM
"""143: the exit code that a shell reports for a process that SIGTERM ended."""


class Cancellation:
    """The request that a run should end, and its time limit.

    Example:
        >>> cancellation = Cancellation()
        >>> cancellation.cancel()
        >>> cancellation.requested
        True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.signalled = False
        """Whether SIGTERM or :meth:`cancel` requested the end."""

        self.saw_limit = False
        """Whether the callback has read ``requested`` or ``remaining_s`` since the time limit was reached.

        If so, the result may be incomplete.
        """

        self._clock = clock
        self._ends_s: float | None = None

    def __repr__(self) -> str:
        return f"Cancellation(requested={self.signalled or self.over_limit})"

    @property
    def requested(self) -> bool:
        """Whether the end was requested, or the time limit is reached."""
        self.saw_limit = self.saw_limit or self.over_limit
        return self.signalled or self.over_limit

    def cancel(self) -> None:
        """Requests the end of the run."""
        self.signalled = True

    def limit(self, ends_s: float) -> None:
        """Sets the time limit, in the time of this object's clock."""
        self._ends_s = ends_s

    @property
    def over_limit(self) -> bool:
        """Whether the time limit is reached."""
        return self._ends_s is not None and self._clock() >= self._ends_s

    @property
    def deadline(self) -> datetime | None:
        """When the time limit is reached, in UTC by the clock of this machine as it is now; None for no limit."""
        if self._ends_s is None:
            return None
        return datetime.now(timezone.utc) + timedelta(seconds=self._ends_s - self._clock())

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the time limit, 0 when it is reached; None if there is none."""
        if self._ends_s is None:
            return None
        self.saw_limit = self.saw_limit or self.over_limit
        return max(self._ends_s - self._clock(), 0.0)


@contextmanager
def cancelled_by_sigterm(cancellation: Cancellation) -> Iterator[None]:
    """Turns SIGTERM within the block into a request to end; does nothing outside of the main thread.

    Raises:
        SystemExit: SIGTERM came a second time; raised at once in the running code, with exit code 143.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if cancellation.signalled:
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
