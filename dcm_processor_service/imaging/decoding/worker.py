"""A decoder process: reads requests from its input, one line of JSON each, and writes frames to its output.

It lives as long as its input is open, so it ends with the process that started it, whatever ends that. What a library
does here, an exception, a panic, an abort, ends a request or this process, and nothing else.
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

import numpy as np

from dcm_processor_service.imaging.decoding.frame_decoder import ContradictionError, EncodedFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEAD", "main"]

HEAD = struct.Struct("<I")
"""Before each answer: the length of its JSON, which says how many bytes of pixels follow."""

_MOST_CHARACTERS = 2000


def main() -> None:
    """Answers requests until the input ends."""
    answers = _private_output()
    _ignore_interrupts()
    opened: tuple[object, EncodedFile] | None = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            _limit(request)
            key = (request["path"], os.stat(request["path"]).st_mtime_ns, request["syntax"])  # noqa: PTH116 one call
            if opened is None or opened[0] != key:
                opened = None  # before the next file is read
                opened = key, EncodedFile(request["path"], request["syntax"])
            for number in request["frames"]:
                values = opened[1].decode(number, request["decoder"], for_display=request["for_display"])
                _answer(answers, {"number": number}, values)
        except BaseException as error:  # noqa: BLE001 a Rust decoder's panic is no Exception
            content = {"failure": f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]}
            if isinstance(error, ContradictionError):
                content = {"contradiction": str(error)}
            _answer(answers, content, None)


def _private_output() -> BinaryIO:
    """Takes the output for answers alone: what libraries print goes nowhere, for it may quote values."""
    private = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return os.fdopen(private, "wb", buffering=0)


def _ignore_interrupts() -> None:
    """Leaves Ctrl-C, which reaches every process of a terminal, to the process that asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _limit(request: dict[str, Any]) -> None:
    """Sets what this request may take, on systems that have such limits."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + request["seconds"] * len(request["frames"])
    file_bytes = Path(request["path"]).stat().st_size
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, _address_space_bytes() + request["memory_bytes"] + 3 * file_bytes),
    ):
        with suppress(ValueError, OSError):  # the machine's own limit is lower, or there is none of this kind
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def _address_space_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 1 << 30
    return pages * os.sysconf("SC_PAGE_SIZE")


def _answer(answers: BinaryIO, content: dict[str, Any], values: NDArray[Any] | None) -> None:
    pixels = b"" if values is None else np.ascontiguousarray(values).data.cast("B")
    if values is not None:
        content |= {"shape": values.shape, "type": values.dtype.str, "bytes": len(pixels)}
    text = json.dumps(content).encode()
    for part in (HEAD.pack(len(text)) + text, pixels):
        rest = memoryview(part)
        while rest:
            rest = rest[answers.write(rest) :]
