"""The order of a local run against the platform's own scheduler, over many manifests."""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

from dcm_processor_service.local.service.manifest import ServiceJob
from dcm_processor_service.local.service.scheduling import plan_levels
from dcm_processor_service.local.service.service_code import LoadedJob, LoadedService
from dcm_processor_service.local.workspace import Workspace, sample_folder
from dcm_processor_service.models import JobEvent

if TYPE_CHECKING:
    from pathlib import Path

SCHEDULE = """
import json, sys
from operator import itemgetter
from dcm_processor_job_scheduler.job_scheduler import JobScheduler

scheduler = object.__new__(JobScheduler)
orders = []
for jobs in json.load(sys.stdin):
    jobs = scheduler._JobScheduler__get_event_jobs([{"name": "service", "jobs": jobs}], "stable-series")
    jobs, _ = scheduler._JobScheduler__check_jobs(jobs)
    jobs = scheduler._JobScheduler__restructure_jobs(sorted(jobs, key=itemgetter("sortPosition")))
    orders.append([[job["jobName"], job["params"]] for job in jobs])
print("orders", json.dumps(orders))
"""
NAMES = "abcdef"
EVENTS = (["stable-series"], ["stable-series", "stable-study"], ["stable-study"])


def manifest(number: int) -> list[dict[str, Any]]:
    """Jobs whose names may repeat, with dependencies that may be unknown, of another event, or circles."""
    chance = random.Random(number)
    jobs = []
    for position in range(chance.randrange(1, 8)):
        wanted = chance.sample(f"{NAMES}?", chance.choice([0, 0, 1, 1, 2]))
        job: dict[str, Any] = {
            "jobName": chance.choice(NAMES),
            "workerEntry": "worker",
            "registryEntry": "callback",
            "events": chance.choice(EVENTS),
            "dependsOn": chance.choice([wanted, wanted, wanted[0] if wanted else None]),
            "params": {"position": position},
        }
        if chance.random() < 0.7:
            job["sortPosition"] = chance.randrange(-2, 3)
        if chance.random() < 0.1:
            job["disabled"] = True
        jobs.append(job)
    return jobs


def test_jobs_are_chosen_and_ordered_as_by_the_scheduler(platform_python: Path, tmp_path: Path) -> None:
    manifests = [manifest(number) for number in range(300)]
    command = [str(platform_python), "-c", SCHEDULE]
    ran = subprocess.run(command, input=json.dumps(manifests), capture_output=True, text=True, check=True)
    theirs = json.loads(ran.stdout.partition("orders ")[2])
    place = Workspace(tmp_path)
    filed, _ = place.ingest([sample_folder()])
    for jobs, expected in zip(manifests, theirs, strict=True):
        read = [ServiceJob.model_validate(job) for job in jobs]
        loaded = tuple(LoadedJob(job, lambda: None, None) for job in read if not job.disabled)
        (plan,) = plan_levels(LoadedService("service", loaded), place, filed, None)[JobEvent.STABLE_SERIES]
        assert [[job.name, job.params] for job in plan.jobs] == expected, jobs
    assert len({json.dumps(one) for one in theirs}) > 50  # it chooses and orders: the manifests are not all alike
