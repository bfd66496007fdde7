"""``exec``: the way in for a worker. The context comes from the environment; one JSON line is the result."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcm_processor_service.callbacks import find_callback
from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.runner import Outcome, run_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["execute"]


def execute(
    callback: Annotated[
        str, typer.Argument(help="MODULE:FUNCTION or path/to/file.py:FUNCTION; FUNCTION is run if left out")
    ],
) -> None:
    """Run a callback as the job that the environment names, and print its result as one line of JSON.

    What the callback itself prints goes to the standard error, so that the standard output holds the result alone.
    """
    with result_channel() as emit:
        try:
            outcome = run_callback(find_callback(callback))
        except DcmProcessorError as error:
            outcome = Outcome(error.exit_code, 0.0, error=error)
        if outcome.error is not None:
            sys.stderr.write(f"error: {outcome.error}\n")
        emit(outcome.as_json())
    raise typer.Exit(outcome.exit_code)


@contextmanager
def result_channel() -> Iterator[Callable[[Any], None]]:
    """Keeps the standard output for results: whatever else is written to it, by C libraries too, goes to the error."""
    sys.stdout.flush()
    channel = os.dup(1)
    os.dup2(2, 1)

    def emit(value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
        with os.fdopen(os.dup(channel), "wb") as output:
            output.write(line.encode())

    try:
        yield emit
    finally:
        sys.stdout.flush()
        os.dup2(channel, 1)
        os.close(channel)
