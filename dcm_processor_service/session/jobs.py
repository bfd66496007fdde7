"""The jobs of a session: this process's own, and others by name.

A job name is not unique in a session: with two series there are two jobs of one name, and only what a job depends on
tells which of them belongs to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import AmbiguousJobError, JobNotFoundError, UpstreamFailedError
from dcm_processor_service.models import Job, JobState
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service.models import JobEvent, Patient, SeriesRecord, Study
    from dcm_processor_service.ports import JobKey, JobRepository

__all__ = ["AsyncCurrentJob", "AsyncJobs", "CurrentJob", "resolve_job"]


def resolve_job(jobs: Iterable[Job], own_job_id: str, name: str) -> Job:
    """Tells which job of the session ``name`` means to the job ``own_job_id``.

    The one that it depends on, directly or through others; else the one for the same subject; else the only one.

    Raises:
        JobNotFoundError: The session has no other job of that name.
        AmbiguousJobError: Several remain.
    """
    by_id = {job.id: job for job in jobs}
    candidates = [job for job in by_id.values() if job.name == name and job.id != own_job_id]
    if not candidates:
        others = sorted({job.name for job in by_id.values() if job.name and job.id != own_job_id})
        raise JobNotFoundError(
            f"this session has no other job named {name!r}; its jobs are: {', '.join(others) or 'none'}"
        )
    own = by_id.get(own_job_id)
    ancestors = _ancestors(by_id, own)
    subject = own.subject if own else None
    of_ancestors = [job for job in candidates if job.id in ancestors]
    pool = of_ancestors or candidates
    same_subject = [job for job in pool if subject and job.subject and _key(job.subject) == _key(subject)]
    for choice in (of_ancestors, same_subject, pool):
        if len(choice) == 1:
            return choice[0]
    listed = "; ".join(f"{job.id} ({_describe(job)})" for job in pool)
    raise AmbiguousJobError(
        f"{len(pool)} jobs of this session are named {name!r}: {listed}; read all with session.data.collect(…), or "
        "give the one that you mean: job=session.jobs(…)[0]",
        tuple(job.id for job in pool),
    )


def _key(subject: Patient | Study | SeriesRecord) -> tuple[str, str]:
    return subject.level, subject.id


def _describe(job: Job) -> str:
    return f"{job.subject.level} {job.subject.id}" if job.subject else "no subject"


def _ancestors(by_id: dict[str, Job], job: Job | None) -> set[str]:
    found: set[str] = set()
    open_ids = list(job.depends_on) if job else []
    while open_ids:
        job_id = open_ids.pop()
        if job_id not in found:
            found.add(job_id)
            parent = by_id.get(job_id)
            open_ids.extend(parent.depends_on if parent else ())
    return found


class AsyncJobs:
    """All jobs of the session, as the job of this process sees them."""

    def __init__(self, key: JobKey, repository: JobRepository) -> None:
        self.key = key
        self.repository = repository

    async def list(self, name: str | None = None) -> list[Job]:
        """Lists the session's jobs, oldest first; those of one name when it is given."""
        jobs = await self.repository.list(self.key.session_id)
        return [job for job in jobs if name is None or job.name == name]

    async def output_key(self, job: str | Job | None) -> JobKey:
        """Gives the drawer that a read of ``job``'s output looks into; None is the own job.

        Raises:
            JobNotFoundError: No such job; also when several are meant (AmbiguousJobError).
            UpstreamFailedError: That job failed, so its output is not to be trusted or not there.
        """
        if job is None:
            return self.key
        if isinstance(job, str):
            job = resolve_job(await self.repository.list(self.key.session_id), self.key.job_id, job)
        if not isinstance(job, Job):
            raise JobNotFoundError(f"a {type(job).__name__} is no job; give a name, or a job out of session.jobs()")
        if job.state is JobState.FAILED:
            raise UpstreamFailedError(
                f"the job {job.name!r} ({job.id}) failed, so its output cannot be read: "
                f"{job.error_message or 'no reason recorded'}",
                job.id,
            )
        return type(self.key)(session_id=job.session_id, job_id=job.id)


def _ignore(_document: Job) -> None:
    """Is told of the document where nobody wants to know."""


class AsyncCurrentJob:
    """The job of this process: what the environment says of it, and its document, read once on demand.

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
        self._document: Job | None = None
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
        """Takes a document that is at hand already, such as the worker's arguments, in place of reading it."""
        self._document = document
        self._on_document(document)

    async def read(self) -> Job:
        """Gives the job's document; read from the store at the first call.

        Raises:
            JobNotFoundError: The store has no such job, or it belongs to another session.
        """
        if self._document is None:
            document = await self._repository.find(self.id)
            if document is None or document.session_id != self.session_id:
                raise JobNotFoundError(
                    f"the store has no job {self.id} in the session {self.session_id}; check the variables "
                    "DCM-PROCESSOR-SERVICE-JOB-ID, -SESSION-ID and -DB-NAME, or whether the job was cleaned up"
                )
            self.preset(document)
            return document
        return self._document


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
        """What made the scheduler create the job; None for pre- and post-services."""
        return self._async.event

    @property
    def service_name(self) -> str:
        """The name of the service; empty for pre- and post-services."""
        return self._async.service_name

    def preset(self, document: Job) -> None:
        """Takes a document that is at hand already, such as the worker's arguments, in place of reading it."""
        self._async.preset(document)

    def read(self) -> Job:
        """Gives the job's document; read from the store at the first call.

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
        """By job name: what the registry functions of this event's jobs returned."""
        return self.read().added_params

    @property
    def headers(self) -> Patient | Study | SeriesRecord | None:
        """The patient, study or series that the job is about, as at scheduling time."""
        return self.read().subject
