"""A process ends within the bound while an operation of its own still waits for a frozen server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.mongo.test_ends import BOUND_S

if TYPE_CHECKING:
    from tests.faults.mongo.conftest import Opener
    from tests.faults.mongo.servers import Mongod

JOB = """
import asyncio, os, signal, sys, threading, time
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import AsyncContainer, Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings

url, database, mode = sys.argv[1:]
values = {"session_id": "5e" * 12, "job_id": "10" * 12, "db_provider": "mongodb", "db_url": url, "db_name": database}
container = Container() if mode == "blocking" else AsyncContainer()
container.settings.override(RuntimeSettings.without_environment(**values))
kept = []

async def put(value):
    await container.data_repository().put(container.job_key(), "a", value)

async def in_flight():
    await put(1)
    print("used", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    kept.append(asyncio.ensure_future(put(2)))  # nobody waits for it
    await asyncio.sleep(0.2)

async def interrupted():
    await put(1)
    print("used", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await put(2)
    except asyncio.CancelledError:
        sys.exit(0)

def in_thread():
    run_inline(put(1))
    print("used", flush=True)
    sys.stdin.readline()
    threading.Thread(target=lambda: run_inline(put(2)), daemon=True).start()
    time.sleep(0.2)

with opened(container):
    asyncio.run({"async": in_flight, "interrupted": interrupted}[mode]()) if mode != "blocking" else in_thread()
print("ends", flush=True)
"""


@pytest.mark.parametrize("mode", ["blocking", "async", "interrupted"])
def test_an_operation_that_nobody_waits_for_keeps_no_process_from_ending(
    standalone: Mongod, opener: Opener, mode: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, standalone.url, opener.database, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "used\n"
        standalone.freeze()
        began = time.monotonic()
        process.stdin.write("\n")
        process.stdin.flush()
        try:
            process.wait(4 * BOUND_S)
        finally:
            took_s = time.monotonic() - began
            process.kill()
    assert process.returncode == 0
    assert took_s < BOUND_S
