"""``exec``: the way in for a worker. The context comes from the environment; one JSON line is the result."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dcm_processor_service.callbacks import find_callback
from dcm_processor_service.cli.console import result_channel
from dcm_processor_service.errors import CallbackFailedError, DcmProcessorError
from dcm_processor_service.runner import Outcome, run_callback

__all__ = ["execute"]


def execute(
    callback: Annotated[
        str, typer.Argument(help="MODULE:FUNCTION or path/to/file.py:FUNCTION; FUNCTION is run if left out")
    ],
) -> None:
    """Run a callback as the job that the environment names, and print its result as one line of JSON.

    What the callback itself prints goes to the standard error, so that the standard output holds the result alone.
    """
    emit = result_channel()
    try:
        outcome = run_callback(find_callback(callback))
    except DcmProcessorError as error:
        outcome = Outcome(error.exit_code, 0.0, error=error)
    except SystemExit as leaving:  # without a line on the standard output nobody would know that it ended here
        outcome = _left(leaving)
    if outcome.error is not None:
        sys.stderr.write(f"error: {outcome.error}\n")
    emit(outcome.as_json())
    raise typer.Exit(outcome.exit_code)


def _left(leaving: SystemExit) -> Outcome:
    error = CallbackFailedError(
        f"the callback ended the process: SystemExit: {leaving.code}; return, or raise an error"
    )
    error.__cause__ = leaving
    return Outcome(error.exit_code, 0.0, error=error)
