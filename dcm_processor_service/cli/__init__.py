"""The command line: calls the runner, the workspace and the container."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import NoReturn

__all__ = ["collect_seldom", "main"]

_OF_OTHERS = frozenset({"run", "exec", "check", "describe", "shell"})
"""Commands that load code of users; for these, :func:`main` does not change the garbage collector."""

_SELDOM = 50_000
_FAILED, _INTERRUPTED = 1, 130
"""The exit codes after a closed pipe and after Ctrl-C, as typer and shells have them."""


def main() -> None:
    """Runs the command line ``dcm-processor-service``."""
    match sys.argv[1:]:
        case ["exec", callback] if not callback.startswith("-"):
            _execute(callback)
        case [command, *_] if command in _OF_OTHERS:
            pass
        case _:
            collect_seldom()
    from dcm_processor_service.cli.app import app

    app(prog_name="dcm-processor-service")


def _execute(callback: str) -> NoReturn:
    """Runs ``exec`` as the app does, without loading typer, which takes longer than to run a small job."""
    from dcm_processor_service.cli.environment_job import run_job

    try:
        sys.exit(run_job(callback))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # nobody reads the result or the log any more
        sys.exit(_FAILED)


def collect_seldom() -> None:
    """Lets the garbage collector run seldom, which makes a short command a fifth faster.

    Objects that libraries make as they load stay until the process ends. Each collection would examine all of them for
    nothing, and so would the last one, when the interpreter ends.
    """
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)
