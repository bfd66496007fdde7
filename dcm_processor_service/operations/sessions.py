"""Sessions that never end: which there are, why, another try for a dead job, and a clean-up of what will not go on.

All of it works on the platform's own documents in MongoDB. Nothing here touches a session that a worker is at work on,
or that one could take up.
"""

from __future__ import annotations

import getpass
import logging
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dcm_processor_service.errors import (
    AmbiguousJobError,
    ConfigurationError,
    JobNotFoundError,
    RetryRefusedError,
    SessionNotFoundError,
)
from dcm_processor_service.models import (
    LeftSession,
    RetriedJob,
    RetryReport,
    SweepReport,
    SweptSession,
)
from dcm_processor_service.models.platform_ids import NO_ID, is_platform_id
from dcm_processor_service.ports import StoreLocation
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.session_lifecycle import clean_up_session
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.stores import platform_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from dcm_processor_service.backends.mongo.operator.queue import QueuedSession, QueueJob
    from dcm_processor_service.backends.mongo.operator.repository import PlatformDatabase
    from dcm_processor_service.models import CleanupPolicy, SessionDiagnosis, SessionSummary

__all__ = ["explain_session", "list_sessions", "retry_session", "sweep_sessions"]

BATCH = 50
"""How many sessions a sweep looks at before it removes what it found among them."""

_log = logging.getLogger("dcm_processor_service.operations")


def list_sessions(*, settings: RuntimeSettings | None = None) -> list[SessionSummary]:
    """Returns how each session of the platform stands, oldest first.

    Args:
        settings: Where the platform's database is; the environment says it when left out, which then needs no session
            and no job.

    Raises:
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> from dcm_processor_service import RuntimeSettings
        >>> laptop = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> try:
        ...     list_sessions(settings=laptop)
        ... except ConfigurationError as error:
        ...     str(error).partition(";")[0]
        'the platform keeps its sessions in MongoDB, and the settings name the store memory'
    """
    with _opened(settings) as database:
        clock = run_inline(database.overview.clock())
        return run_inline(database.overview.summaries(run_inline(database.overview.records()), clock))


def explain_session(session_id: str, *, settings: RuntimeSettings | None = None) -> SessionDiagnosis:
    """Returns why a session does not end: which of its jobs died, of what, and what each holds back.

    Raises:
        SessionNotFoundError: There is no such session.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> try:
        ...     explain_session("liver")
        ... except SessionNotFoundError as error:
        ...     str(error)
        "'liver' is no id of a session, which has 24 hex digits"
    """
    _check_id(session_id)
    with _opened(settings) as database:
        return run_inline(database.overview.diagnosis(session_id))


def retry_session(session_id: str, job: str = "", *, settings: RuntimeSettings | None = None) -> RetryReport:
    """Lets the queue run dead jobs of a session again; what depends on them starts when they are done.

    Where a header ended the script that the worker generates for the job, it is escaped so that it arrives as it is.

    Args:
        session_id: The session.
        job: Name or id of one of its dead jobs; all of them when left out.
        settings: As of :func:`list_sessions`.

    Raises:
        SessionNotFoundError: There is no such session.
        JobNotFoundError: The session has no such job, or several of that name.
        RetryRefusedError: The job is done, waiting or in progress, or would die of the same.
        SessionsLockedError: A sweep or another retry is at work.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login.
        StoreUnavailableError: MongoDB cannot be reached.

    Example:
        >>> try:
        ...     retry_session("liver", "segment")
        ... except SessionNotFoundError as error:
        ...     str(error)
        "'liver' is no id of a session, which has 24 hex digits"
    """
    _check_id(session_id)
    with _opened(settings) as database, _lease(database):
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
        _audit(database, {"action": "retry", **report.model_dump(mode="json")})
    return report


def sweep_sessions(
    older_than: timedelta,
    *,
    dry_run: bool = False,
    policy: CleanupPolicy | None = None,
    settings: RuntimeSettings | None = None,
) -> SweepReport:
    """Cleans up the sessions that nothing can end any more, as the post-service would have done.

    A session is swept when it is stuck or ended and no job of it gave a sign for the given time. It can be repeated: a
    sweep that was interrupted goes on where it stopped. With the policy ``all`` the headers and results in the
    session's job documents go, too; what ran, and when, stays. Each swept session leaves an entry in the collection
    ``sessionaudit`` and a line in the log.

    Args:
        older_than: For how long nothing was heard of a session.
        dry_run: Whether to tell what would go, and remove nothing.
        policy: ``all`` or ``session``, or ``keep``, which removes nothing; the setting ``CLEANUP`` when left out.
        settings: As of :func:`list_sessions`.

    Raises:
        SessionsLockedError: Another sweep or a retry is at work.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login; ``older_than`` is negative.
        StoreUnavailableError: MongoDB cannot be reached; what was swept until then is swept.

    Example:
        >>> from datetime import timedelta
        >>> try:
        ...     sweep_sessions(timedelta(days=-7))
        ... except ConfigurationError as error:
        ...     str(error)
        'older_than is negative; give for how long a session was idle'
    """
    if older_than.total_seconds() < 0:
        raise ConfigurationError("older_than is negative; give for how long a session was idle")
    chosen = settings or _settings()
    by_policy: CleanupPolicy = policy or chosen.cleanup
    swept: list[SweptSession] = []
    left: list[LeftSession] = []
    with _opened(chosen) as database:
        if dry_run or by_policy == "keep":
            _look(database, older_than, swept, left)
        else:
            with _lease(database):
                _look(database, older_than, swept, left, by_policy)
    report = SweepReport(
        policy=by_policy,
        older_than_s=older_than.total_seconds(),
        dry_run=dry_run,
        swept=() if by_policy == "keep" else tuple(swept),
        left=(*left, *(LeftSession(session_id=one.session_id, reason=_KEPT) for one in swept if by_policy == "keep")),
    )
    _log.info(
        "sessions swept: %d, left: %d, bytes: %d%s",
        *(len(report.swept), len(report.left), report.freed_bytes, " (dry run)" if dry_run else ""),
    )
    return report


