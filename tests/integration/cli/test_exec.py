"""``exec``: a worker's way in. One JSON line, one exit code, nothing else on the standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container, Job, RuntimeSettings, opened
from dcm_processor_service.ports.concurrency import run_inline
from tests.command_line import ROOT, Ran, run_here, run_process

if TYPE_CHECKING:
    from pathlib import Path

SESSION_ID, JOB_ID = "5e" * 12, "0b" * 12


def of_worker(**variables: str) -> dict[str, str]:
    """Variables as the platform's worker spells them."""
    return {f"DCM-PROCESSOR-SERVICE-{name.replace('_', '-')}": value for name, value in variables.items()}


def job_variables(folder: Path, **variables: str) -> dict[str, str]:
    job = {
        "DB_PROVIDER": "sqlite",
        "DB_URL": str(folder / "work"),
        "SESSION_ID": SESSION_ID,
        "JOB_ID": JOB_ID,
        "JOB_NAME": "segment",
    }
    return of_worker(**(job | variables))


def execute(folder: Path, reference: str = "callback.py", **variables: str) -> tuple[int, dict[str, Any], str]:
    return recorded(run_process("exec", reference, folder=folder, variables=job_variables(folder, **variables)))


def execute_here(folder: Path, reference: str = "callback.py", **variables: str) -> tuple[int, dict[str, Any], str]:
    return recorded(run_here("exec", reference, folder=folder, variables=job_variables(folder, **variables)))


def recorded(ran: Ran) -> tuple[int, dict[str, Any], str]:
    lines = ran.stdout.splitlines()
    assert len(lines) == 1, ran.stdout + ran.stderr
    record: dict[str, Any] = json.loads(lines[0])
    assert record.pop("duration_s") >= 0
    record.pop("peak_memory_bytes")
    first, last = operators_lines(ran)
    assert (first["message"], last["message"]) == ("the job has started", "the job has ended")
    assert last["exit_code"] == ran.code
    assert (first["level"], last["level"]) == ("info", "error" if ran.code else "info")
    assert last["error"] == record.get("error", {}).get("type")
    return ran.code, record, ran.stderr


def operators_lines(ran: Ran) -> list[dict[str, Any]]:
    """What exec itself says of the run, at the start and at the end."""
    lines = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith('{"time"')]
    return [line for line in lines if line["logger"] == "dcm_processor_service.exec"]


def write(folder: Path, text: str) -> None:
    (folder / "callback.py").write_text(text, encoding="utf-8")


HEAD = "from __future__ import annotations\nfrom dcm_processor_service import *\n"


def test_the_result_is_one_line_whatever_else_is_printed(tmp_path: Path) -> None:
    write(
        tmp_path,
        HEAD + "import atexit, ctypes, os, subprocess, sys\n"
        "print('at import')\n"
        "def run(ctx: RuntimeContext):\n"
        "    print('printed', end='')\n"
        "    sys.stdout.write('unfinished')\n"
        "    os.write(1, b'raw\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"child\")'], check=True)\n"
        "    ctypes.CDLL(None).puts(b'from C')\n"
        "    atexit.register(print, 'at exit')\n"
        "    ctx.session.data['x'] = 1\n"
        "    return {'ü': [1, 2**70, float('nan')], 'name': ctx.job.name}\n",
    )
    code, record, errors = execute(tmp_path)
    assert code == 0
    assert record == {"result": {"ü": [1, str(2**70), None], "name": "segment"}}
    for text in ("at import", "printed", "unfinished", "raw", "child", "from C", "at exit"):
        assert text in errors
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    with opened(Container(settings=settings)) as container:
        assert container.session().data["x"] == 1


def test_an_async_callback_and_its_params(tmp_path: Path) -> None:
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    with opened(Container(settings=settings)) as container:
        workspace = container.backend().workspace
        assert workspace is not None
        run_inline(workspace.add_job(Job(id=JOB_ID, session_id=SESSION_ID, name="segment", params={"threshold": 3})))
    write(
        tmp_path,
        HEAD + "from pydantic import BaseModel\n"
        "class Params(BaseModel):\n"
        "    threshold: float\n"
        "async def go(ctx: AsyncRuntimeContext, params: Params):\n"
        "    await ctx.session.data.set('x', params.threshold)\n"
        "    return await ctx.session.data.get('x', float)\n",
    )
    assert execute(tmp_path, "callback.py:go")[:2] == (0, {"result": 3.0})
    assert execute(tmp_path, "callback:go")[:2] == (0, {"result": 3.0})


