"""Entries in the style of 0.0.1 in a process of the worker's: ended at their limit, with a result that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import Container, Job, RuntimeSettings, opened
from dcm_processor_service.ports.concurrency import run_inline
from tests.command_line import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SESSION_ID, JOB_ID = "5e" * 12, "0b" * 12

PLAIN = """
import ctypes, os, signal, sys
from dcm_processor_service import get_session_data, set_session_data


def worker(**_):
    {first}
    {body}
    return "done"
"""

MAIN = """
import json, sys
sys.path.insert(0, {folder!r})
ARGS, KWARGS, from_json = (), {{}}, json.loads
from plain import worker
if __name__ == "__main__":
    result = worker(session_id={session!r}, job_id={job!r}, job_name="plain", params={{}})
    with open("result.json", "w") as file:
        json.dump(result, file)
"""
"""What the platform's worker writes and runs, as far as a result is concerned."""

SLEEPS = "ctypes.PyDLL(None).sleep(60)"  # holds the interpreter's lock all the time


def ran(
    folder: Path,
    body: str,
    timeout_s: float | None,
    first: str = "set_session_data('begun', 1)",
    code: str = PLAIN,
) -> tuple[int, str]:
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(folder / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    with opened(Container(settings=settings)) as container:
        job = Job(id=JOB_ID, session_id=SESSION_ID, name="plain", timeout_s=timeout_s)
        run_inline(container.workspace_repository().add_job(job))
    (folder / "plain.py").write_text(code.format(first=first, body=body))
    (folder / "main.py").write_text(MAIN.format(folder=str(folder), session=SESSION_ID, job=JOB_ID))
    values = {"DB_PROVIDER": "sqlite", "DB_URL": str(folder / "work"), "SESSION_ID": SESSION_ID, "JOB_ID": JOB_ID}
    values["GRACE_S"] = "0.2"
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCM")}
    variables = {f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in values.items()}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "main.py"],
        cwd=folder,
        env={**kept, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    result = folder / "result.json"
    return ended.returncode, result.read_text() if result.exists() else ended.stderr


def test_an_entry_is_ended_at_its_limit_from_its_first_use_of_this_package_on(tmp_path: Path) -> None:
    code, result = ran(tmp_path, SLEEPS, timeout_s=0.5)
    assert code == 1
    assert "reached its time limit of 0.5 s" in json.loads(result)["error"]["message"]


def test_an_entry_that_is_killed_leaves_a_result(tmp_path: Path) -> None:
    code, result = ran(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", timeout_s=None)
    assert code == -9
    assert "it was killed" in json.loads(result)["error"]["message"]


@pytest.mark.parametrize("timeout_s", [None, 40.0])
def test_an_entry_that_returns_in_time_has_its_own_result(tmp_path: Path, timeout_s: float | None) -> None:
    assert ran(tmp_path, "pass", timeout_s) == (0, '"done"')


def test_a_thread_that_goes_on_beyond_the_limit_leaves_the_result_of_the_entry(tmp_path: Path) -> None:
    body = "import threading; threading.Thread(target=lambda: __import__('time').sleep(60)).start()"
    code, result = ran(tmp_path, body, timeout_s=5.0)  # enough for a busy machine to return before it
    assert (code, result) == (1, '"done"')  # the thread is waited for until the grace is over


def test_a_child_that_imports_all_anew_neither_keeps_the_limit_nor_promises_a_result(tmp_path: Path) -> None:
    body = (
        "import multiprocessing, pathlib\n"
        "    p = multiprocessing.get_context('spawn').Process(target=get_session_data, args=('begun',))\n"
        "    pathlib.Path('result.json').write_text('untouched')\n"
        "    p.start(); p.join()\n"
        "    return pathlib.Path('result.json').read_text()"
    )
    assert ran(tmp_path, body, timeout_s=40.0) == (0, '"untouched"')


def test_an_asynchronous_callback_that_uses_a_function_without_a_context_is_ended_by_its_runner(
    tmp_path: Path,
) -> None:
    text = (
        "import faulthandler\n"
        "from dcm_processor_service import AsyncRuntimeContext, entrypoint, set_session_data\n"
        "armed = []\n"
        "async def run(ctx: AsyncRuntimeContext):\n"
        "    faulthandler.dump_traceback_later = lambda *words, **_: armed.append(words)\n"
        "    set_session_data('begun', 1)\n"
        "    return len(armed)\n"
        "worker = entrypoint(run)\n"
    )
    code, result = ran(tmp_path, "", timeout_s=40.0, code=text)
    assert (code, result) == (0, "0")


def test_an_entry_that_asks_nothing_of_this_package_is_not_watched(tmp_path: Path) -> None:
    code, result = ran(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", timeout_s=0.5, first="pass")
    assert (code, result) == (-9, "")


def test_a_forked_child_neither_keeps_the_limit_nor_ends_it(tmp_path: Path) -> None:
    body = "p = os.fork()\n    p or (get_session_data('begun'), os._exit(0))\n    os.waitpid(p, 0)\n    " + SLEEPS
    code, result = ran(tmp_path, body, timeout_s=1.0)
    assert code == 1
    assert "reached its time limit of 1 s" in json.loads(result)["error"]["message"]
