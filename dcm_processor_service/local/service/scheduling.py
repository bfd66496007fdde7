"""Decides, as the platform's scheduler does, which jobs each series, study and patient gets.

=====================  =============================================================================================
order of the levels    all series jobs of a study, then its study jobs, then those of the patient
within a subject       the registry functions are asked in the order of ``sortPosition``; each sees what those before
                       it added; a job whose function declines is not created
``dependsOn``          names jobs of the same subject; if one of these is not created, the job is not created either
what a job waits for   every job of the level below, and those that it depends on
=====================  =============================================================================================

A registry function that raises declines the job, as in the platform; but here its author sees the error.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED
from dcm_processor_service.local.service.worker_arguments import platform_document
from dcm_processor_service.local.workspace import job_id_of, session_id_of
from dcm_processor_service.models import Job, JobEvent, Patient, SeriesRecord, Study
from dcm_processor_service.registry import Decision, deciding
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.execution.results import json_safe
from dcm_processor_service.runtime.logs.printed_errors import formatted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dcm_processor_service.local.service.service_code import LoadedJob, LoadedService
    from dcm_processor_service.local.workspace import Workspace
    from dcm_processor_service.models import Peer
    from dcm_processor_service.session.images.catalogue import Filed

__all__ = ["JobNotCreated", "PlannedJob", "SubjectPlan", "plan_levels"]


@dataclass(frozen=True)
class JobNotCreated:
    """A job that the scheduler would not create, and why."""

    job_name: str
    subject: Patient | Study | SeriesRecord
    reason: str
    faulty: bool = False
    """Whether something is wrong; False if a registry function has declined the job."""

    traceback_text: str = ""
    """Traceback of a registry function's error, without patient attributes."""

    @property
    def exit_code(self) -> int:
        """The exit code of a run in which this job is not created."""
        return EXIT_FAILED if self.faulty else EXIT_DONE


@dataclass(frozen=True)
class PlannedJob:
    """A job that is to run."""

    name: str
    params: dict[str, Any]
    added_params: dict[str, Any]
    depends_on: tuple[str, ...]
    """Ids of the jobs that run before it."""

    service_name: str = ""
    """Name of the service of a pulled job; empty for a job of the service that runs."""


@dataclass(frozen=True)
class SubjectPlan:
    """The jobs of one series, study or patient, in the order in which they run."""

    subject: Patient | Study | SeriesRecord
    jobs: tuple[PlannedJob, ...]
    not_created: tuple[JobNotCreated, ...]

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of its jobs."""
        return tuple(job_id_of(self.subject, job.name) for job in self.jobs)


def plan_levels(
    service: LoadedService, place: Workspace, filed: Filed, peer: Peer | None
) -> dict[JobEvent, list[SubjectPlan]]:
    """Plans the jobs of all subjects, level by level; the subjects of a level do not depend on each other."""
    planner = _Planner(service, place, peer)
    series = {one.id: planner.plan(one, ()) for one in filed.series}
    studies, last_of_study = {}, {}
    for study in filed.studies:
        below = _ids_of(series, study.series_ids)
        studies[study.id] = planner.plan(study, below)
        last_of_study[study.id] = studies[study.id].job_ids or below  # without jobs of the study: those of its series
    patients = []
    for patient in filed.patients:
        below = tuple(job_id for study_id in patient.study_ids for job_id in last_of_study.get(study_id, ()))
        patients.append(planner.plan(patient, below))
    return {
        JobEvent.STABLE_SERIES: list(series.values()),
        JobEvent.STABLE_STUDY: list(studies.values()),
        JobEvent.STABLE_PATIENT: patients,
    }


def _ids_of(plans: Mapping[str, SubjectPlan], subject_ids: Sequence[str]) -> tuple[str, ...]:
    found = [plans[subject_id] for subject_id in subject_ids if subject_id in plans]
    return tuple(job_id for plan in found for job_id in plan.job_ids)


@dataclass
class _Decisions:
    """The answers of the registry functions of one subject's jobs."""

    subject: Patient | Study | SeriesRecord
    accepted: list[LoadedJob] = field(default_factory=list)
    added_params: dict[str, Any] = field(default_factory=dict)
    not_created: list[JobNotCreated] = field(default_factory=list)

    def leave_out(self, name: str, reason: str, *, faulty: bool = False, traceback_text: str = "") -> None:
        self.not_created.append(JobNotCreated(name, self.subject, reason, faulty, traceback_text))


