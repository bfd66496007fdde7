"""A container that is never closed does not keep a process from ending, and its temporary files are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.local.kinds import python

if TYPE_CHECKING:
    from pathlib import Path

NEVER_CLOSED = """
import json, sys
from dcm_processor_service import Container, RuntimeSettings
settings = RuntimeSettings.without_environment(
    session_id="5" * 24, job_id="1" * 24, scratch=sys.argv[2] + "/scratch", **json.loads(sys.argv[1]))
container = Container(settings=settings)
session = container.session()
session.data["a"] = 1
session.files.put("a.txt", b"x")
session.files.load("a.txt")
container.scratch().folder("series").joinpath("patient.dcm").write_bytes(b"x")
print("end of the script")
"""

NEVER_CLOSED_ASYNC = """
import asyncio, json, sys
from dcm_processor_service import AsyncContainer, RuntimeSettings
settings = RuntimeSettings.without_environment(
    session_id="5" * 24, job_id="1" * 24, scratch=sys.argv[2] + "/scratch", **json.loads(sys.argv[1]))
container = AsyncContainer(settings=settings)
async def body():
    session = container.session()
    await session.data.set("a", 1)
    await session.files.put("a.txt", b"x")
    await session.files.load("a.txt")
asyncio.run(body())
container.scratch().folder("series").joinpath("patient.dcm").write_bytes(b"x")
print("end of the script")
"""


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("code", [NEVER_CLOSED, NEVER_CLOSED_ASYNC], ids=["blocking", "async"])
def test_a_container_that_was_never_closed_lets_the_interpreter_end(code: str, store: str, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    values = f'{{"db_provider": "{store}", "db_url": "{tmp_path}/work"}}'
    ran = python("-W", "error", "-c", code, values, tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "end of the script\n", "")
    assert list((tmp_path / "scratch").iterdir()) == []
