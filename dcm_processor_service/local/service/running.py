"""Runs a service, or one callback, over the scans of a workspace: level by level, as the platform does.

Subjects of one level do not depend on each other: with several workers, each subject runs in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from dcm_processor_service.errors import EXIT_FAILED
from dcm_processor_service.local.chosen_store import ChosenStore
from dcm_processor_service.local.service.manifest import ServiceJob, read_manifest
from dcm_processor_service.local.service.scheduling import PlannedJob, SubjectPlan, plan_levels
from dcm_processor_service.local.service.service_code import LoadedJob, LoadedService, load_service
from dcm_processor_service.local.service.subject_process import run_in_processes
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models import JobEvent, Peer, Subject
from dcm_processor_service.runtime.execution.callbacks import find_callback
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED
from dcm_processor_service.session.images.catalogue import Filed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.local.service.cluster import Cluster
    from dcm_processor_service.local.service.subject_process import ProcessEnd
    from dcm_processor_service.local.workspace import JobValues, LocalRun

__all__ = ["CallbackSource", "FolderSource", "ServiceRun"]


@dataclass(frozen=True)
class FolderSource:
    """A service in a folder; every process loads it for itself."""

    folder: Path

    def load(self) -> LoadedService:
        """Imports the service.

        Raises:
            ConfigurationError: The manifest is not usable.
            CallbackNotFoundError: A module or function that it names is not there, or cannot be imported.
        """
        return load_service(read_manifest(self.folder))


@dataclass(frozen=True)
class CallbackSource:
    """A service of one job, without a registry function."""

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
    """A run of a service over the scans in a workspace."""

    source: FolderSource | CallbackSource
    service: LoadedService
    """The service that the source has loaded; each process loads it for itself."""

    place: Workspace
    filed: Filed
    peer: Peer | None = None
    preview: bool = True
    workers: int = 1
    data_dir: Path | None = None
    """The value of ``ctx.data_dir``."""

    pulled: bool = False
    """Whether the platform's scheduler made the jobs, so that each has the dependencies that it had there."""

    cluster: Cluster | None = None
    """The cluster that runs the subjects, in place of this machine's processes."""

    def plan(self, event: JobEvent | None = None) -> list[list[SubjectPlan]]:
        """Asks the registry functions and returns the jobs of each level, or of the level of one event."""
        levels = plan_levels(self.service, self.place, self.filed, self.peer)
        return [plans for of_event, plans in levels.items() if event in {None, of_event}]

    def run(self, levels: list[list[SubjectPlan]]) -> Iterator[LocalRun]:
        """Runs the jobs; yields each when it has ended, or with several workers when all jobs of its subject have.

        After SIGTERM no further job is begun.
        """
        for plans in levels:
            cancelled = False
            for one in self._run_level([plan for plan in plans if plan.jobs]):
                yield one
                cancelled = cancelled or one.outcome.exit_code == EXIT_CANCELLED
            if cancelled:
                return

    def _run_level(self, plans: list[SubjectPlan]) -> Iterator[LocalRun]:
        """Runs the subjects of one level: on the cluster, in several processes, or one after the other here."""
        requests = [self._request(plan) for plan in plans]
        if self.cluster is not None or (self.workers > 1 and len(plans) > 1):
            for end in self.cluster.run(requests) if self.cluster else run_in_processes(requests, self.workers):
                plan = plans[end.number]
                for answer in end.answers:
                    yield self.place.left_by(plan.subject, answer)
                if end.problem:
                    yield from self._failed(plan, end)
            return
        for plan in plans:
            for one in self.run_subject(plan):
                yield one
                if one.outcome.exit_code == EXIT_CANCELLED:
                    return

    def check_cluster(self, scans: Sequence[Path] = ()) -> None:
        """Asks the workers of the cluster, if there is one, whether they can run this service.

        Args:
            scans: Folders of scans, which are not code even if they lie in the service's folder.

        Raises:
            ConfigurationError: A worker cannot; the message says why.
        """
        if self.cluster is None:
            return
        if self.place.store is None:
            self.cluster.check(self.place.folder)
            return
        source, data_dir = self.source, str(self.data_dir) if self.data_dir else None
        service = str(source.folder) if isinstance(source, FolderSource) else None
        callback = source.reference if isinstance(source, CallbackSource) else None
        no_code = [str(one) for one in (self.place.folder, *scans)]
        self.cluster.check_store(
            self.place.store, service=service, callback=callback, data_dir=data_dir, no_code=no_code
        )

    def _failed(self, plan: SubjectPlan, end: ProcessEnd) -> Iterator[LocalRun]:
        """Records the jobs that a process did not finish."""
        exit_code = EXIT_CANCELLED if end.cancelled else EXIT_FAILED
        for place, planned in enumerate(plan.jobs[len(end.answers) :]):
            message = f"not begun: {end.problem}, in an earlier job" if place else end.problem
            begun = end.begun and not place
            yield self.place.fail(plan.subject, message, exit_code, begun=begun, **self._job_values(planned))

    def _request(self, plan: SubjectPlan) -> dict[str, Any]:
        """Returns the request with which another process runs a plan, as JSON values."""
        return {
            "folder": str(self.source.folder) if isinstance(self.source, FolderSource) else None,
            "callback": vars(self.source) if isinstance(self.source, CallbackSource) else None,
            "workspace": str(self.place.folder),
            "store": self.place.store.as_request() if self.place.store else None,
            "filed": self.filed.as_json(),
            "peer": self.peer.model_dump(mode="json") if self.peer else None,
            "preview": self.preview,
            "data_dir": str(self.data_dir) if self.data_dir else None,
            "pulled": self.pulled,
            "subject": plan.subject.model_dump(mode="json"),
            "jobs": [vars(job) for job in plan.jobs],
        }

    @classmethod
    def of_request(cls, request: dict[str, Any]) -> tuple[ServiceRun, SubjectPlan]:
        """Returns the run and the plan of a request."""
        of_callback = request["callback"]
        source = (
            CallbackSource(of_callback["reference"], of_callback["job_name"], JobEvent(of_callback["event"]))
            if of_callback
            else FolderSource(Path(request["folder"]))
        )
        peer = Peer.model_validate(request["peer"]) if request["peer"] else None
        filed = Filed.of_json(request["filed"])
        subject = TypeAdapter[Any](Subject).validate_python(request["subject"])
        jobs = tuple(PlannedJob(**job | {"depends_on": tuple(job["depends_on"])}) for job in request["jobs"])
        place = Workspace(Path(request["workspace"]), ChosenStore.of_request(request["store"]))
        data_dir = Path(request["data_dir"]) if request["data_dir"] else None
        run = cls(
            source, source.load(), place, filed, peer, request["preview"], data_dir=data_dir, pulled=request["pulled"]
        )
        return run, SubjectPlan(subject, jobs, ())

    def run_subject(self, plan: SubjectPlan) -> Iterator[LocalRun]:
        """Runs the jobs of one subject, one after the other."""
        for planned in plan.jobs:
            one = self.place.run(
                self.service.find(planned.name).callback,
                plan.subject,
                filed=self.filed,
                peer=self.peer,
                preview=self.preview,
                data_dir=self.data_dir,
                **self._job_values(planned),
            )
            yield one
            if one.outcome.exit_code == EXIT_CANCELLED:
                return

    def _job_values(self, planned: PlannedJob) -> JobValues:
        # a single callback depends on all jobs that ran before, a service's job on those that the scheduler names
        scheduled = self.pulled or isinstance(self.source, FolderSource)
        return {
            "job_name": planned.name,
            "params": planned.params,
            "service_name": planned.service_name or self.service.name,
            "service_version": self.service.version,
            "added_params": planned.added_params,
            "depends_on": planned.depends_on if scheduled else None,
        }