class _Planner:
    """Plans one service's jobs."""

    def __init__(self, service: LoadedService, place: Workspace, peer: Peer | None) -> None:
        self._service = service
        self._place = place
        self._peer_id = (peer.id if peer else None) or ""
        self._elsewhere: dict[str, str] = {}

    def plan(self, subject: Patient | Study | SeriesRecord, below: tuple[str, ...]) -> SubjectPlan:
        decisions = self._decide(subject)
        jobs = self._in_order(decisions, below)
        plan = SubjectPlan(subject, tuple(jobs), tuple(decisions.not_created))
        if plan.not_created:
            self._place.forget_jobs(job_id_of(subject, one.job_name) for one in plan.not_created)
        return plan

    def _decide(self, subject: Patient | Study | SeriesRecord) -> _Decisions:
        """Asks the registry functions of a subject's jobs which of these are created."""
        decisions = _Decisions(subject)
        event = JobEvent.of(subject)
        jobs = self._jobs_of(event, decisions)
        if not any(one.decide for one in jobs):
            decisions.accepted += jobs
            return decisions
        session_id = session_id_of(subject)
        settings = self._place.settings(session_id=session_id, job_event=event, service_name=self._service.name)
        with opened(Container(settings=settings)) as container:
            container.current_job().preset(Job(id=settings.job_id, session_id=session_id, subject=subject, event=event))
            headers = platform_document(container.session(), subject, self._peer_id)
            for one in jobs:
                self._ask(one, session_id, headers, decisions, container)
        return decisions

    def _jobs_of(self, event: JobEvent, decisions: _Decisions) -> list[LoadedJob]:
        """Returns the jobs of an event, in the order in which their registry functions are asked.

        If several jobs have one name, returns only the first.
        """
        found: dict[str, LoadedJob] = {}
        for one in self._service.jobs:
            if event in one.job.events and found.setdefault(one.job.name, one) is not one:
                decisions.leave_out(one.job.name, "another job of this event has its name", faulty=True)
        return sorted(found.values(), key=lambda one: one.job.sort_position)

    @staticmethod
    def _ask(
        one: LoadedJob, session_id: str, headers: dict[str, Any], decisions: _Decisions, container: Container
    ) -> None:
        """Asks a job's registry function as the scheduler does, and records its answer."""
        if one.decide is None:
            decisions.accepted.append(one)
            return
        name = one.job.name
        decide = deciding(one.decide)
        try:
            answer = decide(
                session_id=session_id,
                job_name=name,
                headers=headers,
                added_params=decisions.added_params,
                params=copy.deepcopy(one.job.params),
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001  an error declines, as in the platform
            answer = Decision(accepted=False, error=error)
        if isinstance(answer, Decision) and answer.error is not None:
            scrubber = container.scrubber()
            reason = scrubber.text(f"its registry function raised {type(answer.error).__name__}: {answer.error}")
            decisions.leave_out(name, reason, faulty=True, traceback_text=scrubber.text(formatted(answer.error)))
            return
        if isinstance(answer, Decision) and not answer.accepted:
            decisions.leave_out(name, container.scrubber().text(f"its registry function declined: {answer.reason}"))
            return
        if inspect.iscoroutine(answer):
            answer.close()
            decisions.leave_out(name, "its registry function is async def, and no scheduler awaits it", faulty=True)
            return
        accepted, added = _read_answer(answer)
        fault = _unstorable(added)
        if fault:
            decisions.leave_out(
                name, f"the platform's database cannot hold what its registry function added: {fault}", faulty=True
            )
        elif accepted:
            decisions.accepted.append(one)
            decisions.added_params[name] = added
        else:
            decisions.leave_out(name, "its registry function declined")

    def _in_order(self, decisions: _Decisions, below: tuple[str, ...]) -> list[PlannedJob]:
        """Puts each accepted job after those that it depends on; leaves out jobs that can never run."""
        subject = decisions.subject
        elsewhere = self._elsewhere = self._jobs_elsewhere(decisions)
        planned: dict[str, PlannedJob] = {}
        waiting = list(decisions.accepted)
        added_params = json_safe(decisions.added_params)
        going_on = True
        while going_on:
            going_on = False
            for one in list(waiting):
                if all(name in planned or name in elsewhere for name in one.job.depends_on):
                    ids = [elsewhere.get(name) or job_id_of(subject, name) for name in one.job.depends_on]
                    params = copy.deepcopy(one.job.params)
                    planned[one.job.name] = PlannedJob(one.job.name, params, added_params, (*below, *ids))
                    waiting.remove(one)
                    going_on = True
        self._leave_out_waiting(waiting, decisions)
        return list(planned.values())

    def _leave_out_waiting(self, waiting: list[LoadedJob], decisions: _Decisions) -> None:
        """Leaves out the jobs that can never run; those for which no other reason is found wait for each other."""
        while waiting:
            reasons = {one.job.name: self._why_never(one, decisions) for one in waiting}
            found = {name: why for name, why in reasons.items() if why is not None}
            for name, (reason, faulty) in found.items():
                decisions.leave_out(name, reason, faulty=faulty)
            if not found:
                for one in waiting:
                    decisions.leave_out(one.job.name, "its dependsOn leads in a circle", faulty=True)
                return
            waiting = [one for one in waiting if one.job.name not in found]

    def _jobs_elsewhere(self, decisions: _Decisions) -> dict[str, str]:
        """Returns by name the ids of jobs for this subject that another service ran in this workspace."""
        own = {one.job.name for one in self._service.jobs}
        wanted = {name for one in decisions.accepted for name in one.job.depends_on} - own
        if not wanted:
            return {}
        found = self._place.jobs_of(decisions.subject)
        return {job.name: job.id for job in found if job.name in wanted}

    def _why_never(self, one: LoadedJob, decisions: _Decisions) -> tuple[str, bool] | None:
        """Returns why a job can never run, and whether something is wrong; None if no reason is found."""
        declined = {missing.job_name: missing.faulty for missing in decisions.not_created}
        event = JobEvent.of(decisions.subject)
        for name in one.job.depends_on:
            if name in declined:
                return f"it depends on {name!r}, which is not created", declined[name]
            known = [other.job for other in self._service.jobs if other.job.name == name]
            if not known and name not in self._elsewhere:
                return self._why_unknown(name), True
            if known and not any(event in job.events for job in known):
                return (
                    f"it depends on {name!r}, which is not a job of {event.value}: a job waits for those of lower "
                    "levels anyway; remove the name from dependsOn"
                ), True
        return None

    def _why_unknown(self, name: str) -> str:
        others = self._service.required_services
        if not others:
            return f"it depends on {name!r}, which is not a job of this service"
        return (
            f"it depends on {name!r}, which is not a job of this service and of none that has run in this workspace; "
            f"run {' or '.join(others)} first, with the same --workspace"
        )


def _unstorable(added: dict[str, Any]) -> str:
    """Returns why the platform's database cannot hold added params; empty if it can.

    An attempt to store such params would end the scheduler itself.
    """
    import bson

    try:
        bson.encode(added)
    except (bson.errors.BSONError, OverflowError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _read_answer(answer: object) -> tuple[bool, dict[str, Any]]:
    """Reads a registry function's answer as the scheduler does: a truth value, or a list of it and a dictionary."""
    if isinstance(answer, Decision):
        return answer.accepted, answer.added
    if not isinstance(answer, (list, tuple)):
        return bool(answer), {}
    added = answer[1] if len(answer) > 1 and isinstance(answer[1], dict) else {}
    return bool(answer and answer[0]), dict(added)
