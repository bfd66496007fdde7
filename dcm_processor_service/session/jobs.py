"""The jobs of a session: this process's own job, and other jobs by name.

A job name is not unique in a session: if there are two series, there are two jobs of one name. A job's dependencies and
its subject decide which of them a name means.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import check_text, shown
from dcm_processor_service.errors import AmbiguousJobError, JobNotFoundError, UpstreamFailedError
from dcm_processor_service.models import Job, JobState, SeriesRecord
from dcm_processor_service.models.subjects import contradicts, within_study_of
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dcm_processor_service.models import JobEvent, JobOutput, Patient, Study
    from dcm_processor_service.ports import JobKey, JobRepository

__all__ = ["AsyncCurrentJob", "AsyncJobs", "CurrentJob"]

_LOG = logging.getLogger(__name__)

_NAME = "name of a job"
_FEW_IDS = 100
"""The most dependencies that are looked up by id. With more, it is faster to look up all jobs of the name."""
_MOST_LISTED = 20


class AsyncJobs:
    """Finds jobs of the session: the job of this process, and other jobs by name."""

    def __init__(self, key: JobKey, repository: JobRepository, current: AsyncCurrentJob | None = None) -> None:
        self.key = key
        self.repository = repository
        self._current = current
        self._own: Job | None = None
        self._known_names: set[str] = set()
        """Names of which an earlier call found a job in this session."""

    async def list(self, name: str | None = None) -> list[Job]:
        """Lists the session's jobs, oldest first; only those named ``name`` if it is given."""
        return await self.repository.list(self.key.session_id, None if name is None else check_text(name, _NAME))

    async def output_key(self, job: str | Job | None) -> JobKey:
        """Returns the key under which ``job`` stores its output; None means this process's job.

        Raises:
            JobNotFoundError: This job's subject has no such job; AmbiguousJobError if several jobs match.
            UpstreamFailedError: That job failed, so its output is missing or cannot be trusted.
        """
        found = await self._find(job) if isinstance(job, str) else job
        if found is None and isinstance(job, str):
            raise JobNotFoundError(await self._absence(job))
        return self._key_of(found)

    async def output_key_if_any(self, job: str | Job | None) -> JobKey | None:
        """Returns the same as :meth:`output_key`, or None if this job's subject has no job of that name.

        The registry function may have declined that job. If no job of the session has the name, it may be misspelt, and
        a warning is logged.
        """
        if not isinstance(job, str):
            return self._key_of(job)
        found = await self._find(job)
        if found is not None:
            return self._key_of(found)
        if job not in self._known_names:
            if await self.repository.list(self.key.session_id, job, most=1):
                self._known_names.add(job)
                return None
            _LOG.warning("%s; it is treated as a job that was declined", await self._absence(job))
        return None

    def _key_of(self, job: object) -> JobKey:
        if job is None:
            return self.key
        if not isinstance(job, Job):
            raise JobNotFoundError(f"a {type(job).__name__} is not a job; give a name, or a job from session.jobs()")
        if job.state is JobState.FAILED:
            raise UpstreamFailedError(
                f"the job {job.name!r} ({job.id}) failed, so its output cannot be read: "
                f"{job.error_message or 'no reason recorded'}",
                job.id,
            )
        return type(self.key)(session_id=job.session_id, job_id=job.id)

    async def _find(self, name: str) -> Job | None:
        """Returns the job that a name means; None if no job of that name fits this job's subject.

        It is a job that this job depends on, directly or through others; if there is none, the job with the same
        subject; if there is none, the only job of that name. A job of another series, study or patient is never
        returned, even if this job depends on it, because a job for a study or patient depends on all jobs of the level
        below.

        Raises:
            AmbiguousJobError: Several jobs match.
        """
        session_id, own = self.key.session_id, await self._own_job()
        depends_on, subject = (own.depends_on, own.subject) if own else ((), None)
        # Looks among the dependencies first if this is likely the smaller number of jobs. For a series it is not:
        # ``near=`` below leaves few jobs.
        if 0 < len(depends_on) <= _FEW_IDS and not isinstance(subject, SeriesRecord):
            direct = self._possible(await self.repository.list(session_id, name, depends_on))
            if direct:
                return _chosen(own, direct, name)
        possible = self._possible(await self.repository.list(session_id, name, near=subject))
        if len(possible) > 1:
            upstream = [job for job in possible if job.id in depends_on]
            if not upstream:
                ancestors = await self._ancestors(depends_on)
                upstream = [job for job in possible if job.id in ancestors]
            return _chosen(own, upstream or possible, name)
        return possible[0] if possible else None

    async def of_own_study(self, outputs: Iterable[JobOutput]) -> tuple[JobOutput, ...]:
        """Returns the outputs without those of jobs about another study, or another patient, than this job's."""
        own = await self._own_job()
        if own is None or own.subject is None:
            return tuple(outputs)
        is_near = within_study_of(own.subject)
        return tuple(one for one in outputs if one.job.subject is None or is_near(one.job.subject))

    async def _ancestors(self, depends_on: Iterable[str]) -> set[str]:
        """Returns the ids of all jobs that a job depends on, directly or not; one read for each generation."""
        found: set[str] = set()
        generation = set(depends_on)
        while generation:
            found |= generation
            parents = await self.repository.list(self.key.session_id, None, sorted(generation))
            generation = {job_id for parent in parents for job_id in parent.depends_on} - found
        return found

    async def _own_job(self) -> Job | None:
        """Returns this process's job with subject and dependencies: from the store, or from the worker's arguments."""
        if self._own is None:
            found = await self.repository.find(self.key.job_id)
            preset = self._current.document if self._current else None
            self._own = found if found is not None and found.session_id == self.key.session_id else preset
        return self._own

    def _possible(self, jobs: Iterable[Job]) -> Sequence[Job]:
        own = self._own.subject if self._own else None
        return [
            job
            for job in jobs
            if job.id != self.key.job_id and not (own and job.subject and contradicts(own, job.subject))
        ]

    async def _absence(self, name: str) -> str:
        others = [job for job in await self.list() if job.id != self.key.job_id]
        named = [job for job in others if job.name == name]
        if not named:
            names = sorted({job.name for job in others if job.name})
            return f"this session has no other job named {shown(name)}; its jobs are: {', '.join(names) or 'none'}"
        own = self._own.subject if self._own else None
        return (
            f"no job named {shown(name)} exists for the subject of this job, {_describe(own)}; was it declined? It "
            f"exists for: {_list_jobs(named)}; a read with a default returns the default"
        )


