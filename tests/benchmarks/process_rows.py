"""Whole processes, from their start to their end: what somebody waits for who runs a command or a job."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bson import ObjectId
from dcm2niix import bin as dcm2niix_program

from tests.benchmarks.imaging_rows import fresh
from tests.benchmarks.measuring import Row, Spent, Way, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.store_rows import Database

__all__ = ["process_rows"]

ROOT = Path(__file__).parents[2]
OURS = """
from dcm_processor_service import Container, opened
with opened(Container()) as container:
    container.context().session.data.get("x")
"""
IMPORTS = """
from dcm_processor_service import Container, opened
import dcm_processor_service.backends.mongo.driver.blocking
import dcm_processor_service.session.session
"""
LIBRARIES = """
import asyncio, dependency_injector.containers, importlib.metadata, logging, pydantic, pydantic_settings, pymongo
class Settings(pydantic.BaseModel):
    url: str
"""
AT_THE_END = """
import time
print(time.monotonic())
"""
BARE = """
import os
import pydantic
class Settings(pydantic.BaseModel):
    url: str
from bson import ObjectId
from pymongo import MongoClient
with MongoClient(Settings(url=os.environ["DCM_PROCESSOR_SERVICE_DB_URL"]).url) as client:
    client["benchmark"].sessiondata.find_one({"name": "x"})
"""
TYPER = """
import typer
app = typer.Typer(add_completion=False)
for name in "run exec inspect convert derive pdf send echo probe doctor peers".split():
    app.command(name, help="Does something with images, and says what it did.")(lambda: None)
app()
"""
NOTHING = """
from dcm_processor_service import RuntimeContext
def run(ctx: RuntimeContext) -> int:
    return 1
"""


def process_rows(store: Database, paths: list[Path], scratch: Path) -> Iterator[Row]:
    """Yields the rows of processes."""
    python = sys.executable
    idle = Way("python -c pass", lambda: process([python, "-c", "pass"]))
    own = [python, "-m", "dcm_processor_service"]
    session = {"SESSION_ID": store.key.session_id, "JOB_ID": store.key.job_id}
    mongo = variables(DB_PROVIDER="mongodb", DB_URL=store.url, DB_NAME="benchmark", **session)
    sqlite = variables(DB_PROVIDER="sqlite", DB_URL=str(scratch / "workspace"), **session)
    owner = {"session_id": ObjectId(store.key.session_id), "job_id": ObjectId(store.key.job_id)}
    store.database.sessiondata.update_one({**owner, "name": "x"}, {"$set": {"value": 1}}, upsert=True)
    yield Row(
        "start, MongoDB",
        "starting a process, reading one value, ending the process",
        Way("data.get", lambda: process([python, "-c", OURS], mongo, ROOT)),
        Way("bare PyMongo and a pydantic model, closed as ours is", lambda: process([python, "-c", BARE], mongo)),
        idle,
        target="1.5",
        rounds=9,
    )
    yield Row(
        "end, MongoDB",
        "from the last line of a script that has read a value to the end of its process",
        Way("data.get", lambda: after_the_last_line(OURS, mongo)),
        Way("bare PyMongo, closed as ours is", lambda: after_the_last_line(BARE, mongo)),
        rounds=9,
    )
    yield Row(
        "import",
        "a process that loads what data.get needs on MongoDB; the alternative loads the same libraries alone",
        Way("dcm_processor_service", lambda: process([python, "-c", IMPORTS], cwd=ROOT)),
        Way("its libraries", lambda: process([python, "-c", LIBRARIES])),
        rounds=9,
    )
    yield Row(
        "--help",
        "printing the help that lists all commands",
        Way("dcm-processor-service --help", lambda: process([*own, "--help"], cwd=ROOT)),
        Way("bare typer with as many commands", lambda: process([python, "-c", TYPER, "--help"])),
        idle,
        target="2",
        rounds=7,
    )
    script = scratch / "nothing.py"
    script.write_text(NOTHING)
    yield Row(
        "exec",
        "the command exec with a callback that does nothing, in SQLite",
        Way("exec", lambda: process([*own, "exec", script], sqlite, ROOT)),
        bound=idle,
        rounds=7,
    )
    few = fresh(scratch / "few")
    for path in paths[:24]:
        (few / path.name).write_bytes(path.read_bytes())
    yield Row(
        "inspect 24",
        "the command inspect for 24 slices, with its page of contact sheets",
        Way("inspect", lambda: process([*own, "inspect", few, "--html", scratch / "page.html"], cwd=ROOT)),
        bound=idle,
        rounds=3,
    )
    yield Row(
        "convert 24",
        "the command convert for 24 slices, to .nii.gz",
        Way("convert", lambda: process([*own, "convert", few, fresh(scratch / "converted")], cwd=ROOT)),
        Way(
            "dcm2niix -z i -1",
            lambda: process([dcm2niix_program, "-z", "i", "-1", "-o", fresh(scratch / "converted"), few]),
        ),
        idle,
        rounds=3,
    )


def after_the_last_line(script: str, environment: dict[str, str]) -> Spent:
    """Runs a script; returns for how long its process went on after the last line."""
    ran = subprocess.run(
        [sys.executable, "-c", script + AT_THE_END],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return Spent(time.monotonic() - float(ran.stdout))


def variables(**values: str) -> dict[str, str]:
    """Returns the environment of a job."""
    return {f"DCM_PROCESSOR_SERVICE_{name}": value for name, value in values.items()}