@pytest.mark.parametrize(
    ("body", "code", "kind", "message"),
    [
        ("raise ValueError('no \\udcff liver')", 1, "ValueError", "the callback failed: ValueError: no ? liver"),
        ("raise DcmProcessorError('own')", 1, "DcmProcessorError", "own"),
        ("ctx.session.data.get('x', job='nothing')", 1, "JobNotFoundError", "no other job named 'nothing'"),
        (
            "from dcm_processor_service.errors import PeerUnreachableError; raise PeerUnreachableError('nobody')",
            3,
            "PeerUnreachableError",
            "nobody",
        ),
        ("import sys; sys.exit(0)", 1, "SystemExit", "the callback ended the process: SystemExit: 0"),
        ("raise SystemExit('bye')", 1, "SystemExit", "SystemExit: bye"),
    ],
)
def test_a_failing_callback_is_a_record_with_its_traceback(
    tmp_path: Path, body: str, code: int, kind: str, message: str
) -> None:
    write(tmp_path, f"{HEAD}def run(ctx: RuntimeContext):\n    {body}\n")
    found, record, errors = execute_here(tmp_path)
    assert found == code
    assert record["error"]["type"] == kind
    assert message in record["error"]["message"]
    assert record["error"]["retryable"] is (code == 3)
    assert "callback.py" in record["error"]["traceback"]
    assert "error: the callback " in errors


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        ("def run(ctx): ...\n", "callback.py", "'ctx' of run has no annotation"),
        (HEAD + "def run(ctx: int): ...\n", "callback.py", "annotated int, which cannot be injected"),
        (HEAD + "def run(ctx: AsyncRuntimeContext): ...\n", "callback.py", "write async def run"),
        (HEAD + "def run(ctx: RuntimeContext): yield\n", "callback.py", "has a yield"),
        ("", "callback.py", "has no function 'run'"),
        ("", "missing.py", "there is no file 'missing.py'"),
        ("", "nowhere:run", "'nowhere' cannot be imported"),
        ("import nowhere\n", "callback.py", "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(tmp_path: Path, text: str, reference: str, message: str) -> None:
    write(tmp_path, text)
    code, record, errors = execute_here(tmp_path, reference)
    assert code == 2
    assert message in record["error"]["message"]
    assert "\n" not in record["error"]["message"]
    assert "Traceback" not in errors


def test_a_missing_environment_is_one_error_that_names_every_variable(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext): ...\n")
    variables = of_worker(JOB_ID="short", DB_URL="mongodb://u:SECRET@h")
    ran = run_here("exec", "callback.py", folder=tmp_path, variables=variables)
    assert ran.code == 2
    first, last = operators_lines(ran)
    assert first["callback"] == "callback.py"
    assert first.keys() & {"session", "job"} == set()
    assert (last["exit_code"], last["error"]) == (2, "ConfigurationError")
    record = json.loads(ran.stdout)
    for name in ("DB-PROVIDER is not set", "SESSION-ID is not set", "JOB-ID is malformed"):
        assert name in record["error"]["message"]
    assert "SECRET" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_params_that_do_not_fit_name_the_field(tmp_path: Path) -> None:
    write(
        tmp_path,
        HEAD + "from pydantic import BaseModel\nclass P(BaseModel):\n    threshold: float\ndef run(p: P): ...\n",
    )
    code, record, _errors = execute_here(tmp_path)
    assert (code, record["error"]["type"]) == (2, "JobNotFoundError")
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    with opened(Container(settings=settings)) as container:
        workspace = container.backend().workspace
        assert workspace is not None
        run_inline(workspace.add_job(Job(id=JOB_ID, session_id=SESSION_ID, name="segment")))
    code, record, _errors = execute_here(tmp_path)
    assert (code, record["error"]["type"]) == (2, "ConfigurationError")
    assert "threshold: Field required" in record["error"]["message"]


def test_an_unknown_store_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext): ...\n")
    code, record, errors = execute_here(tmp_path, DB_PROVIDER="oracle")
    assert code == 2
    assert "names the store 'oracle'" in record["error"]["message"]
    assert "Traceback" not in errors


