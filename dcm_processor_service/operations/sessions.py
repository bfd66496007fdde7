"""Lists the platform's sessions, explains why one does not end, and lets the queue run dead jobs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import (
    AmbiguousJobError,
    JobNotFoundError,
    RetryRefusedError,
    SessionNotFoundError,
)
from dcm_processor_service.models import RetriedJob, RetryReport
from dcm_processor_service.models.platform_ids import is_platform_id
from dcm_processor_service.operations.database import audit, lease, opened_database
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from dcm_processor_service.backends.mongo.operator.queue import QueuedSession, QueueJob
    from dcm_processor_service.models import SessionDiagnosis, SessionSummary
    from dcm_processor_service.runtime.settings import RuntimeSettings

__all__ = ["explain_session", "list_sessions", "retry_session"]


def list_sessions(*, settings: RuntimeSettings | None = None) -> list[SessionSummary]:
    """Returns the state of each session of the platform, oldest first.

    Args:
        settings: Settings that name the platform's database; if left out, those of the environment, which need not name
            a session or a job.

    Raises:
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> from dcm_processor_service import RuntimeSettings
        >>> laptop = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> from dcm_processor_service.errors import ConfigurationError
        >>> try:
        ...     list_sessions(settings=laptop)
        ... except ConfigurationError as error:
        ...     str(error).partition(";")[0]
        'the platform keeps its sessions in MongoDB, and the settings name the store memory'
    """
    with opened_database(settings) as database:
        clock = run_inline(database.overview.clock())
        return run_inline(database.overview.summaries(run_inline(database.overview.records()), clock))


def explain_session(session_id: str, *, settings: RuntimeSettings | None = None) -> SessionDiagnosis:
    """Returns why a session does not end: which of its jobs died, why, and which jobs wait for each.

    Raises:
        SessionNotFoundError: There is no such session.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> try:
        ...     explain_session("liver")
        ... except SessionNotFoundError as error:
        ...     str(error)
        "'liver' is not an id of a session, which has 24 hex digits"
    """
    _check_id(session_id)
    with opened_database(settings) as database:
        return run_inline(database.overview.diagnosis(session_id))


def retry_session(session_id: str, job: str = "", *, settings: RuntimeSettings | None = None) -> RetryReport:
    """Lets the queue run dead jobs of a session again; jobs that depend on them start when they are done.

    The worker writes a job's arguments into a Python script, and a quotation mark, backslash or line break in a header
    or param can make that script invalid. If so, headers, params and added params are escaped in the job's document,
    and the callback gets the original values.

    Args:
        session_id: The session.
        job: Name or id of a dead job of the session; if left out, all dead jobs run again.
        settings: As in :func:`list_sessions`.

    Raises:
        SessionNotFoundError: There is no such session.
        JobNotFoundError: The session has no such job.
        AmbiguousJobError: Several dead jobs have that name.
        RetryRefusedError: The job is done, waiting or in progress, has changed meanwhile, or would die of the same
            cause; or no job died, or a sweep has begun.
        SessionsLockedError: A sweep or another retry is at work.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> try:
        ...     retry_session("liver", "segment")
        ... except SessionNotFoundError as error:
        ...     str(error)
        "'liver' is not an id of a session, which has 24 hex digits"
    """
    _check_id(session_id)
    with opened_database(settings) as database, lease(database):
        _record, session, _clock = run_inline(database.overview.one(session_id))
        chosen = _dead_jobs(session, job)
        for one in chosen:
            if fault := run_inline(database.changes.incurable(one)):
                raise RetryRefusedError(
                    f"the job {one.in_words} would die again: {fault}; change the service's params or the registry "
                    "function, or sweep the session"
                )
        released = []
        for one in chosen:
            if not run_inline(database.changes.release_job(one)):
                raise RetryRefusedError(f"the job {one.in_words} has changed meanwhile; look again: sessions why")
            released.append(RetriedJob(job_id=one.id, job=one.label, released=len(session.held_back_by(one))))
        report = RetryReport(session_id=session_id, jobs=tuple(released))
        audit(database, {"action": "retry", **report.model_dump(mode="json")})
    return report


def _dead_jobs(session: QueuedSession, name: str) -> list[QueueJob]:
    """Returns the jobs to run again.

    Raises:
        JobNotFoundError: The session has no such job.
        AmbiguousJobError: Several dead jobs have that name.
        RetryRefusedError: The job is done, waiting or in progress; or no job died, or a sweep has begun.
    """
    if any(job.swept for job in session.jobs):
        raise RetryRefusedError(f"a sweep has begun to remove the session {session.id}; send its images again")
    dead = session.dead
    if not name:
        if not dead:
            raise RetryRefusedError(f"no job of the session {session.id} died; it is {session.state}")
        return dead
    named = [job for job in session.jobs if name in (job.id, job.label)]
    if not named:
        raise JobNotFoundError(
            f"the session {session.id} has no job {str(name)[:80]!r}; sessions why shows its dead jobs"
        )
    chosen = [job for job in named if job in dead]
    if not chosen:
        state = "is done" if named[0].done else "is in progress" if named[0].in_progress else "waits for its turn"
        raise RetryRefusedError(f"the job {named[0].in_words} {state}, so there is nothing to run again")
    if len(chosen) > 1:
        listed = "; ".join(f"{job.id}: {job.in_words}" for job in chosen)
        raise AmbiguousJobError(
            f"{len(chosen)} dead jobs are named {name}; give an id: {listed}", tuple(job.id for job in chosen)
        )
    return chosen


def _check_id(session_id: object) -> None:
    if not isinstance(session_id, str) or not is_platform_id(session_id):
        raise SessionNotFoundError(f"{str(session_id)[:40]!r} is not an id of a session, which has 24 hex digits")
