"""Time and memory: what the callback is told, what becomes of one that does not look, what is warned of."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import AsyncRuntimeContext, Container, Job, RuntimeContext, RuntimeSettings
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.backends.mongo.job_documents import job as read_job
from dcm_processor_service.errors import CallbackFailedError, JobTimeoutError, UnsupportedValueError
from dcm_processor_service.models.durations import duration_s
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED, Cancellation
from dcm_processor_service.runtime.execution.memory import KilledForMemory, MemoryLimit, MemoryWatch
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dcm_processor_service.runtime.execution.time_limit import TimeLimit

SESSION_ID, JOB_ID = "5" * 24, "1" * 24
SETTINGS = RuntimeSettings.without_environment(db_provider="memory", session_id=SESSION_ID, job_id=JOB_ID)
AT_ONCE_S = 1e-9
AN_HOUR_S = 3600.0


def limited(timeout_s: float | None) -> Job:
    return Job(id=JOB_ID, session_id=SESSION_ID, name="segment", timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600.0), ("5s", 5.0), ("1h 30m", 5400.0), ("2d", 172_800.0), ("0.5s", 0.5), ("45", 45.0), (45, 45.0)]
    + [(none, None) for none in (None, "", " ", 0, "0s", "-1", -1, True)]
    + [(endless, None) for endless in (float("inf"), 1e300, 10**400, "99999999999d", f"{'9' * 400}s")],
)
def test_durations_are_read_as_the_manifest_spells_them(text: Any, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["soon", "10 minutes", "m", "-5s", "1.2.3"])
def test_what_is_no_duration_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(UnsupportedValueError, match="write 90s, 10m, 2h or 1h30m"):
        duration_s(text)


def test_the_document_of_a_job_tells_its_limit_and_one_that_nobody_can_read_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    document = {"_id": JOB_ID, "sessionId": SESSION_ID}
    found = [read_job({**document, "job_timeout": text}).timeout_s for text in ("10m", None, "soon", ["10m"])]
    assert found == [600.0, None, None, None]
    assert [record.message for record in caplog.records] == [
        f"the timeout of the job {JOB_ID} is ignored: 'soon' is not a duration; write 90s, 10m, 2h or 1h30m"
    ]


def test_a_callback_knows_how_long_it_has() -> None:
    def run(ctx: RuntimeContext) -> bool:
        assert ctx.deadline is not None
        assert ctx.remaining_s is not None
        assert 0 < (ctx.deadline - datetime.now(timezone.utc)).total_seconds() <= AN_HOUR_S
        assert 0 < ctx.remaining_s <= AN_HOUR_S
        return ctx.cancelled

    outcome = run_callback(run, SETTINGS, job=limited(AN_HOUR_S))
    assert (outcome.result, outcome.exit_code) == (False, 0)


def test_a_job_without_a_limit_has_no_deadline() -> None:
    def run(ctx: RuntimeContext) -> list[Any]:
        return [ctx.deadline, ctx.remaining_s, ctx.cancelled]

    assert run_callback(run, SETTINGS, job=limited(None)).result == [None, None, False]
    ctx = fake_context()
    assert (ctx.deadline, ctx.remaining_s) == (None, None)


def test_one_that_sees_its_limit_and_returns_has_failed_for_its_result_may_be_a_part() -> None:
    def run(ctx: RuntimeContext) -> str:
        return "partial" if ctx.cancelled else "whole"

    async def run_async(ctx: AsyncRuntimeContext) -> str:
        return "partial" if ctx.remaining_s == 0.0 else "whole"

    for callback in (run, run_async):
        outcome = run_callback(callback, SETTINGS, job=limited(AT_ONCE_S))
        assert isinstance(outcome.error, JobTimeoutError)
        assert isinstance(outcome.error, TimeoutError)
        assert (outcome.exit_code, outcome.result) == (1, "partial")
        assert outcome.as_json()["error"]["type"] == "JobTimeoutError"


def test_one_that_does_not_look_and_returns_in_time_is_done() -> None:
    def run(ctx: RuntimeContext) -> str:
        return f"whole {ctx.job.id}"

    outcome = run_callback(run, SETTINGS, job=limited(AT_ONCE_S))
    assert (outcome.result, outcome.error, outcome.exit_code) == (f"whole {JOB_ID}", None, 0)


def test_what_it_raises_after_its_limit_is_kept() -> None:
    def run(ctx: RuntimeContext) -> None:
        if ctx.cancelled:
            raise LookupError("half done")

    outcome = run_callback(run, SETTINGS, job=limited(AT_ONCE_S))
    assert isinstance(outcome.error, CallbackFailedError)
    assert "half done" in str(outcome.error)


def test_an_end_that_was_asked_for_is_reported_as_one_also_after_the_limit() -> None:
    cancellation = Cancellation(lambda: 7.0)
    cancellation.limit(7.0)
    assert (cancellation.requested, cancellation.signalled, cancellation.remaining_s) == (True, False, 0.0)

    def customise(container: Container) -> None:
        container.cancellation().cancel()

    def run(ctx: RuntimeContext) -> bool:
        return ctx.cancelled

    outcome = run_callback(run, SETTINGS, job=limited(AT_ONCE_S), customise=customise)
    assert (outcome.exit_code, outcome.error, outcome.result) == (EXIT_CANCELLED, None, True)


# a process that is ended: what holds the interpreter's lock cannot be asked

MAIN = """
import json, sys
{prelude}
from dcm_processor_service import AsyncRuntimeContext, Container, Job, RuntimeContext, entrypoint
from dcm_processor_service.backends.memory import MemoryJobRepository

