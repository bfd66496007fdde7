"""The command line as a whole; :mod:`.commands` lists its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from dcm_processor_service.cli.commands import Commands

__all__ = ["app"]


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it with the option's value
    if wanted:
        from importlib import metadata

        from dcm_processor_service.cli.console import output_console

        output_console().print(f"dcm-processor-service {metadata.version('dcm-processor-service')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which hold patient data
    epilog="Exit codes: 0 done, 1 the callback failed, 2 configuration, 3 try again later, 143 ended by SIGTERM.",
)


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end")
    ] = False,
) -> None:
    """Runs code that processes medical images: on a laptop over a folder of scans, or as a job of the platform."""
