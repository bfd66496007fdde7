"""``run --watch``: the same run again after a change of the code, until it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path


# a shell's background process ignores Ctrl-C, and its children would too
_COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("dcm_processor_service", run_name="__main__")
"""


def write(folder: Path, value: int) -> None:
    (folder / "callback.py").write_text(f"def run(): return {value}\n", encoding="utf-8")


def test_a_change_of_the_code_runs_it_again(tmp_path: Path) -> None:
    write(tmp_path, 1)
    command = ["run", "callback.py", "--sample", "--no-preview", "--json", "--watch"]
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as watching:
        assert watching.stdout is not None
        try:
            results = []
            for value in (1, 22):
                write(tmp_path, value)
                while value not in results:
                    results.append(json.loads(watching.stdout.readline())["result"])
        finally:
            os.killpg(watching.pid, signal.SIGINT)
        assert results[-1] == 22
        assert watching.stderr is not None
        assert "exit code 0; runs again when the code in . changes" in watching.stderr.read()
        assert watching.wait() == 130
