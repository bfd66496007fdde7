"""``ctx.progress``: reports to the queue and its viewers how far a job is."""

from __future__ import annotations

import logging
import math
import time
from numbers import Real
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import StoreError, UnsupportedValueError
from dcm_processor_service.ports.concurrency import inline, run_inline
from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.ports import JobKey, JobRepository, Offload
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["AsyncProgress", "Progress"]

_LOG = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Seconds between two writes with the same message; the write of 100 % does not wait."""

MESSAGES_AT_ONCE = 5
"""How many new messages are written without a pause; after those, one message per pause."""

_FULL_PERCENT = 100
_TOLERANCE = 1e-6


class AsyncProgress:
    """Tells how far the job is, for asynchronous callbacks; :class:`Progress` explains it.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def tell(ctx):
        ...     await ctx.progress(0.4, "segmenting")
        >>> asyncio.run(tell(fake_async_context()))
    """

    def __init__(
        self,
        key: JobKey,
        repository: JobRepository,
        scrubber: Scrubber,
        clock: Callable[[], float] = time.monotonic,
        offload: Offload = inline,
    ) -> None:
        self._key = key
        self._repository = repository
        self._scrubber = scrubber
        self._clock = clock
        self._written: tuple[int, str] | None = None
        self._waiting: tuple[int, str] | None = None
        self._next_s = -math.inf
        self._messages = float(MESSAGES_AT_ONCE)
        self._counted_s = clock()
        self._lock = SharedLock()
        self._turns = offload.turns()

    async def __call__(self, fraction: float, message: str = "") -> None:
        """Tells how far the job is; see :meth:`Progress.__call__`."""
        percent = _percent(fraction)
        state = (percent, self._scrubber.text(str(message)))
        with self._lock:
            self._waiting = None if state == self._written else state
            due = self._waiting is not None and (percent == _FULL_PERCENT or self._due(state[1]))
        if due:
            await self.flush()

    def _due(self, message: str) -> bool:
        """Returns whether to write now: new messages are written at once, unless a fast loop has too many of them."""
        now_s = self._clock()
        if self._written is not None and message == self._written[1]:
            return now_s >= self._next_s
        refill = (now_s - self._counted_s) / PAUSE_S
        self._messages, self._counted_s = min(self._messages + refill, MESSAGES_AT_ONCE), now_s
        if self._messages < 1:
            return False
        self._messages -= 1
        return True

    async def flush(self) -> None:
        """Writes the progress that is not written yet; see :meth:`Progress.flush`."""
        async with self._turns.turn():  # so that an earlier call of one thread is not written after a later one
            with self._lock:
                state, self._waiting = self._waiting, None
                self._next_s = self._clock() + PAUSE_S if state else self._next_s
            if state is not None:
                await self._write(state)

    async def _write(self, state: tuple[int, str]) -> None:
        try:
            await self._repository.set_progress(self._key.job_id, *state)
        except StoreError as error:  # the job goes on, because only people read its progress
            _LOG.warning("the progress of the job could not be written: %s: %s", type(error).__name__, error)
            return
        self._written = state


def _percent(fraction: Any) -> int:
    """Returns a fraction in whole percent.

    Raises:
        UnsupportedValueError: The fraction is below 0, above 1 or not a number.
    """
    try:
        number = fraction if isinstance(fraction, Real) else float(fraction.item())  # for an array of one number
    except (AttributeError, TypeError, ValueError, RuntimeError):
        raise UnsupportedValueError(f"progress is a number from 0 to 1, not a {type(fraction).__name__}") from None
    fraction = number
    if not -_TOLERANCE <= fraction <= 1 + _TOLERANCE:  # also refuses NaN
        raise UnsupportedValueError(
            f"progress goes from 0 to 1, and {fraction} is outside; divide the work that is done by all the work"
        )
    return min(max(int(fraction * _FULL_PERCENT + _TOLERANCE), 0), _FULL_PERCENT)


class Progress:
    """Tells the queue and its viewers how far the job is.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> ctx = fake_context()
        >>> ctx.progress(0.4, "segmenting")
        >>> [job.progress_percent for job in ctx.session.jobs()]
        [40]
    """

    def __init__(self, progress: AsyncProgress) -> None:
        self._async = progress

    def __call__(self, fraction: float, message: str = "") -> None:
        """Tells how far the job is; writes to the store about once a second, and a new message at once.

        A call that comes too soon is written with a later one, or at the end of the job. If the store does not answer,
        a warning is logged and the job goes on.

        Args:
            fraction: From 0 to 1.
            message: What is being done, in a word or two.

        Raises:
            UnsupportedValueError: The fraction is below 0, above 1 or not a number.
        """
        run_inline(self._async(fraction, message))

    def flush(self) -> None:
        """Writes the progress that is not written yet; the runner calls this when the callback has ended."""
        run_inline(self._async.flush())
