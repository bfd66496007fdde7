"""Prints the output of commands: for people on a terminal, for programs with ``--json``.

Names of data, header values, paths and messages may hold anything. Whatever is printed here cannot move the cursor,
change colours or reverse the text: the consoles ensure this for every text that they print, :func:`styled` and the
progress bar for the texts that they make, and no command prints in any other way.
"""

from __future__ import annotations

import sys
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.table import Table
from rich.text import Text

from dcm_processor_service.cli.lines import print_error_line, print_json_line, printable, result_channel
from dcm_processor_service.env_vars import variable_name
from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.models.files import left_out_sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from dcm_processor_service.models import LeftOutFile

__all__ = [
    "error_console",
    "fail",
    "output_console",
    "print_error_line",
    "print_json_line",
    "print_left_out",
    "printable",
    "progress_bar",
    "result_channel",
    "sentences",
    "stops_for_questions",
    "styled",
    "table_of",
]

_MOST_NAMED = 10
_QUESTIONS = {"builtins.breakpoint", "builtins.input", "pdb.Pdb"}
"""The interpreter's audit events of code that waits for input at the terminal."""


def styled(*parts: str | tuple[str, str]) -> Text:
    """Returns a text of parts, each plain or in a style of rich; markup inside a part stays plain text."""
    return Text.assemble(
        *(printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    )


class _SafeConsole(Console):
    """Prints every text literally, without markup, emoji codes and control characters."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a Text of a str: rich calls this for every str that is printed, also inside tables."""
        return super().render_str(printable(text), **options)


class _Description(ProgressColumn):
    """A column of the progress bar, with the description of the task."""

    def render(self, task: Task) -> Text:
        """Returns the task's description."""
        return styled(task.description)


def output_console() -> Console:
    """Returns the console for results."""
    return _SafeConsole()


def error_console() -> Console:
    """Returns the console for progress and errors: the standard error, so that a piped result stays clean."""
    return _SafeConsole(stderr=True)


def progress_bar(console: Console) -> Progress:
    """Returns a progress bar that disappears when the work is done."""
    return Progress(
        SpinnerColumn(),
        _Description(),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # otherwise output that was redirected to a file would go to the terminal
        disable=not console.is_terminal,
    )


def stops_for_questions(progress: Progress) -> Progress:
    """Ends a bar as soon as the user's code waits for input, by ``breakpoint()`` or ``input()``.

    Otherwise the bar would be drawn over what the user types.
    """
    if progress.console.is_terminal:
        bar = weakref.ref(progress)
        streams: list[
            TextIO
        ] = []  # keeps the streams alive, because input() uses the replaced one without a reference to it

        def hear(event: str, _arguments: tuple[Any, ...]) -> None:
            if event in _QUESTIONS and (shown := bar()) is not None:
                streams.extend((sys.stdout, sys.stderr))
                shown.stop()

        sys.addaudithook(hear)
    return progress


def table_of(*headings: str, on_one_line: str = "") -> Table:
    """Returns a table without rows that cuts nothing off in a narrow terminal: ids are there to be copied.

    Args:
        headings: The columns' headings.
        on_one_line: The column whose cells, as long as others can become narrower, are not broken into lines.
    """
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading == on_one_line)
    return table


def print_left_out(files: Iterable[LeftOutFile], *, every_file: bool = False) -> None:
    """Prints to the standard error which files were left out and why: a line for each reason, then the files."""
    for sentence, paths in left_out_sentences(files).items():
        named = paths if every_file else paths[:_MOST_NAMED]
        more = [f"… and {len(paths) - len(named)} more"] if len(named) < len(paths) else []
        error_console().print("\n  ".join([f"{sentence}.", *named, *more]), soft_wrap=True)


def fail(error: DcmProcessorError, url_option: str = "") -> NoReturn:
    """Prints an error's sentence and ends with its exit code.

    Args:
        error: The error.
        url_option: The option that named the store, if any. The sentence then names this option in place of the
            environment variable.
    """
    sentence = str(error).replace(variable_name("db_url"), url_option) if url_option else str(error)
    error_console().print(styled(("error:", "bold red"), f" {sentence}"), soft_wrap=True)
    raise typer.Exit(error.exit_code) from error


@contextmanager
def sentences(url_option: str = "") -> Iterator[None]:
    """Turns this package's errors into a sentence and an exit code; see :func:`fail`."""
    try:
        yield
    except DcmProcessorError as error:
        fail(error, url_option)
