"""Memory that really runs out: the kernel's end of the process, and Python's own MemoryError."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import ROOT
from tests.memory_group import joining, memory_group

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 400 << 20
"""An interpreter with this package takes a quarter of it."""

HUNGRY = """
from dcm_processor_service import RuntimeContext, entrypoint


def run(ctx: RuntimeContext) -> int:
    ctx.session.data["begun"] = True
    held = []
    for _ in range(4 * {blocks}):
        held.append(bytearray(b"x" * (1 << 20)))
    return len(held)


worker = entrypoint(run)
"""

WORKER = """
import json, sys
sys.path.insert(0, {module!r})
ARGS, KWARGS, from_json = (), {{}}, json.loads
from hungry import worker
if __name__ == "__main__":
    result = worker(**{arguments!r})
    open("result.json", "w").write(json.dumps(result))
"""
"""What the platform's worker writes and runs, as far as a result is concerned."""


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCM")}
    job = {"DB_PROVIDER": "sqlite", "DB_URL": str(folder / "work"), "SESSION_ID": "5e" * 12, "JOB_ID": "0b" * 12}
    return {**kept, "PYTHONPATH": str(ROOT), **{f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in job.items()}}


def ran(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    (folder / "hungry.py").write_text(HUNGRY.format(blocks=LIMIT_BYTES >> 20))
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def group() -> Any:
    with memory_group(LIMIT_BYTES) as made:
        if made is None:
            pytest.skip("this machine lets nobody but its own system make control groups that limit memory")
        yield made


def test_exec_says_that_the_kernel_ended_the_job_for_lack_of_memory(tmp_path: Path, group: Path) -> None:
    command = [sys.executable, "-m", "dcm_processor_service", "exec", "hungry.py"]
    ended = ran(tmp_path, joining(group, command))
    assert ended.returncode == 137, ended.stderr
    error = json.loads(ended.stdout)["error"]
    assert error["type"] == "ProcessEnded"
    assert error["message"].startswith("the kernel ended the process of the callback for lack of memory")
    assert f"the limit of {LIMIT_BYTES} bytes" in error["message"]


def test_a_worker_finds_a_result_of_a_job_that_the_kernel_ended(tmp_path: Path, group: Path) -> None:
    arguments = {"session_id": "5e" * 12, "job_id": "0b" * 12, "job_name": "hungry", "params": {}}
    (tmp_path / "main.py").write_text(WORKER.format(module=str(tmp_path), arguments=arguments))
    ended = ran(tmp_path, joining(group, [sys.executable, "main.py"]))
    assert ended.returncode == -9, ended.stderr
    message = json.loads((tmp_path / "result.json").read_text())["error"]["message"]
    assert "killed, for example for lack of memory" in message


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux tells of a process")
def test_a_limit_of_address_space_is_an_error_of_the_callback(tmp_path: Path) -> None:
    limited = (
        "import resource, runpy, sys; sys.argv[1:] = ['exec', 'hungry.py']; "
        "import dcm_processor_service.cli.execute, dcm_processor_service.backends.sqlite; "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {LIMIT_BYTES},) * 2); "
        "runpy.run_module('dcm_processor_service', run_name='__main__')"
    )
    ended = ran(tmp_path, [sys.executable, "-c", limited])
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["error"]["type"] == "MemoryError"
