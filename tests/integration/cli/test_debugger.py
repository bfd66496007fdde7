"""A callback under a debugger: what a person at a real terminal sees and types."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(self, *command: str, folder: Path) -> None:
        self._own, theirs = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"}
        environment.pop("PYTHONBREAKPOINT", None)
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def read_to(self, text: str) -> str:
        """Returns what is shown up to a text, or to the end of the command."""
        shown = b""
        while text.encode() not in shown:
            try:
                block = os.read(self._own, 1)
            except OSError:  # Linux reports the end so
                break
            if not block:
                break
            shown += block
        return shown.decode()

    def close(self) -> int:
        self.read_to("\0")
        os.close(self._own)
        return self.process.wait()


@pytest.mark.parametrize(
    ("stop", "prompt", "typed", "answer"),
    [
        ("breakpoint()", "(Pdb) ", "p 40 + 2", "42"),
        ("import pdb; pdb.set_trace()", "(Pdb) ", "p 40 + 2", "42"),
        ("print(int(input('how many? ')) + 2)", "how many? ", "40", "42"),
    ],
    ids=["breakpoint", "pdb", "input"],
)
def test_nothing_is_drawn_over_what_is_typed(tmp_path: Path, stop: str, prompt: str, typed: str, answer: str) -> None:
    (tmp_path / "callback.py").write_text(
        "from dcm_processor_service import RuntimeContext\n\n\n"
        f"def run(ctx: RuntimeContext):\n    {stop}\n    return 'went on'\n"
    )
    terminal = Terminal(
        sys.executable, "-m", "dcm_processor_service", "run", "callback.py", "--sample", folder=tmp_path
    )
    assert prompt in terminal.read_to(prompt)
    terminal.type(f"{typed}\n")
    between = terminal.read_to(answer)
    assert between.endswith(answer)
    assert "\x1b[2K" not in between  # no line was drawn again
    assert "running" not in between
    if prompt == "(Pdb) ":
        terminal.type("c\n")
    assert "went on" in terminal.read_to("went on")
    assert terminal.close() == 0
