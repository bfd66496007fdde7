"""Ends a job that does not return within its time limit and a grace.

A callback may be inside of a library that holds the interpreter's lock, so nothing here waits for Python code of this
process. First a small second process writes the result file. Then faulthandler's own thread, which needs no lock,
prints the stack of each thread and ends this process. The second process could not end it, because in a container the
job is process 1, which signals from inside of the container do not end.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["TimeLimit", "last_words", "process_ends_at"]

_log = logging.getLogger(__name__)

_HEAD_START_S = 0.5
"""Seconds between the writing of the last result and the end of the process."""

_WAITING_PROCESS = """
import os, select, sys, time
path, text, promise, ends_s = sys.argv[1:]

def is_still_promise():
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == promise
    except FileNotFoundError:
        return True

left_s = max(float(ends_s) - time.monotonic(), 0.0)
if not select.select([sys.stdin], [], [], left_s)[0] and is_still_promise():
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)
"""
"""Waits until its standard input has a text or is closed; writes the file if neither happens in time.

The promise is the text that was written into the file when the job began. A file with another content is the job's own
result, and is left as it is. The time is that of the machine's monotonic clock, so that a process which takes long to
start still writes before the job's process ends.
"""


@dataclass(frozen=True)
class TimeLimit:
    """The time limit of a job, and the grace after it.

    Example:
        >>> TimeLimit(limit_s=600, grace_s=30, began_s=0).sentence
        'the job reached its time limit of 600 s and did not return in the grace of 30 s after it, so its process was \
ended; give it a longer timeout in the manifest, or look at ctx.cancelled between its steps'
    """

    limit_s: float
    grace_s: float
    began_s: float
    """When the job began, by ``time.monotonic()``."""

    @property
    def ends_s(self) -> float:
        """When the limit is reached, by ``time.monotonic()``."""
        return self.began_s + self.limit_s

    @property
    def sentence(self) -> str:
        """The error message of a job whose process was ended."""
        return (
            f"the job reached its time limit of {self.limit_s:g} s and did not return in the grace of {self.grace_s:g} "
            "s after it, so its process was ended; give it a longer timeout in the manifest, or look at ctx.cancelled "
            "between its steps"
        )

    @property
    def grace_ends_s(self) -> float:
        """When the grace is over, by ``time.monotonic()``."""
        return self.ends_s + self.grace_s

    def left_s(self) -> float:
        """Returns the seconds until the end of the grace."""
        return max(self.grace_ends_s - time.monotonic(), 0.0)


@contextmanager
def process_ends_at(limit: TimeLimit, head_start_s: float = 0.0) -> Iterator[None]:
    """Ends this process with code 1 when the grace is over, unless the block ends before.

    The stack of each thread goes to the standard error; it holds names of functions and files, and no values.
    """
    faulthandler.dump_traceback_later(max(limit.left_s() + head_start_s, 0.001), exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def last_words(path: Path, text: str, limit: TimeLimit, promise: str) -> Iterator[None]:
    """Ends this process after the grace like :func:`process_ends_at`; writes ``text`` to ``path`` before that.

    If the content of the file is not ``promise``, it is the result of the job, and the file is left as it is.
    """
    command = [sys.executable, "-I", "-S", "-c", _WAITING_PROCESS, str(path), text, promise, str(limit.grace_ends_s)]
    quiet = subprocess.DEVNULL
    try:
        waiting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)  # noqa: S603  our own
    except OSError as error:  # the limit is enforced all the same
        _log.warning("no result can be written at the time limit of the job: %s", type(error).__name__)
        with process_ends_at(limit):
            yield
        return
    with waiting, process_ends_at(limit, _HEAD_START_S):
        try:
            yield
        finally:
            with suppress(OSError):  # the waiting process has written the file and ended
                # closing the pipe is not enough: a forked child may hold a copy of it
                os.write(_descriptor(waiting), b"done")


def _descriptor(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    return process.stdin.fileno()
