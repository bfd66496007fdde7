"""Functions for use inside a child process: reserve its output for answers, limit its time and memory, ignore Ctrl-C.

The child ends when its input is closed, so it ends with the process that started it, even if that is killed. A failure
of a library in the child (an exception, a panic, an abort) ends a request or the child, and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["HEAD", "as_failure", "begin", "limit", "write_answer"]

HEAD = struct.Struct("<I")
"""The first bytes of each answer: the length of its JSON. The JSON says how many bytes follow."""

_MOST_CHARACTERS = 2000


def begin() -> BinaryIO:
    """Returns the standard output, reserved for answers, and ignores Ctrl-C, which the parent process handles.

    Output of libraries is discarded, because it may quote values.
    """
    private = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return os.fdopen(private, "wb", buffering=0)


def limit(seconds: int, memory_bytes: int) -> None:
    """Limits the processor time and memory of the next request, on systems that have such limits.

    Args:
        seconds: Processor time from now on.
        memory_bytes: Memory beyond what the process has now.
    """
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + seconds),
        (resource.RLIMIT_AS, _address_space_bytes() + memory_bytes),
    ):
        with suppress(ValueError, OSError):  # the machine has a lower limit, or no limit of this kind
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def _address_space_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 1 << 30
    return pages * os.sysconf("SC_PAGE_SIZE")


def as_failure(error: BaseException) -> dict[str, Any]:
    """Returns the answer that reports an error."""
    return {"failure": f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]}


def write_answer(answers: BinaryIO, said: dict[str, Any], content: Buffer = b"") -> None:
    """Writes the JSON of an answer, then the bytes whose number the JSON states."""
    text = json.dumps(said).encode()
    for part in (HEAD.pack(len(text)) + text, content):
        rest = memoryview(part)
        while rest:
            rest = rest[answers.write(rest) :]
