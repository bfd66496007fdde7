"""Finds calls of the session that were not awaited. Such a call has done nothing, and Python only warns.

``ctx.session.data.set("volume_ml", 12.5)`` in an ``async def`` makes a coroutine and drops it. The job would be
done, and the value would not be stored.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from dcm_processor_service.errors import CallbackSignatureError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ASYNC_FACADES", "forgotten_awaits"]

# names and not classes, so that a job that reads one value need not load the facades of images
ASYNC_FACADES = (
    *("AsyncCommitments", "AsyncCurrentJob", "AsyncData", "AsyncDerive", "AsyncDicom", "AsyncDicomSeries"),
    *("AsyncFiles", "AsyncJobs", "AsyncPeers", "AsyncProgress", "AsyncSession", "AsyncStep"),
)
"""The classes whose coroutines a callback can forget to await."""

_SENTENCE = rf"coroutine '(?P<call>(?:{'|'.join(ASYNC_FACADES)})\.\w+)' was never awaited"


@contextmanager
def forgotten_awaits(callback_name: str) -> Iterator[None]:
    """Raises at the end of the block if the block called a method of the session without awaiting it.

    An error of the block itself takes precedence. Every other warning is shown as usual.

    Raises:
        CallbackSignatureError: There is such a call; the message names the method, and the line that did not await it.
    """
    forgotten: list[str] = []
    with warnings.catch_warnings():
        tell = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            found = re.match(_SENTENCE, str(message))
            if found is None:
                tell(message, category, filename, lineno, file, line)
            else:
                forgotten.append(f"{found['call']} ({filename}:{lineno})")

        warnings.filterwarnings("always", _SENTENCE, RuntimeWarning)
        warnings.showwarning = show
        yield
    if forgotten:
        raise CallbackSignatureError(
            f"{callback_name} called without await, so that nothing was done: {', '.join(forgotten)}; write await "
            "before each call"
        )
