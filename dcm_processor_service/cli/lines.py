"""Prints lines that programs read, without rich and typer: loading these takes longer than running a small job.

Like :mod:`.console`, prints no text that could steer a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from dcm_processor_service.runtime.logs.terminal_text import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["print_error_line", "print_json_line", "printable", "result_channel"]


def printable(text: str) -> str:
    r"""Returns a text with an escape in place of each character that would steer a terminal or hide in it.

    Example:
        >>> printable("CT\x1b[2J\u202egnp.exe")
        'CT\\x1b[2J\\u202egnp.exe'
    """
    return visible(text)


def print_error_line(text: str) -> None:
    """Prints one line to the standard error of a process whose standard output is read by a program."""
    sys.stderr.write(visible(text) + "\n")


def print_json_line(value: Any) -> None:
    """Prints one line of JSON to the standard output."""
    sys.stdout.write(visible_json(json.dumps(value, ensure_ascii=False, default=str)) + "\n")
    sys.stdout.flush()


def result_channel() -> Callable[[Any], None]:
    """Reserves the standard output for results until the process ends; returns a function that writes one.

    The function takes plain JSON, as :func:`.json_safe` makes it.

    All other output goes to the standard error: of a callback, its child processes and C libraries, and of code that
    writes while the interpreter ends.
    """
    if not _is_standard_output(sys.stdout):  # a test or a notebook has replaced sys.stdout: leave the process's own
        return print_json_line
    sys.stdout.flush()
    channel = os.dup(1)
    os.dup2(2, 1)

    def emit(value: Any) -> None:
        line = visible_json(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n"
        with os.fdopen(os.dup(channel), "wb") as output:
            output.write(line.encode())

    return emit


def _is_standard_output(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except OSError:  # it has no file descriptor
        return False