async def find(self, job_id):
    return Job(id=job_id, session_id="5" * 24, timeout_s={limit_s})

MemoryJobRepository.find = find
{body}
from_json = json.loads
ARGS, KWARGS = [], {{"session_id": "5" * 24, "job_id": "1" * 24, "job_name": "segment", "db_provider": "memory"}}
try:
    data = {{"result": entrypoint(run)(*ARGS, **KWARGS)}}
except Exception as error:
    data = {{"error": {{"message": str(error), "traceback": ""}}}}
with open(__file__.replace("main.py", "result.json"), "w") as file:
    json.dump(data, file)
"""

HOLDS_THE_LOCK = """
import ctypes
def run(ctx: RuntimeContext):
    ctypes.PyDLL(None).sleep(3600)
"""
WAITS = """
import asyncio
async def run(ctx: AsyncRuntimeContext):
    await asyncio.sleep(3600)
"""
KILLED = """
import os, signal
def run(ctx: RuntimeContext):
    os.kill(os.getpid(), signal.SIGKILL)
"""
FORKS_AND_RETURNS = """
import os, signal
def run(ctx: RuntimeContext):
    child = os.fork()
    if child == 0:
        os.close(1), os.close(2)  # whoever reads what the job prints waits for their end
        signal.pause()
        os._exit(0)
    return child
