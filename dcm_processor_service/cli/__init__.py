"""The command line: calls the runner, the workspace and the container."""

from __future__ import annotations

import atexit
import gc
import sys

__all__ = ["collect_seldom", "main"]

_OF_OTHERS = frozenset({"run", "exec", "check", "describe", "shell"})
"""Commands that load code of users; for these, :func:`main` does not change the garbage collector."""

_SELDOM = 50_000


def main() -> None:
    """Runs the command line ``dcm-processor-service``."""
    if not _OF_OTHERS.intersection(sys.argv[1:2]):
        collect_seldom()
    from dcm_processor_service.cli.app import app

    app(prog_name="dcm-processor-service")


def collect_seldom() -> None:
    """Lets the garbage collector run seldom, which makes a short command a fifth faster.

    Objects that libraries make as they load stay until the process ends. Each collection would examine all of them for
    nothing, and so would the last one, when the interpreter ends.
    """
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)
