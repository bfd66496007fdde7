"""Runs a service, or one callback, over what a workspace holds: level by level, as the platform does.

Subjects of one level do not depend on each other: with several workers each runs in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import EXIT_FAILED
from dcm_processor_service.local.service.manifest import ServiceJob, read_manifest
from dcm_processor_service.local.service.scheduling import plan_levels
from dcm_processor_service.local.service.service_code import LoadedJob, LoadedService, load_service
from dcm_processor_service.local.service.subject_process import SubjectTask, TaskEnd, run_in_processes
from dcm_processor_service.runtime.execution.callbacks import find_callback
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.local.ingest import Filed
    from dcm_processor_service.local.service.scheduling import PlannedJob, SubjectPlan
    from dcm_processor_service.local.workspace import JobValues, LocalRun, Workspace
    from dcm_processor_service.models import JobEvent, Peer

__all__ = ["CallbackSource", "FolderSource", "ServiceRun"]


@dataclass(frozen=True)
class FolderSource:
    """A service out of its folder; every process loads it for itself."""

    folder: Path

    def load(self) -> LoadedService:
        """Imports the service.

        Raises:
            ConfigurationError: The manifest is not usable.
            CallbackNotFoundError: What it names is not there, or cannot be imported.
        """
        return load_service(read_manifest(self.folder))


@dataclass(frozen=True)
class CallbackSource:
    """A service of one job, which nobody has to accept."""

    reference: str
    job_name: str
    event: JobEvent

    def load(self) -> LoadedService:
        """Imports the callback.

        Raises:
            CallbackNotFoundError: It is not there, or cannot be imported.
        """
        job = ServiceJob(
            name=self.job_name, worker_entry=self.reference, registry_entry=self.reference, events=(self.event,)
        )
        return LoadedService("local", (LoadedJob(job, find_callback(self.reference), None),))


@dataclass(frozen=True)
class ServiceRun:
    """A run of a service over what was filed in a workspace."""

    source: FolderSource | CallbackSource
    place: Workspace
    filed: Filed
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By job: what replaces the manifest's params."""

    peer: Peer | None = None
    preview: bool = True
    workers: int = 1

    @cached_property
    def service(self) -> LoadedService:
        """The service; each process loads it for itself."""
        return self.source.load()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "service"}  # functions stay here

    def plan(self, event: JobEvent | None = None) -> list[list[SubjectPlan]]:
        """Asks the registry functions and returns the jobs of each level, of one event where it is given."""
        levels = plan_levels(self.service, self.place, self.filed, self.peer)
        return [plans for of_event, plans in levels.items() if event in {None, of_event}]

    def run(self, levels: list[list[SubjectPlan]]) -> Iterator[LocalRun]:
        """Runs the jobs; tells of each one when it has ended, with several workers when its subject's have.

        When this process is asked to end (SIGTERM), no further job is begun.
        """
        for plans in levels:
            cancelled = False
            for one in self._run_level([plan for plan in plans if plan.jobs]):
                yield one
                cancelled = cancelled or one.outcome.exit_code == EXIT_CANCELLED
            if cancelled:
                return

    def _run_level(self, plans: list[SubjectPlan]) -> Iterator[LocalRun]:
        if self.workers > 1 and len(plans) > 1:
            for end in run_in_processes([SubjectTask(plan, self.run_subject) for plan in plans], self.workers):
                yield from end.runs
                yield from self._failed(end)
            return
        for plan in plans:
            for one in self.run_subject(plan):
                yield one
                if one.outcome.exit_code == EXIT_CANCELLED:
                    return

    def _failed(self, end: TaskEnd) -> Iterator[LocalRun]:
        """Notes the jobs that a process did not come to the end of."""
        if not end.problem:
            return
        running, *others = end.plan.jobs[len(end.runs) :]
        exit_code = EXIT_CANCELLED if end.cancelled else EXIT_FAILED
        yield self.place.fail(end.plan.subject, end.problem, exit_code, **self._job_values(running))
        for planned in others:
            message = f"not begun: {end.problem}, in an earlier job"
            yield self.place.fail(end.plan.subject, message, exit_code, **self._job_values(planned))

    def run_subject(self, plan: SubjectPlan) -> Iterator[LocalRun]:
        """Runs the jobs of one subject, one after the other."""
        for planned in plan.jobs:
            one = self.place.run(
                self.service.find(planned.name).callback,
                plan.subject,
                filed=self.filed,
                peer=self.peer,
                preview=self.preview,
                **self._job_values(planned),
            )
            yield one
            if one.outcome.exit_code == EXIT_CANCELLED:
                return

    def _job_values(self, planned: PlannedJob) -> JobValues:
        # one callback depends on all that ran before, a service's jobs on what the scheduler says
        return {
            "job_name": planned.name,
            "params": planned.params | self.params.get(planned.name, {}),
            "service_name": self.service.name,
            "added_params": planned.added_params,
            "depends_on": planned.depends_on if isinstance(self.source, FolderSource) else None,
        }
