"""Jobs that run out of memory or are killed, where a call of this package ran in them: ``sessions why`` tells which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from dcm_processor_service import explain_session
from dcm_processor_service.memory_records import MEMORY_RECORD
from tests.command_line import ROOT
from tests.integration.operations.conftest import DIED, DONE, LONG_AGO, Platform
from tests.memory_group import joining, kills_in, memory_group

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mongodb

LIMIT_BYTES = 400 << 20
PROMISE = {"error": {"message": "m", "traceback": "ProcessEnded: the process of the job ended before its callback"}}

ENTRIES = {
    "entrypoint": """
from dcm_processor_service import RuntimeContext, entrypoint
from hog import eat

def run(ctx: RuntimeContext) -> int:
    ctx.session.data["begun"] = True
    return eat()

worker = entrypoint(run)
""",
    "asynchronous": """
import asyncio
from dcm_processor_service import AsyncRuntimeContext, entrypoint
from hog import eat

async def run(ctx: AsyncRuntimeContext) -> int:
    await ctx.session.data.set("begun", True)
    return await asyncio.to_thread(eat)

worker = entrypoint(run)
""",
    "of 0.0.1": """
from dcm_processor_service import set_session_data
from hog import eat

def worker(**arguments):
    set_session_data("begun", True)
    return eat()
""",
}
HOG = """
import os, signal, time

def eat():
    held = []
    while "FULL" in os.environ and len(held) < 4000:
        held.append(bytearray(b"x" * (1 << 20)))
        # the last tenth takes two seconds and more, in which also a busy machine looks at it and writes it down
        time.sleep(0.004 if len(held) < 240 else 0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""
MAIN = """
import json
ARGS, KWARGS, from_json = (), {{}}, json.loads
from entry import worker
if __name__ == "__main__":
    result = worker(**{arguments!r})
    open("result.json", "w").write(json.dumps(result))
"""
"""What the platform's worker writes and runs, as far as a result is concerned."""


def ran(platform: Platform, folder: Path, entry: str, made: tuple[str, ObjectId], group: Path | None) -> int:
    """Runs a job as the worker does, until it is killed; records its end as the queue does."""
    session_id, job_id = made
    arguments = {"session_id": session_id, "job_id": str(job_id), "job_name": "segment", "params": {}}
    (folder / "entry.py").write_text(ENTRIES[entry])
    (folder / "hog.py").write_text(HOG)
    (folder / "main.py").write_text(MAIN.format(arguments=arguments))
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCM")}
    job = {
        "DB_PROVIDER": "mongodb",
        "DB_URL": platform.settings.db_url.get_secret_value(),
        "DB_NAME": platform.database.name,
    }
    job |= {"SESSION_ID": session_id, "JOB_ID": str(job_id), "DURABILITY": "fast"}
    named = {f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in job.items()}
    command = [sys.executable, "main.py"]
    started = datetime.now(timezone.utc)
    ended = subprocess.run(
        command if group is None else joining(group, command),
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **named, **({} if group is None else {"FULL": "1"})},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == -9, ended.stderr
    result = json.loads((folder / "result.json").read_text())
    change = {"done": True, "startedAt": started, "completedAt": datetime.now(timezone.utc), "result": result}
    platform.database.jobs.update_one({"_id": job_id}, {"$set": change})
    return 0 if group is None else kills_in(group)


@pytest.mark.parametrize("entry", ENTRIES)
def test_memory_that_really_runs_out_is_told_from_a_kill(platform: Platform, tmp_path: Path, entry: str) -> None:
    made = platform.session(segment={})
    with memory_group(LIMIT_BYTES) as group:
        if group is None:
            pytest.skip("this machine lets nobody but its own system make control groups that limit memory")
        assert ran(platform, tmp_path, entry, (made.id, made.jobs["segment"]), group) == 1
    why = explain_session(made.id, settings=platform.settings)
    (ended,) = why.ended_early
    assert ended.cause == "out_of_memory"
    assert f"of the {LIMIT_BYTES} bytes of its limit were in use" in ended.sentence
    assert ended.sentence in why.sentence
    assert why.deaths == ()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_kill_with_memory_to_spare_leaves_no_record_of_memory(platform: Platform, tmp_path: Path, entry: str) -> None:
    made = platform.session(segment={})
    ran(platform, tmp_path, entry, (made.id, made.jobs["segment"]), None)
    (ended,) = explain_session(made.id, settings=platform.settings).ended_early
    assert ended.causes == ("killed", "out_of_memory")
    assert not ended.certain


def short(platform: Platform, session_id: str, job_id: ObjectId, at: datetime) -> None:
    value = {"used_bytes": 950, "limit_bytes": 1000, "at_s": int(at.timestamp())}
    place = {"session_id": ObjectId(session_id), "job_id": job_id, "name": MEMORY_RECORD}
    platform.database.sessiondata.insert_one({**place, "value": value})


def test_a_dead_job_with_a_record_ran_out_of_memory_and_one_of_an_earlier_run_does_not_count(
    platform: Platform,
) -> None:
    made = platform.session(segment=DIED | {"startedAt": LONG_AGO}, other=DIED | {"startedAt": LONG_AGO})
    short(platform, made.id, made.jobs["segment"], LONG_AGO + timedelta(seconds=30))
    short(platform, made.id, made.jobs["other"], LONG_AGO - timedelta(minutes=5))
    deaths = {one.job: one for one in explain_session(made.id, settings=platform.settings).deaths}
    assert deaths["segment"].causes == ("out_of_memory", "killed")
    # nor does it say that the callback had begun in this run
    assert deaths["other"].causes == ("killed", "out_of_memory", "import_error", "exit")
    assert "begun" not in deaths["other"].sentence


def test_a_result_of_somebody_else_that_failed_is_not_printed(platform: Platform) -> None:
    made = platform.session(
        segment=DONE | {"result": {"error": {"message": "Doe^Jane", "traceback": "ValueError: Doe^Jane"}}},
        other=DONE | {"result": PROMISE},
    )
    why = explain_session(made.id, settings=platform.settings)
    assert [one.job for one in why.ended_early] == ["other"]
    assert "Doe" not in repr(why)
