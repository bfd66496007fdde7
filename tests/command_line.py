"""The command line from a test: in a process of its own, or in this one, which takes a tenth of the time.

For each command, some test runs it in a process of its own. The other tests of the command run it in this one.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from dcm_processor_service.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ROOT", "Ran", "run_here", "run_process"]

ROOT = Path(__file__).parents[1]


class Ran(NamedTuple):
    """The exit code of a command, and what it printed to both streams."""

    code: Any
    stdout: str
    stderr: str


def run_process(*arguments: object, folder: Path = ROOT, variables: Mapping[str, str] | None = None) -> Ran:
    """Runs a command as a shell does, with every warning an error."""
    _leaves_nothing(arguments, folder)
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCM")}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **(variables or {})}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "dcm_processor_service", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=60,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def run_here(*arguments: object, folder: Path = ROOT, variables: Mapping[str, str] | None = None) -> Ran:
    """Runs a command by the function that the console script calls, and leaves this process as it was."""
    _leaves_nothing(arguments, folder)
    stdout, stderr = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        _callbacks_forgotten(),
    ):
        patch.chdir(folder)
        patch.setattr("dcm_processor_service.cli.collect_seldom", lambda: None)
        patch.setattr(sys, "argv", ["dcm-processor-service", *map(str, arguments)])
        for name, value in {"COLUMNS": "200", **(variables or {})}.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    return Ran(code, stdout.getvalue(), stderr.getvalue())


def _leaves_nothing(arguments: tuple[object, ...], folder: Path) -> None:
    """Refuses ``inspect`` if it would write its page into the repository, because no option says where to."""
    writes = "inspect" in arguments[:1] and not {"--html", "--json", "--help"} & set(arguments)
    assert not (writes and folder == ROOT), "it would leave inspection.html in the repository: give folder=tmp_path"


@contextmanager
def _callbacks_forgotten() -> Iterator[None]:
    """Undoes the loading of a callback: removes its folder from the path, and the modules that came from there."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        added = set(sys.path) - set(path)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if str(Path(getattr(sys.modules[name], "__file__", None) or "").parent) in added:
                del sys.modules[name]
