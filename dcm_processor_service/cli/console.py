"""What the commands print: people read it on a terminal, programs with ``--json``."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.models.files import left_out_sentences
from dcm_processor_service.runtime.execution.results import json_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from dcm_processor_service.models import LeftOutFile

__all__ = [
    "error_console",
    "example",
    "fail",
    "output_console",
    "print_json_line",
    "print_left_out",
    "progress_bar",
    "result_channel",
    "sentences",
]

_MOST_NAMED = 10


def output_console() -> Console:
    """Gives the console for results."""
    return Console(highlight=False)


def example(arguments: str) -> str:
    """Returns what a command's help ends with: one way to call it, to be copied.

    Example:
        >>> example("echo ORTHANC@127.0.0.1:4242")
        'Example: dcm-processor-service echo ORTHANC@127.0.0.1:4242'
    """
    return f"Example: dcm-processor-service {arguments}"


def error_console() -> Console:
    """Gives the console for progress and complaints, which keep out of a result that is piped on."""
    return Console(stderr=True, highlight=False)


def progress_bar(console: Console) -> Progress:
    """Gives a bar that counts, and that goes when the work is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_json_line(value: Any) -> None:
    """Prints one line of JSON to the standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_left_out(files: Iterable[LeftOutFile], *, every_file: bool = False) -> None:
    """Prints to the standard error which files were left out and why: a line for each reason, then the files."""
    for sentence, paths in left_out_sentences(files).items():
        named = paths if every_file else paths[:_MOST_NAMED]
        more = [f"… and {len(paths) - len(named)} more"] if len(named) < len(paths) else []
        error_console().print("\n  ".join([f"{sentence}.", *named, *more]), markup=False, soft_wrap=True)


def result_channel() -> Callable[[Any], None]:
    """Keeps the standard output for results, to the end of the process, and gives what writes one as a line of JSON.

    Whatever else is written there goes to the standard error: by a callback, its child processes, C libraries,
    and by those that write last when the interpreter ends.
    """
    if not _is_standard_output(sys.stdout):  # a test or a notebook has its own in place; the process keeps its
        return lambda value: print_json_line(json_safe(value))
    sys.stdout.flush()
    channel = os.dup(1)
    os.dup2(2, 1)

    def emit(value: Any) -> None:
        line = json.dumps(json_safe(value), ensure_ascii=False, allow_nan=False) + "\n"
        with os.fdopen(os.dup(channel), "wb") as output:
            output.write(line.encode())

    return emit


def _is_standard_output(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except OSError:  # it is no file
        return False


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
