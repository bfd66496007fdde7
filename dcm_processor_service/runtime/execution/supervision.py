"""Runs work in a child process, and always reports how it ended: by a result, an error, a signal or a time limit."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from dcm_processor_service.errors import EXIT_FAILED
from dcm_processor_service.runtime.execution.memory import KilledForMemory, MemoryLimit
from dcm_processor_service.runtime.execution.time_limit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Child", "Ended", "supervised"]

_SIGNALLED = 128
"""If a signal ended a process, its exit code is this number plus the signal's number, as in shells."""


class Child:
    """Sends messages from the work to the parent process, in a file without a name that both processes have open."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file = file

    @property
    def is_apart(self) -> bool:
        """Whether the work runs in a process of its own, which can be ended without ending the caller's."""
        return self._file is not None

    def announce(self, limit: TimeLimit) -> None:
        """Reports when the process will be ended."""
        self.tell({"limit": [limit.limit_s, limit.grace_s, limit.began_s]})

    def tell(self, message: dict[str, Any]) -> None:
        """Sends a JSON value."""
        if self._file is not None:
            from dcm_processor_service.runtime.execution.results import json_safe

            self._file.write(json.dumps(json_safe(message)).encode() + b"\n")
            self._file.flush()


@dataclass(frozen=True)
class Ended:
    """How the work ended."""

    record: dict[str, Any]
    """Plain JSON."""

    exit_code: int


def supervised(work: Callable[[Child], tuple[dict[str, Any], int]]) -> Ended:
    """Runs work in a forked child, and returns the work's record and exit code; the child ends with that code.

    This module loads little, so that the child shares little with its parent: work should load what it needs itself.

    SIGTERM is passed on to the child, and the child is killed with its parent. Where there is no fork, where other
    threads run, as in a notebook, or where the standard output is replaced, the work runs in this process.
    """
    is_replaced = sys.stdout is not sys.__stdout__
    if not hasattr(os, "fork") or threading.active_count() > 1 or is_replaced:
        from dcm_processor_service.runtime.execution.results import json_safe

        record, exit_code = work(Child())
        return Ended(json_safe(record), exit_code)
    began_s = time.monotonic()
    memory = KilledForMemory(MemoryLimit.of_this_process())
    for stream in (sys.stdout, sys.stderr):  # else both processes would write the text that is buffered now
        stream.flush()
    with tempfile.TemporaryFile() as file:
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until there is a child that gets it
        process = os.fork()
        if process == 0:
            _end_with(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            child = Child(file)
            record, exit_code = work(child)
            child.tell({"record": record})
            sys.exit(exit_code)
        status = _waited_for(process)
        file.seek(0)
        messages = _messages(file.read())
    exit_code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else _SIGNALLED + os.WTERMSIG(status)
    if "record" in messages:
        return Ended(messages["record"], exit_code)
    limit = TimeLimit(*messages["limit"]) if "limit" in messages else None
    return _ended_without_record(status, exit_code, time.monotonic() - began_s, limit, memory)


def _end_with(parent: int) -> None:
    """Makes the kernel kill this process when its parent ends, since nobody would read the result."""
    if sys.platform.startswith("linux"):
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_FAILED)


def _waited_for(process: int) -> int:
    """Waits until the child ends; passes SIGTERM on to it, and ignores Ctrl-C, which the child receives too."""

    def pass_on(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _process, status = os.waitpid(process, 0)
    return status


def _messages(text: bytes) -> dict[str, Any]:
    """Reads the child's messages; drops an unfinished line."""
    messages: dict[str, Any] = {}
    for line in text.splitlines(keepends=True):
        if line.endswith(b"\n"):
            messages.update(json.loads(line))
    return messages


def _ended_without_record(
    status: int, exit_code: int, duration_s: float, limit: TimeLimit | None, memory: KilledForMemory
) -> Ended:
    """Returns a record for work that ended without writing a record."""
    if limit is not None and limit.left_s() <= 0 and exit_code == EXIT_FAILED:
        kind, message = "JobTimeoutError", limit.sentence
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in {*signal.Signals} else str(number)
        kind = "ProcessEnded"
        starved = memory.sentence() if number == signal.SIGKILL else ""
        message = starved or (
            f"the signal {name} ended the process of the callback; SIGKILL often comes from the kernel for lack of "
            "memory, and SIGSEGV from a library that crashed"
        )
    else:
        kind = "ProcessEnded"
        message = f"the callback ended its process with the code {exit_code} and left no result; return, or raise"
        exit_code = exit_code or EXIT_FAILED
    error = {"type": kind, "message": message, "traceback": f"{kind}: {message}\n", "retryable": False}
    return Ended({"error": error, "duration_s": round(duration_s, 3), "peak_memory_bytes": None}, exit_code)
