"""The record of a pulled session in its workspace: its jobs, with their params and dependencies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.disk import file_faults, is_file, write_whole
from dcm_processor_service.errors import ConfigurationError, JobNotFoundError
from dcm_processor_service.local.service.scheduling import PlannedJob, SubjectPlan
from dcm_processor_service.models import Job, JobEvent
from dcm_processor_service.session.images.catalogue import Filed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["PULLED_NAME", "PulledSession", "pulled_session"]

PULLED_NAME = "pulled.json"


@dataclass(frozen=True)
class PulledSession:
    """The session that a workspace holds, with its local ids."""

    filed: Filed
    jobs: tuple[Job, ...]
    """In the order in which the platform made them."""

    def write(self, folder: Path) -> None:
        """Writes the record into the workspace; a workspace without it holds no pulled session."""
        document = {"filed": self.filed.as_json(), "jobs": [one.model_dump(mode="json") for one in self.jobs]}
        with write_whole(folder / PULLED_NAME, private=True) as file:
            file.write(json.dumps(document, ensure_ascii=False).encode())

    def plan(
        self, names: Collection[str], event: JobEvent | None, params: Mapping[str, Mapping[str, Any]]
    ) -> list[list[SubjectPlan]]:
        """Returns the jobs of these names, level by level, with the params and dependencies that the platform gave.

        No registry function is asked: the scheduler has decided already.

        Args:
            names: Names of the jobs that are to run.
            event: If given, only jobs of this event run.
            params: Params by job, in place of the platform's.

        Raises:
            JobNotFoundError: The session had no such job.
        """
        chosen = [one for one in self.jobs if one.name in names and event in {None, one.event}]
        if not chosen:
            known = ", ".join(dict.fromkeys(one.name for one in self.jobs)) or "none"
            raise JobNotFoundError(
                f"the pulled session has no job {' or '.join(sorted(names))!r}"
                f"{f' of {event.value}' if event else ''}; name one with --job-name; it has: {known}"
            )
        levels = []
        for level in JobEvent:
            plans: dict[str, list[Job]] = {}
            for one in chosen:
                if one.subject is not None and one.subject.level == level.level.value:
                    plans.setdefault(one.subject.id, []).append(one)
            levels.append([_plan(_in_order(jobs), params) for jobs in plans.values()])
        return levels


def _in_order(jobs: list[Job]) -> list[Job]:
    """Returns jobs of one subject, each after those that it depends on."""
    ordered: list[Job] = []
    waiting = list(jobs)
    while waiting:
        ids = {one.id for one in waiting}
        ready = [one for one in waiting if not ids & set(one.depends_on)] or waiting[:1]
        ordered += ready
        waiting = [one for one in waiting if one not in ready]
    return ordered


def _plan(jobs: list[Job], params: Mapping[str, Mapping[str, Any]]) -> SubjectPlan:
    subject = jobs[0].subject
    assert subject is not None
    planned = [
        PlannedJob(
            one.name, {**one.params, **params.get(one.name, {})}, one.added_params, one.depends_on, one.service_name
        )
        for one in jobs
    ]
    return SubjectPlan(subject, tuple(planned), ())


def pulled_session(folder: Path) -> PulledSession | None:
    """Returns the session that was pulled into a workspace; None for a workspace of scans.

    Raises:
        ConfigurationError: Its record cannot be read.
    """
    path = folder / PULLED_NAME
    if not is_file(path):
        return None
    with file_faults(path, "read"):
        text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
        return PulledSession(
            Filed.of_json(document["filed"]), tuple(Job.model_validate(one) for one in document["jobs"])
        )
    except (ValueError, KeyError, TypeError):  # includes pydantic's error, which shows values
        raise ConfigurationError(f"{str(path)!r} is not what pull writes; pull the session again") from None
