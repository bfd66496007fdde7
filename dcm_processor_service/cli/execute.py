"""``exec``: the way in for a worker. The context comes from the environment; one JSON line is the result."""

from __future__ import annotations

from typing import Annotated

import typer

from dcm_processor_service.cli.console import print_error_line, result_channel
from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.runtime.execution.callbacks import find_callback
from dcm_processor_service.runtime.execution.runner import CallbackOutcome, left_process, run_callback

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
        outcome = run_callback(find_callback(callback), own_process=True)
    except DcmProcessorError as error:
        outcome = CallbackOutcome(error.exit_code, 0.0, error=error)
    except SystemExit as leaving:  # without a line on the standard output nobody would know that it ended here
        left = left_process(leaving)
        outcome = CallbackOutcome(left.exit_code, 0.0, error=left)
    if outcome.error is not None:
        print_error_line(f"error: {outcome.error}")
    emit(outcome.as_json())
    raise typer.Exit(outcome.exit_code)