def test_a_database_that_does_not_answer_is_reported_by_default_within_seconds(
    tmp_path: Path, closed_port: int
) -> None:
    variables = {
        "DB_PROVIDER": "mongodb",
        "DB_URL": f"mongodb://user:SECRET@127.0.0.1:{closed_port}",
        "DB_NAME": "platform",
    }
    for mode, text in {
        "blocking": "def run(ctx: RuntimeContext):\n    ctx.session.data.get('x')\n",
        "async": "async def run(ctx: AsyncRuntimeContext):\n    await ctx.session.data.get('x')\n",
    }.items():
        (tmp_path / mode).mkdir()
        write(tmp_path / mode, HEAD + text)
    with ThreadPoolExecutor() as pool:  # both wait at the same time
        ran = pool.map(lambda mode: execute(tmp_path / mode, **variables), ["blocking", "async"])
    for code, record, errors in ran:
        assert code == 3
        assert record["error"]["type"] == "StoreUnavailableError"
        assert record["error"]["retryable"] is True
        # at the first look, for the job's document: the callback would wait another time
        assert record["error"]["message"].startswith("MongoDB did not answer in time")
        assert "SECRET" not in json.dumps(record) + errors


def test_a_workspace_that_cannot_be_made_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext):\n    ctx.session.data['x'] = 1\n")
    code, record, _errors = execute_here(tmp_path, DB_URL=str(tmp_path / "file" / "work"))
    assert code == 3
    assert "cannot be used: Not a directory" in record["error"]["message"]


DIES = {
    "os.kill(os.getpid(), signal.SIGKILL)": (137, "ProcessEnded", "the signal SIGKILL ended the process"),
    "os.kill(os.getpid(), signal.SIGSEGV)": (139, "ProcessEnded", "SIGSEGV from a library that crashed"),
    "os._exit(0)": (1, "ProcessEnded", "ended its process with the code 0 and left no result"),
    "ctypes.PyDLL(None).sleep(3600)": (1, "JobTimeoutError", "reached its time limit of 0.2 s"),
}


@pytest.mark.parametrize("body", DIES)
def test_a_process_that_dies_has_its_result_and_its_last_line_all_the_same(tmp_path: Path, body: str) -> None:
    code, kind, message = DIES[body]
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    timeout_s = 0.2 if kind == "JobTimeoutError" else None
    with opened(Container(settings=settings)) as container:
        job = Job(id=JOB_ID, session_id=SESSION_ID, name="segment", timeout_s=timeout_s)
        run_inline(container.workspace_repository().add_job(job))
    write(tmp_path, f"{HEAD}import ctypes, os, signal\ndef run(ctx: RuntimeContext):\n    {body}\n")
    ended, record, errors = execute(tmp_path, GRACE_S="0")
    assert (ended, record["error"]["type"]) == (code, kind)
    assert message in record["error"]["message"]
    assert f"error: {record['error']['message']}" in errors


def test_a_result_that_nobody_reads_is_a_failure_without_a_traceback(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext):\n    return 1\n")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "dcm_processor_service", "exec", "callback.py"]
    environment = {**os.environ, **job_variables(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert ran.returncode == 1
    assert "the job has ended" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_start_names_the_job_and_the_end_what_it_took(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext):\n    return 1\n")
    ran = run_process("exec", "callback.py", folder=tmp_path, variables=job_variables(tmp_path, JOB_SERVICE_NAME="s"))
    first, last = operators_lines(ran)
    for line in (first, last):
        assert (line["session"], line["job"], line["service"]) == (SESSION_ID, JOB_ID, "s")
    assert last["duration_s"] >= 0
    assert last["peak_memory_bytes"] == json.loads(ran.stdout)["peak_memory_bytes"] > 2**20


def test_nothing_runs_on_when_the_process_that_was_started_is_killed(tmp_path: Path) -> None:
    write(
        tmp_path,
        HEAD + "import os, signal\n"
        "def run(ctx: RuntimeContext):\n"
        "    os.write(2, b'%d\\n' % os.getpid())\n"
        "    signal.pause()\n",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "dcm_processor_service", "exec", "callback.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **job_variables(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert any(line.strip().isdigit() for line in iter(process.stderr.readline, b""))
        process.kill()
        process.stderr.read()  # ends when nobody has it open any more
