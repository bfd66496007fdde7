"""``run --watch``: runs the command again, in a separate process, whenever the code has changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dcm_processor_service.cli.console import error_console
from dcm_processor_service.disk import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_whenever_changed", "watched_folder"]

_LOOK_EVERY_S = 0.3
_WATCHED = (".json", ".py", ".toml", ".txt")


def watched_folder(reference: str) -> Path:
    """Returns the folder of a service, or of a callback's file; for a module, returns the working directory."""
    if is_folder(reference):
        return Path(reference)
    place = reference.rpartition(":")[0] or reference
    return Path(place).parent if place.endswith(".py") else Path()


def run_whenever_changed(folder: Path, arguments: Sequence[str], *, without: Path) -> NoReturn:
    """Runs a command of this package now and after every change of the code below a folder, until Ctrl-C.

    Args:
        folder: The folder that is watched: its files of code and settings, at any depth.
        arguments: The command and its options.
        without: A folder below ``folder`` that is not watched.
    """
    command = [sys.executable, "-m", "dcm_processor_service", *arguments]
    while True:
        before = _state(folder, without)  # before the command, so that a change while it runs is noticed
        ran = subprocess.run(command, check=False)  # noqa: S603  this interpreter, this package
        error_console().print(f"exit code {ran.returncode}; runs again when the code in {folder} changes, Ctrl-C ends")
        while _state(folder, without) == before:
            time.sleep(_LOOK_EVERY_S)


def _state(folder: Path, without: Path) -> dict[str, tuple[int, int]]:
    """Returns date and size of every watched file."""
    found = {}
    own = without.resolve()
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith((".", "__")) and Path(root, name).resolve() != own
        ]
        for name in names:
            if name.endswith(_WATCHED):
                path = os.path.join(root, name)  # noqa: PTH118  os.walk yields text
                try:
                    status = os.stat(path)  # noqa: PTH116
                except OSError:  # an editor is just replacing it
                    continue
                found[path] = (status.st_mtime_ns, status.st_size)
    return found
