"""Jobs that reach their limits in the unmodified platform end, their session goes on, and nothing of it is left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.platform.application import DEVICE, Application, Document
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeApplication = Callable[[Path], Application]

pytestmark = pytest.mark.mongodb

SERVICE = Path(__file__).resolve().parent / "services" / "limits"
LEFT = ("dicomfiles.files", "dicomfiles.chunks", "patients", "studies", "series", "sessions", "sessiondata")
GRACE_S = "2"
"""Enough for a busy machine to end a job that has seen its limit."""


def manifest(name: str, **more: Any) -> Document:
    return {"jobName": name, "workerEntry": name, "events": ["stable-series"], "registryEntry": "takes_ct", **more}


class Ran:
    """A series that went through the platform, from its images to the removal of what was made of it."""

    def __init__(self, application: Application, scans: Path, jobs: list[Document], *before: str) -> None:
        application.add_service("limits", SERVICE, jobs)
        peer_id = application.add_peer("scanner", "SCANNER", free_port())
        application.run("ingest", peer_id, str(scans / "CT2N"))
        arrived = int(time.time())  # an image of the second in which a session is made may belong to a later one
        application.wait_until("the next second", lambda: int(time.time()) > arrived, timeout_s=5)
        self.printed = application.run(
            *("schedule", DEVICE, "--", *before, "run", DEVICE), DCM_PROCESSOR_SERVICE_GRACE_S=GRACE_S
        )
        self.jobs = {job.get("job_name", job["data"]["function_name"]): job for job in application.jobs()}
        self.left = application.count(*LEFT)
        self.state = application.state()


@pytest.fixture(scope="module")
def limited(make_application: MakeApplication, platform_python: Path, scan_folder: Path) -> Ran:
    timed = [manifest(name, timeout="1s") for name in ("stuck", "waits", "looks", "plain_stuck")]
    killed = [manifest(name, timeout="10m") for name in ("killed", "plain_killed")]
    before = ["stuck", "waits", "looks", "killed", "plain_stuck", "plain_killed"]
    jobs = [
        *timed,
        *killed,
        manifest("after", dependsOn=before, timeout="10m"),
        manifest("declined", registryEntry="takes_mr", workerEntry="after"),
    ]
    return Ran(make_application(platform_python), scan_folder, jobs)


def test_the_registry_of_rules_decides_and_says_why(limited: Ran) -> None:
    assert set(limited.jobs) == {
        *("stuck", "waits", "looks", "killed", "plain_stuck", "plain_killed", "after"),
        *("dcm_processor_worker.pre_services", "dcm_processor_worker.post_services"),
    }
    assert "the registry declines the job 'declined' for the series" in limited.printed
    assert "modality is CT, not MR" in limited.printed


def test_no_job_holds_the_session_up_and_nothing_of_it_is_left(limited: Ran) -> None:
    for name, job in limited.jobs.items():
        assert (job["done"], job["error"]) == (True, False), f"{name}\n{limited.state}"
    assert limited.left == dict.fromkeys(LEFT, 0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stuck", f"reached its time limit of 1 s and did not return in the grace of {GRACE_S} s"),
        ("waits", f"reached its time limit of 1 s and did not return in the grace of {GRACE_S} s"),
        ("looks", "the callback returned when it saw that its time limit of 1 s was reached"),
        ("killed", "it was killed, for example for lack of memory"),
        ("plain_stuck", f"reached its time limit of 1 s and did not return in the grace of {GRACE_S} s"),
        ("plain_killed", "it was killed, for example for lack of memory"),
    ],
)
def test_each_has_a_result_that_says_what_ended_it_and_the_job_after_it_is_reported(
    limited: Ran, name: str, told: str
) -> None:
    assert told in limited.jobs[name]["result"]["error"]["message"]
    assert told in limited.jobs["after"]["result"]["result"][name]


def test_the_docker_worker_s_folders_are_the_job_s_and_its_scripts(
    make_application: MakeApplication, platform_python: Path, job_python: Path, scan_folder: Path
) -> None:
    application = make_application(platform_python)
    application.add_docker_worker("box", platform_python, SERVICE / "worker")
    jobs = [
        *(manifest("folders", worker="box"), manifest("killed", worker="box"), manifest("stuck", worker="box")),
        manifest("elsewhere", workerEntry="folders"),
    ]
    jobs[2]["timeout"] = "1s"
    ran = Ran(application, scan_folder, jobs, "without-docker", str(job_python), GRACE_S, "--")
    results = {name: job["result"] for name, job in ran.jobs.items() if job.get("job_name")}
    assert results["folders"] == {"result": {"from_pre": "from the pre-script", "weights": "trained", "files": []}}, (
        ran.printed
    )
    assert "the post-script found from the job" in ran.printed
    assert results["elsewhere"] == {"result": {"session_dir": None, "data_dir": None}}
    assert "it was killed" in results["killed"]["error"]["message"]
    assert "reached its time limit of 1 s" in results["stuck"]["error"]["message"]
    assert ran.left == dict.fromkeys(LEFT, 0)