def _chosen(own: Job | None, jobs: Sequence[Job], name: str) -> Job:
    """Returns the only job for the subject of ``own``, or else the only job of all.

    Raises:
        AmbiguousJobError: There are several.
    """
    subject = own.subject if own else None
    same_subject = [
        job
        for job in jobs
        if subject and job.subject and (job.subject.level, job.subject.id) == (subject.level, subject.id)
    ]
    for choice in (same_subject, jobs):
        if len(choice) == 1:
            return choice[0]
    raise AmbiguousJobError(
        f"{len(jobs)} jobs of this session are named {shown(name)}: {_list_jobs(jobs)}; read all with "
        "session.data.collect(…), or give the one that you mean: job=session.jobs(…)[0]",
        tuple(job.id for job in jobs),
    )


def _list_jobs(jobs: Sequence[Job]) -> str:
    shown = [f"{job.id} ({_describe(job.subject)})" for job in jobs[:_MOST_LISTED]]
    more = [f"and {len(jobs) - len(shown)} more"] if len(jobs) > len(shown) else []
    return "; ".join([*shown, *more])


def _describe(subject: Patient | Study | SeriesRecord | None) -> str:
    return f"{subject.level} {subject.id}" if subject else "no subject"


def _ignore(_document: Job) -> None:
    """Ignores the job's document."""


class AsyncCurrentJob:
    """The job of this process: its names, from the environment, and its document, which is read when first needed.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def threshold(ctx):
        ...     return (await ctx.job.read()).params["threshold"]
        >>> asyncio.run(threshold(fake_async_context(params={"threshold": 0.5})))
        0.5
    """

    def __init__(
        self,
        key: JobKey,
        repository: JobRepository,
        *,
        name: str,
        event: JobEvent | None,
        service_name: str,
        on_document: Callable[[Job], None] = _ignore,
    ) -> None:
        self._key = key
        self._repository = repository
        self.document: Job | None = None  # None until it is read or preset
        self._on_document = on_document
        self.name = name
        self.event = event
        self.service_name = service_name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r})"

    @property
    def id(self) -> str:
        """The platform's id of the job."""
        return self._key.job_id

    @property
    def session_id(self) -> str:
        """The platform's id of the session."""
        return self._key.session_id

    def preset(self, document: Job) -> None:
        """Sets the document, if it is known from elsewhere such as the worker's arguments, so that none is read."""
        self.document = document
        self._on_document(document)

    async def read(self) -> Job:
        """Returns the job's document; read from the store at the first call.

        Raises:
            JobNotFoundError: The store has no such job, or it belongs to another session.
        """
        if self.document is None:
            document = await self._repository.find(self.id)
            if document is None or document.session_id != self.session_id:
                raise JobNotFoundError(
                    f"the store has no job {self.id} in the session {self.session_id}; check the variables "
                    "DCM-PROCESSOR-SERVICE-JOB-ID, -SESSION-ID and -DB-NAME, or whether the job was cleaned up"
                )
            self.preset(document)
            return document
        return self.document


class CurrentJob:
    """The job of this process, for blocking callbacks.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> ctx = fake_context(params={"threshold": 0.5})
        >>> ctx.job.params["threshold"]
        0.5
    """

    def __init__(self, job: AsyncCurrentJob) -> None:
        self._async = job

    def __repr__(self) -> str:
        return f"CurrentJob(id={self.id!r}, name={self.name!r})"

    @property
    def id(self) -> str:
        """The platform's id of the job."""
        return self._async.id

    @property
    def session_id(self) -> str:
        """The platform's id of the session."""
        return self._async.session_id

    @property
    def name(self) -> str:
        """The job's name in the service's manifest; empty for pre- and post-services."""
        return self._async.name

    @property
    def event(self) -> JobEvent | None:
        """Why the scheduler created the job; None for pre- and post-services."""
        return self._async.event

    @property
    def service_name(self) -> str:
        """The name of the service; empty for pre- and post-services."""
        return self._async.service_name

    def preset(self, document: Job) -> None:
        """Sets the document, if it is known from elsewhere such as the worker's arguments, so that none is read."""
        self._async.preset(document)

    def read(self) -> Job:
        """Returns the job's document; read from the store at the first call.

        Raises:
            JobNotFoundError: The store has no such job, or it belongs to another session.
        """
        return run_inline(self._async.read())

    @property
    def params(self) -> dict[str, Any]:
        """The job's parameters, from the service's manifest."""
        return self.read().params

    @property
    def added_params(self) -> dict[str, Any]:
        """The parameters that the registry functions of this event's jobs returned, by job name."""
        return self.read().added_params

    @property
    def headers(self) -> Patient | Study | SeriesRecord | None:
        """The patient, study or series that the job is about, as it was when the job was scheduled."""
        return self.read().subject
