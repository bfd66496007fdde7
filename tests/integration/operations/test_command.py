"""The command ``sessions``: what it prints, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.command_line import Ran, run_here, run_process
from tests.integration.operations.conftest import DIED, NOW, Platform

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.mongodb


@pytest.fixture
def sessions(platform: Platform) -> Callable[..., Ran]:
    """Runs the command on the platform's database, which its environment names, and nothing else of a job."""
    variables = {
        "DCM_PROCESSOR_SERVICE_DB_PROVIDER": "mongodb",
        "DCM_PROCESSOR_SERVICE_DB_URL": platform.settings.db_url.get_secret_value(),
        "DCM_PROCESSOR_SERVICE_DB_NAME": platform.database.name,
    }

    def run(*words: str, process: bool = False, columns: str = "200") -> Ran:
        return (run_process if process else run_here)("sessions", *words, variables={**variables, "COLUMNS": columns})

    return run


def test_a_dead_session_is_listed_explained_retried_and_swept(platform: Platform, sessions: Callable[..., Ran]) -> None:
    made, other = platform.session(segment=DIED), platform.session(segment=DIED)
    listed = sessions("list", process=True)
    assert (listed.code, listed.stderr) == (0, "")
    assert made.id in listed.stdout
    assert "KiB" in listed.stdout
    assert "The job segment" in sessions("why", made.id).stdout
    assert sessions("retry", made.id, "segment").stdout.startswith("The queue may start segment (")
    ran = sessions("sweep", "--older-than", "1d12h")
    assert (ran.code, ran.stdout.splitlines()[-1]) == (0, "1 session swept, 1 kept.")
    assert ran.stderr == f"{made.id} is kept: it is waiting\n"
    assert platform.count("sessions") == {"sessions": 1}
    assert other.id in ran.stdout


def test_a_narrow_terminal_shows_whole_ids(platform: Platform, sessions: Callable[..., Ran]) -> None:
    made = platform.session(segment=DIED)
    listed = sessions("list", columns="80").stdout
    assert f" {made.id} " in listed
    assert "…" not in listed


def test_json_is_a_line_for_each_record(platform: Platform, sessions: Callable[..., Ran]) -> None:
    made = platform.session(segment=DIED)
    (listed,) = map(json.loads, sessions("list", "--json").stdout.splitlines())
    assert (listed["id"], listed["state"]) == (made.id, "stuck")
    assert listed["held_bytes"] == sum(listed["held"].values())
    (why,) = map(json.loads, sessions("why", made.id, "--json").stdout.splitlines())
    assert why["deaths"][0]["causes"][0] == "killed"
    (swept,) = map(json.loads, sessions("sweep", "--older-than", "7d", "--dry-run", "--json").stdout.splitlines())
    assert (swept["dry_run"], swept["freed_bytes"]) == (True, listed["held_bytes"])
    (retried,) = map(json.loads, sessions("retry", made.id, "--json").stdout.splitlines())
    assert retried["jobs"][0]["job"] == "segment"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep", "--older-than", "a week"], "--older-than 'a week' is not a length of time"),
        (["sweep", "--older-than", "7"], "--older-than '7' is not a length of time"),
        (["sweep", "--older-than", "7d", "--policy", "some"], "--policy 'some' is not known"),
        (["why", "5e" * 12], "there is no session"),
        (["why", "liver"], "'liver' is not an id of a session"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_exit_code_2(
    sessions: Callable[..., Ran], words: list[str], sentence: str
) -> None:
    ran = sessions(*words)
    assert (ran.code, ran.stdout) == (2, "")
    assert sentence in ran.stderr


def test_a_retry_beside_a_sweep_is_asked_to_come_again(platform: Platform, sessions: Callable[..., Ran]) -> None:
    made = platform.session(segment=DIED)
    platform.database.leases.insert_one({"_id": "sessions", "holder": "another", "until": NOW})
    assert sessions("retry", made.id).code == 3


def test_without_a_store_in_the_environment_the_variables_are_named() -> None:
    ran = run_here("sessions", "list")
    assert ran.code == 2
    assert "DCM-PROCESSOR-SERVICE-DB-PROVIDER is not set" in ran.stderr
