"""``exec``: for workers. The environment names the session and the job; the result is one line of JSON."""

from __future__ import annotations

from typing import Annotated

import typer

from dcm_processor_service.cli.environment_job import run_job

__all__ = ["execute"]


def execute(
    callback: Annotated[
        str,
        typer.Argument(help="MODULE:FUNCTION or path/to/file.py:FUNCTION; if FUNCTION is left out, run() is called"),
    ],
) -> None:
    """Run a callback as the job that the environment names, and print its result as one line of JSON.

    The callback's own output goes to the standard error, so that the standard output holds the result alone.
    """
    raise typer.Exit(run_job(callback))