_KEPT = "the policy is to keep it"


def _look(
    database: PlatformDatabase,
    older_than: timedelta,
    swept: list[SweptSession],
    left: list[LeftSession],
    policy: CleanupPolicy | None = None,
) -> None:
    """Goes through all sessions in batches; removes by the policy, or nothing without one."""
    records = run_inline(database.overview.records())
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        clock = run_inline(database.overview.clock())
        for summary in run_inline(database.overview.summaries(batch, clock)):
            reason = _reason_to_leave(summary, older_than)
            if not reason and policy:
                reason = _swept(database, summary, swept, policy)
            elif not reason:
                swept.append(_record(summary))
            if reason:
                left.append(LeftSession(session_id=summary.id, reason=reason))


def _reason_to_leave(session: SessionSummary, older_than: timedelta) -> str:
    if session.state in {"running", "waiting"}:
        return f"it is {session.state}"
    if session.idle_s < older_than.total_seconds():
        return f"it is {session.state} for {session.idle_s:.0f} s only"
    return ""


def _record(summary: SessionSummary) -> SweptSession:
    return SweptSession(
        session_id=summary.id,
        patient=summary.patient,
        state=summary.state,
        idle_s=summary.idle_s,
        held=summary.held,
    )


def _swept(
    database: PlatformDatabase, summary: SessionSummary, swept: list[SweptSession], policy: CleanupPolicy
) -> str:
    """Removes one session; returns why not, where it came to life meanwhile."""
    _take_lease(database)
    with suppress(SessionNotFoundError):  # its post-service ended it meanwhile
        _one, before, _clock = run_inline(database.overview.one(summary.id))
        if before.state in {"running", "waiting"}:
            return f"it is {before.state}"
        run_inline(database.changes.fence(before))
        _one, after, _clock = run_inline(database.overview.one(summary.id))
        if _came_to_life(before, after):
            run_inline(database.changes.unfence(before))
            return "a job of it was started meanwhile"
        done = _record(summary)
        entry = {"action": "sweep", "policy": policy, **done.model_dump(mode="json", exclude={"removed"})}
        _audit(database, entry)
        if policy == "all":
            run_inline(database.changes.forget_patient(summary.id))
        removed = run_inline(clean_up_session(database.sessions, summary.id, policy))
        swept.append(done.model_copy(update={"removed": removed}))
        return ""
    return "it ended meanwhile"


def _came_to_life(before: QueuedSession, after: QueuedSession) -> bool:
    seen = {job.id: job.dates.get("startedAt") for job in before.jobs}
    return after.state == "running" or any(seen.get(job.id, job) != job.dates.get("startedAt") for job in after.jobs)


def _dead_jobs(session: QueuedSession, name: str) -> list[QueueJob]:
    """Returns the jobs to run again.

    Raises:
        JobNotFoundError: The session has no such job, or several of that name.
        RetryRefusedError: The job is done, waiting or in progress, or a sweep has begun.
    """
    if any(job.swept for job in session.jobs):
        raise RetryRefusedError(f"a sweep has begun to remove the session {session.id}; send its images again")
    dead = session.dead
    if not name:
        if not dead:
            raise RetryRefusedError(f"no job of the session {session.id} died; it is {session.state}")
        return dead
    named = [job for job in session.jobs if name in {job.id, job.label}]
    if not named:
        raise JobNotFoundError(f"the session {session.id} has no job {name!r}; sessions why shows its dead jobs")
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


def _audit(database: PlatformDatabase, entry: dict[str, object]) -> None:
    by = {"by": f"{_user()}@{platform.node()}"}
    run_inline(database.changes.audit({**entry, **by}))
    _log.info("%s of the session %s", entry["action"], entry["session_id"])


def _user() -> str:
    with suppress(OSError, KeyError, ImportError):  # a process without an account
        return getpass.getuser()
    return "unknown"


def _take_lease(database: PlatformDatabase) -> None:
    run_inline(database.changes.take_lease(run_inline(database.overview.clock()).now))


@contextmanager
def _lease(database: PlatformDatabase) -> Iterator[None]:
    _take_lease(database)
    try:
        yield
    finally:
        run_inline(database.changes.release_lease())


@contextmanager
def _opened(settings: RuntimeSettings | None) -> Iterator[PlatformDatabase]:
    chosen = settings or _settings()
    if chosen.backend_name != "mongodb":
        raise ConfigurationError(
            f"the platform keeps its sessions in MongoDB, and the settings name the store {chosen.backend_name}; set "
            "DCM_PROCESSOR_SERVICE_DB_PROVIDER=mongodb with its URL and name"
        )
    location = StoreLocation(
        url=chosen.db_url.get_secret_value(),
        database=chosen.db_name,
        timeout_s=chosen.store_timeout_s,
        mode="blocking",
        durability=chosen.durability,
        operation_timeout_s=chosen.store_operation_timeout_s,
        transfer_timeout_s=chosen.store_transfer_timeout_s,
    )
    with platform_database(location) as database:
        yield database


def _settings() -> RuntimeSettings:
    return RuntimeSettings(session_id=NO_ID, job_id=NO_ID)


def _check_id(session_id: str) -> None:
    if not is_platform_id(session_id):
        raise SessionNotFoundError(f"{session_id[:40]!r} is no id of a session, which has 24 hex digits")
