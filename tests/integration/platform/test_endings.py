"""How a job may end: what the bare worker does not survive is an ordinary result or an ordinary error here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.platform.application import DEVICE, Application, Document
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.mongodb

SERVICE = Path(__file__).resolve().parent / "services" / "endings"


@pytest.fixture(scope="module")
def jobs(
    make_application: Callable[[Path], Application], platform_python: Path, scan_folder: Path
) -> dict[str, Document]:
    application = make_application(platform_python)
    job = {"events": ["stable-series"], "registryEntry": "every", "timeout": "10m", "params": {}}
    manifest = [
        *({"jobName": name, "workerEntry": name, **job} for name in ("rich", "fails", "exits")),
        {"jobName": "after", "workerEntry": "after", "dependsOn": ["fails"], **job},
    ]
    application.add_service("endings", SERVICE, manifest)
    peer_id = application.add_peer("scanner", "SCANNER", free_port())
    application.run(
        *("ingest", peer_id, str(scan_folder / "CT2N"), "--", "schedule", DEVICE, "--", "run", DEVICE),
    )
    return {job.get("job_name", job["data"]["function_name"]): job for job in application.jobs()}


def test_no_job_stops_the_queue_or_the_session(jobs: dict[str, Document]) -> None:
    assert len(jobs) == 6
    for name, job in jobs.items():
        assert (job["done"], job["error"]) == (True, False), f"{name}: {job.get('errorMessage')}"


def test_whatever_is_returned_is_stored_as_json(jobs: dict[str, Document]) -> None:
    returned = jobs["rich"]["result"]["result"]
    assert len(returned.pop("id")) == 24
    assert returned.pop("model") == {"label": "none", "found_at": "2024-02-29T00:00:00+00:00"}
    assert returned == {
        "array": [0, 1, 2],
        "number": 0.5,
        "huge": str(2**70),
        "path": "a/b",
        "bytes": "AA==",
        "not_a_number": None,
    }


def test_an_exception_keeps_its_traceback_and_its_cause(jobs: dict[str, Document]) -> None:
    error = jobs["fails"]["result"]["error"]
    assert "the failure" in error["message"]
    for part in ("ArithmeticError", "in _fails", "KeyError", "the cause"):
        assert part in error["traceback"]


def test_an_exit_is_an_error_with_its_code(jobs: dict[str, Document]) -> None:
    error = jobs["exits"]["result"]["error"]
    assert "3" in error["message"]
    assert "exit" in error["message"].lower()


def test_a_job_after_one_that_failed_is_reported_so(jobs: dict[str, Document]) -> None:
    answer = jobs["after"]["result"]["result"]
    assert "failed" in answer
    assert "the failure" in answer
