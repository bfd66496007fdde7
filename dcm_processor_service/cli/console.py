"""What the commands print: people read it on a terminal, programs with ``--json``."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from dcm_processor_service.errors import DcmProcessorError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["error_console", "fail", "output_console", "print_json_line", "sentences"]


def output_console() -> Console:
    """Gives the console for results."""
    return Console(highlight=False)


def error_console() -> Console:
    """Gives the console for progress and complaints, which keep out of a result that is piped on."""
    return Console(stderr=True, highlight=False)


def print_json_line(value: Any) -> None:
    """Prints one line of JSON to the standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def fail(error: DcmProcessorError) -> NoReturn:
    """Prints an error's sentence and ends with its exit code."""
    error_console().print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
    raise typer.Exit(error.exit_code) from error


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def sentences() -> Iterator[None]:
    """Turns this package's errors into a sentence and an exit code."""
    try:
        yield
    except DcmProcessorError as error:
        fail(error)
