"""The command line: calls the runner, the workspace and the container."""

from __future__ import annotations

import atexit
import gc
import sys

__all__ = ["collect_seldom", "main"]

_OF_OTHERS = frozenset({"run", "exec", "check", "describe", "shell"})
"""Commands that load code of users, for which the garbage collector keeps Python's settings."""

_SELDOM = 50_000


def main() -> None:
    """Runs the command line ``dcm-processor-service``."""
    if not _OF_OTHERS.intersection(sys.argv[1:2]):
        collect_seldom()
    from dcm_processor_service.cli.app import app

    app(prog_name="dcm-processor-service")


def collect_seldom() -> None:
    """Lets the garbage collector run seldom, which makes a short command a fifth faster.

    Objects that libraries make as they load stay until the process ends; each collection would look through all of
    them, and so would the collection at the end, which frees nothing.
    """
    gc.set_threshold(_SELDOM)
    atexit.register(gc.freeze)
