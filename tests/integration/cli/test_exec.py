"""``exec``: a worker's way in. One JSON line, one exit code, nothing else on the standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dcm_processor_service import Container, Job, RuntimeSettings, opened
from dcm_processor_service._blocking import run_inline
from dcm_processor_service.cli.app import app

ROOT = Path(__file__).parents[3]
SESSION_ID, JOB_ID = "5e" * 12, "0b" * 12


def command(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCM")}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment |= {f"DCM-PROCESSOR-SERVICE-{name.replace('_', '-')}": value for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dcm_processor_service", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=60,
    )


def execute(folder: Path, reference: str = "callback.py", **variables: str) -> tuple[int, dict[str, Any], str]:
    job = {
        "DB_PROVIDER": "sqlite",
        "DB_URL": str(folder / "work"),
        "SESSION_ID": SESSION_ID,
        "JOB_ID": JOB_ID,
        "JOB_NAME": "segment",
    }
    ran = command("exec", reference, folder=folder, **(job | variables))
    lines = ran.stdout.splitlines()
    assert len(lines) == 1, ran.stdout + ran.stderr
    record: dict[str, Any] = json.loads(lines[0])
    return ran.returncode, record, ran.stderr


def execute_here(folder: Path, monkeypatch: pytest.MonkeyPatch, reference: str = "callback.py") -> tuple[Any, ...]:
    """The same without a process of its own, which is fast; the standard output is the runner's."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    for name, value in {
        "DB_PROVIDER": "sqlite",
        "DB_URL": str(folder / "work"),
        "SESSION_ID": SESSION_ID,
        "JOB_ID": JOB_ID,
    }.items():
        monkeypatch.setenv(f"DCM_PROCESSOR_SERVICE_{name}", value)
    result = CliRunner().invoke(app, ["exec", reference], catch_exceptions=False)
    for name in set(sys.modules) - before:
        if name.startswith("callback"):
            del sys.modules[name]
    return result.exit_code, json.loads(result.stdout), result.stderr


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, code: int, kind: str, message: str
) -> None:
    write(tmp_path, f"{HEAD}def run(ctx: RuntimeContext):\n    {body}\n")
    found, record, errors = execute_here(tmp_path, monkeypatch)
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
def test_what_cannot_be_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reference: str, message: str
) -> None:
    write(tmp_path, text)
    code, record, errors = execute_here(tmp_path, monkeypatch, reference)
    assert code == 2
    assert message in record["error"]["message"]
    assert "\n" not in record["error"]["message"]
    assert "Traceback" not in errors


def test_a_missing_environment_is_one_error_that_names_every_variable(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext): ...\n")
    ran = command("exec", "callback.py", folder=tmp_path, JOB_ID="short", DB_URL="mongodb://u:SECRET@h")
    assert ran.returncode == 2
    record = json.loads(ran.stdout)
    for name in ("DB-PROVIDER is not set", "SESSION-ID is not set", "JOB-ID is malformed"):
        assert name in record["error"]["message"]
    assert "SECRET" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_params_that_do_not_fit_name_the_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        HEAD + "from pydantic import BaseModel\nclass P(BaseModel):\n    threshold: float\ndef run(p: P): ...\n",
    )
    code, record, _errors = execute_here(tmp_path, monkeypatch)
    assert (code, record["error"]["type"]) == (2, "JobNotFoundError")
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "work"), session_id=SESSION_ID, job_id=JOB_ID
    )
    with opened(Container(settings=settings)) as container:
        workspace = container.backend().workspace
        assert workspace is not None
        run_inline(workspace.add_job(Job(id=JOB_ID, session_id=SESSION_ID, name="segment")))
    code, record, _errors = execute_here(tmp_path, monkeypatch)
    assert (code, record["error"]["type"]) == (2, "ConfigurationError")
    assert "threshold: Field required" in record["error"]["message"]


def test_an_unknown_store_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext): ...\n")
    code, record, errors = execute(tmp_path, DB_PROVIDER="oracle")
    assert code == 2
    assert "names the store 'oracle'" in record["error"]["message"]
    assert "Traceback" not in errors


def test_a_database_that_does_not_answer_is_told_by_default_within_seconds(tmp_path: Path, closed_port: int) -> None:
    variables = {
        "DB_PROVIDER": "mongodb",
        "DB_URL": f"mongodb://user:SECRET@127.0.0.1:{closed_port}",
        "DB_NAME": "platform",
    }
    for colour, text in {
        "blocking": "def run(ctx: RuntimeContext):\n    ctx.session.data.get('x')\n",
        "async": "async def run(ctx: AsyncRuntimeContext):\n    await ctx.session.data.get('x')\n",
    }.items():
        (tmp_path / colour).mkdir()
        write(tmp_path / colour, HEAD + text)
    with ThreadPoolExecutor() as pool:  # both wait at the same time
        ran = pool.map(lambda colour: execute(tmp_path / colour, **variables), ["blocking", "async"])
    for code, record, errors in ran:
        assert code == 3
        assert record["error"]["type"] == "StoreUnavailableError"
        assert record["error"]["retryable"] is True
        assert "SECRET" not in json.dumps(record) + errors


def test_a_workspace_that_cannot_be_made_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write(tmp_path, HEAD + "def run(ctx: RuntimeContext):\n    ctx.session.data['x'] = 1\n")
    code, record, _errors = execute(tmp_path, DB_URL=str(tmp_path / "file" / "work"))
    assert code == 3
    assert "cannot be made" in record["error"]["message"]
