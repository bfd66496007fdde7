"""How many commands each call costs, beside the 0.0.1 API."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.platform.application import Application

    MakeApplication = Callable[[Path], Application]
    Counts = dict[str, dict[str, list[str]]]

pytestmark = pytest.mark.mongodb

SCRIPT = Path(__file__).resolve().parent / "count_commands.py"
CHUNKS = "sessionfiles.chunks"
FOUND_NOTHING_BEFORE = {"download_session_file", "remove_session_file", "get_session_data, job_name"}
COMMANDS_OF_DATA = {
    "data.get, job": 3,
    "get_session_data, job_name": 3,
    "data.collect": 2,
    "data.delete": 2,
    "remove_session_data": 2,
}
"""Two commands more at the first read by a job's name: to know the own job, and which is meant; one to list jobs. One
before a removal: it finds what is there, so that a removal whose answer is lost takes nothing that came meanwhile."""


def _counts(application: Application) -> Counts:
    """Counts in a process with the environment of a job."""
    database = application.database
    peer_id = application.add_peer("scanner", "SCANNER", 104)
    session_id = str(database.sessions.insert_one({"patient_id": ObjectId(), "peer_id": peer_id}).inserted_id)
    common = {"sessionId": session_id, "job_event": "stable-series", "item_type": "queue", "done": True}
    producer = database.jobs.insert_one({**common, "job_name": "producer"}).inserted_id
    own = database.jobs.insert_one({**common, "job_name": "own", "depends_on": [producer]}).inserted_id
    database.sessiondata.insert_one(
        {"session_id": ObjectId(session_id), "job_id": producer, "name": "value", "value": 7}
    )
    prefix = "DCM-PROCESSOR-SERVICE-"
    variables = {
        **application.variables(),
        f"{prefix}DB-PROVIDER": "mongodb",
        f"{prefix}DB-URL": application.url,
        f"{prefix}DB-NAME": application.name,
        f"{prefix}SESSION-ID": session_id,
        f"{prefix}JOB-ID": str(own),
        f"{prefix}JOB-EVENT": "stable-series",
        f"{prefix}JOB-NAME": "own",
        f"{prefix}JOB-SERVICE-NAME": "service",
        f"{prefix}PEER-ID": peer_id,
    }
    ended = subprocess.run(
        [str(application.python), str(SCRIPT)], capture_output=True, text=True, check=False, timeout=60, env=variables
    )
    assert ended.returncode == 0, ended.stderr
    counts: Counts = json.loads(ended.stdout.splitlines()[-1])
    return counts


@pytest.fixture(scope="module")
def ours(make_application: MakeApplication, platform_python: Path) -> Counts:
    return _counts(make_application(platform_python))


@pytest.fixture(scope="module")
def predecessors(make_application: MakeApplication, predecessor_python: Path) -> Counts:
    return _counts(make_application(predecessor_python))


def _split(collections: list[str]) -> tuple[int, int]:
    """Commands besides those for chunks, and those for chunks."""
    for_chunks = Counter(collections)[CHUNKS]
    return len(collections) - for_chunks, for_chunks


def _named(counts: dict[str, list[str]], function: str, facade: str) -> dict[str, list[str]]:
    found = {label: one for label, one in counts.items() if function in label or label.startswith(facade)}
    assert found
    return found


def test_the_table(ours: Counts, predecessors: Counts, capsys: pytest.CaptureFixture[str]) -> None:
    before = predecessors["functions"]
    rows = [("call", "ours", "predecessor")]
    for group in ("functions", "facades"):
        for label, collections in ours[group].items():
            now = "{} + {} chunks".format(*_split(collections))
            was = "{} + {} chunks".format(*_split(before[label])) if label in before else ""
            rows.append((label, now, was))
    with capsys.disabled():
        sys.stdout.write("\n\ncommands of a call: besides chunks + for chunks\n")
        sys.stdout.writelines("  {:<30}{:<16}{:<16}\n".format(*row) for row in rows)
    assert before.keys() == ours["functions"].keys()
    # where both do the same work, ours never costs more
    for label, collections in ours["functions"].items():
        if label not in FOUND_NOTHING_BEFORE:
            assert _split(collections)[0] <= _split(before[label])[0], label


@pytest.mark.parametrize("group", ["functions", "facades"])
def test_data_cost_one_command(ours: Counts, group: str) -> None:
    calls = {
        label: found for label, found in ours[group].items() if "session_data" in label or label.startswith("data.")
    }
    assert calls
    for label, collections in calls.items():
        assert len(collections) == COMMANDS_OF_DATA.get(label, 1), f"{label}: {collections}"


@pytest.mark.parametrize("group", ["functions", "facades"])
def test_files_cost_two_commands_besides_their_chunks(ours: Counts, group: str) -> None:
    calls = {
        label: found for label, found in ours[group].items() if "session_file" in label or label.startswith("files.")
    }
    assert calls
    for label, collections in calls.items():
        # a job's first put looks for what another program or a killed process has left
        assert _split(collections)[0] <= (3 if label.endswith("first") else 2), f"{label}: {collections}"
