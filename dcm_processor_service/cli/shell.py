"""``shell``: Python on a session of a workspace, with ``ctx`` and ``session`` as a callback has them."""

from __future__ import annotations

import code as plain_shell
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from dcm_processor_service.cli.console import error_console, sentences
from dcm_processor_service.errors import EXIT_FAILED
from dcm_processor_service.local.opened_session import banner, open_session, session_of
from dcm_processor_service.local.workspace import Workspace

__all__ = ["shell"]


def shell(
    session: Annotated[
        str,
        typer.Argument(help="Id of the session, as in run.json; if left out, the only session of the last run"),
    ] = "",
    workspace: Annotated[Path, typer.Option(help="Folder of the workspace")] = Path("dcm-workspace"),
    job: Annotated[
        str, typer.Option(help="Name or id of the job whose context is ctx; if left out, the last job")
    ] = "",
    code: Annotated[str | None, typer.Option("-c", "--code", help="Run this Python, and end")] = None,
) -> None:
    """Open Python on a session of a workspace, with the ctx and session that a callback of the job gets.

    IPython is used if it is installed, without a history of what is typed. Values and files that you write go to the
    workspace, as if the job had written them. With --code, an error ends with exit code 1.
    """
    with sentences():
        place = Workspace(workspace)
        with open_session(place, session or session_of(workspace), job) as (context, jobs):
            names = {"ctx": context, "session": context.session, "__name__": "__main__"}
            if code is None:
                _interact(names, banner(place, context, jobs))
            elif not _ran(code, names):
                raise typer.Exit(EXIT_FAILED)


def _ran(text: str, names: dict[str, Any]) -> bool:
    """Runs the code; returns False if it raised an error, which is printed with the frames of that code."""
    try:
        exec(compile(text, "<code>", "exec"), names)  # noqa: S102  # nosec B102  the user's own code
    except Exception as error:  # noqa: BLE001  it may raise anything
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        lines = traceback.format_exception(type(error), error, frames)
        error_console().print("".join(lines).rstrip(), soft_wrap=True)
        return False
    return True


def _interact(names: dict[str, Any], text: str) -> None:
    error_console().print(text, soft_wrap=True)
    if sys.stdin.isatty() and importlib.util.find_spec("IPython") is not None:
        # IPython's history would be a file with all that is typed, perhaps a patient's id
        arguments = ["--no-banner", "--HistoryManager.enabled=False"]
        importlib.import_module("IPython").start_ipython(argv=arguments, user_ns=names)
        return
    plain_shell.interact(banner="", local=names, exitmsg="")