"""


def ran(folder: Path, body: str, limit_s: float | None, grace_s: float = 0.0) -> tuple[int, dict[str, Any], str]:
    """Runs a worker's own ``main.py``; gives exit code, result file and what was printed."""
    (folder / "main.py").write_text(MAIN.format(prelude="", body=textwrap.dedent(body), limit_s=limit_s))
    environment = {**os.environ, "DCM_PROCESSOR_SERVICE_GRACE_S": str(grace_s)}
    ended = subprocess.run(
        [sys.executable, str(folder / "main.py")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert sorted(path.name for path in folder.iterdir()) == ["main.py", "result.json"]
    return ended.returncode, json.loads((folder / "result.json").read_text()), ended.stderr


@pytest.mark.parametrize(("body", "where"), [(HOLDS_THE_LOCK, "in run"), (WAITS, "in select")])
def test_a_job_that_does_not_end_is_ended_with_a_result_that_says_so(tmp_path: Path, body: str, where: str) -> None:
    # long enough for a busy machine to start the callback, and the process that leaves the result behind
    code, result, printed = ran(tmp_path, body, limit_s=3.0)
    assert code == 1
    assert "reached its time limit of 3 s and did not return in the grace of 0 s" in result["error"]["message"]
    assert where in printed


def test_a_process_that_is_killed_leaves_a_result_that_says_so(tmp_path: Path) -> None:
    code, result, _printed = ran(tmp_path, KILLED, limit_s=None)
    assert code == -9
    assert "was killed, for example for lack of memory" in result["error"]["message"]


def test_a_job_that_ends_in_time_waits_for_nothing(tmp_path: Path) -> None:
    code, result, printed = ran(tmp_path, FORKS_AND_RETURNS, limit_s=AN_HOUR_S)
    os.kill(result["result"], 9)
    assert code == 0
    last = json.loads(printed.splitlines()[-1])
    assert last["message"] == "the callback has ended"
    assert last["duration_s"] >= 0
    assert last["peak_memory_bytes"] > 2**20


# memory


def control_group(root: Path, version: int, limit: str, used: int, inactive: int, active: int = 0) -> Path:
    """Lays out what the kernel shows of a group ``job`` within a group ``worker``."""
    (root / "proc/self").mkdir(parents=True)
    if version == 2:
        (root / "proc/self/cgroup").write_text("0::/worker/job\n")
        folder, names = root / "sys/fs/cgroup/worker/job", ("memory.max", "memory.current", "inactive_file")
    else:
        (root / "proc/self/cgroup").write_text("5:cpu,cpuacct:/\n4:memory:/worker/job\n0::/\n")
        folder = root / "sys/fs/cgroup/memory/worker/job"
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder.mkdir(parents=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    pages = f"{names[2]} {inactive}\n{names[2].replace('inactive', 'active')} {active}\n"
    own = "inactive_file 7\nactive_file 7\n" if version == 1 else ""  # without the groups below
    (folder / "memory.stat").write_text(f"anon 12\n{own}{pages}odd\n")
    (folder.parent / names[0]).write_text("max\n" if version == 2 else f"{2**63 - 4096}\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_nine_tenths_of_a_memory_limit_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: int
) -> None:
    folder = control_group(tmp_path, version, "1000", used=950, inactive=100)
    limit = MemoryLimit.of_this_process(tmp_path)
    assert limit is not None
    assert (limit.limit_bytes, limit.used_bytes()) == (1000, 850)
    watch = MemoryWatch(limit, fake_context().log)
    with caplog.at_level(logging.INFO):
        assert not watch.look()
        assert not caplog.records
        (folder / limit.usage).write_text("1000")
        assert watch.look()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "nine tenths of the memory limit are in use" in record.message


@pytest.mark.parametrize("version", [1, 2])
def test_pages_of_files_are_not_in_use_however_often_they_were_read(tmp_path: Path, version: int) -> None:
    folder = control_group(tmp_path, version, "1000", used=990, inactive=100, active=700)
    limit = MemoryLimit.of_this_process(tmp_path)
    assert limit is not None
    assert limit.used_bytes() == 190
    assert not MemoryWatch(limit, fake_context().log).look()
    (folder / limit.usage).write_text("700")  # read before the statistics were
    assert limit.used_bytes() == 0


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_limit_of_a_group_and_those_above_it_counts(tmp_path: Path, version: int) -> None:
    folder = control_group(tmp_path, version, "1000", used=0, inactive=0)
    name = "memory.max" if version == 2 else "memory.limit_in_bytes"
    (folder.parent / name).write_text("600")
    limit = MemoryLimit.of_this_process(tmp_path)
    assert limit is not None
    assert (limit.folder, limit.limit_bytes) == (folder.parent, 600)


def test_where_nothing_limits_memory_there_is_no_limit_and_what_goes_is_not_asked_again(tmp_path: Path) -> None:
    assert MemoryLimit.of_this_process(tmp_path) is None
    folder = control_group(tmp_path, 2, "max", used=5, inactive=0)
    assert MemoryLimit.of_this_process(tmp_path) is None
    gone = MemoryLimit(folder / "gone", 10, "memory.current", "memory.events", "inactive_file")
    assert gone.used_bytes() is None
    assert MemoryWatch(gone, fake_context().log).look()


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_of_the_kernel_is_distinguished_from_one_of_somebody(tmp_path: Path, version: int) -> None:
    folder = control_group(tmp_path, version, "1000", used=0, inactive=0)
    counts = folder / ("memory.events" if version == 2 else "memory.oom_control")
    counts.write_text("oom 1\noom_kill 1\n")
    killed = KilledForMemory(MemoryLimit.of_this_process(tmp_path))
    assert not killed.sentence()
    counts.write_text("oom 2\noom_kill 2\n")
    assert "for lack of memory: the limit of 1000 bytes was reached" in killed.sentence()
    counts.unlink()
    assert not killed.sentence()
    assert not KilledForMemory(None).sentence()


def test_the_limit_of_the_stored_job_is_kept_though_the_worker_does_not_tell_it() -> None:
    store = MemoryStore()
    store.jobs[JOB_ID] = limited(AN_HOUR_S)
    given: list[float] = []

    def run(ctx: RuntimeContext) -> bool:
        return ctx.deadline is not None

    def customise(container: Container) -> None:
        container.backend.override(store.backend())

    def ended_by(limit: TimeLimit) -> AbstractContextManager[None]:
        given.append(limit.limit_s)
        return nullcontext()

    outcome = run_callback(run, SETTINGS, job=limited(None), customise=customise, ended_by=ended_by)
    assert (outcome.result, given) == (True, [AN_HOUR_S])
