"""Cleans up the platform's sessions that no worker will ever end."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

from dcm_processor_service.errors import ConfigurationError, SessionNotFoundError
from dcm_processor_service.models import CleanupPolicy, LeftSession, SweepReport, SweptSession
from dcm_processor_service.models.platform_ids import is_platform_id
from dcm_processor_service.operations.database import audit, environment_settings, lease, opened_database, take_lease
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.session_lifecycle import clean_up_session

if TYPE_CHECKING:
    from dcm_processor_service.backends.mongo.operator.queue import QueuedSession
    from dcm_processor_service.backends.mongo.operator.repository import PlatformDatabase
    from dcm_processor_service.models import SessionSummary
    from dcm_processor_service.runtime.settings import RuntimeSettings

__all__ = ["sweep_sessions"]

BATCH = 50
"""How many sessions a sweep reads at a time; it removes the dead ones among them before it reads more."""

_log = logging.getLogger("dcm_processor_service.operations")


def sweep_sessions(
    older_than: timedelta,
    *,
    dry_run: bool = False,
    policy: CleanupPolicy | None = None,
    settings: RuntimeSettings | None = None,
) -> SweepReport:
    """Cleans up the sessions that no worker will ever end, as the post-service would have done.

    A session is swept when it is stuck or ended, and none of its jobs gave a sign of life for the given time. If a
    sweep is interrupted, the next sweep finishes it. With the policy ``all``, headers and results are removed from the
    session's job documents, too; the names and times of the jobs stay. Each swept session leaves an entry in the
    collection ``sessionaudit`` and a line in the log.

    Args:
        older_than: The time for which the jobs of a session must have given no sign of life.
        dry_run: Whether to report what would be removed, and remove nothing.
        policy: ``all``, ``session``, or ``keep``, which removes nothing; if left out, the setting ``CLEANUP`` decides.
        settings: As in :func:`list_sessions`.

    Raises:
        SessionsLockedError: Another sweep or a retry is at work.
        ConfigurationError: The settings name no MongoDB, or one that refuses the login; ``older_than`` is negative or
            no timedelta; the policy is not known.
        StoreUnavailableError: MongoDB cannot be reached; sessions that were swept until then stay removed.

    Example:
        >>> from datetime import timedelta
        >>> try:
        ...     sweep_sessions(timedelta(days=-7))
        ... except ConfigurationError as error:
        ...     str(error)
        'older_than is negative; give for how long a session was idle'
    """
    _check(older_than, policy)
    chosen = settings or environment_settings()
    by_policy: CleanupPolicy = policy or chosen.cleanup
    swept: list[SweptSession] = []
    left: list[LeftSession] = []
    with opened_database(chosen) as database:
        if dry_run or by_policy == "keep":
            _look(database, older_than, swept, left)
        else:
            with lease(database):
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
_NOT_FOUND = "its id is not of the platform's form, so no query by id finds it; remove its document by hand"


def _check(older_than: object, policy: object) -> None:
    """Refuses arguments before anything is changed.

    Raises:
        ConfigurationError: ``older_than`` is not a timedelta, or negative; the policy is not known.
    """
    if not isinstance(older_than, timedelta):
        raise ConfigurationError(
            f"older_than is a {type(older_than).__name__}; give a timedelta, such as timedelta(days=7)"
        )
    if older_than.total_seconds() < 0:
        raise ConfigurationError("older_than is negative; give for how long a session was idle")
    if policy and policy not in get_args(CleanupPolicy):
        raise ConfigurationError(f"the policy is {' or '.join(get_args(CleanupPolicy))}, not {str(policy)[:40]!r}")


def _look(
    database: PlatformDatabase,
    older_than: timedelta,
    swept: list[SweptSession],
    left: list[LeftSession],
    policy: CleanupPolicy | None = None,
) -> None:
    """Reads all sessions in batches; removes the dead ones if a policy is given, else only lists them in ``swept``."""
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
    return session.problem


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
    """Removes one session and returns an empty text; if it came to life or ended meanwhile, returns that reason."""
    take_lease(database)
    with suppress(SessionNotFoundError):  # its post-service ended it meanwhile
        _one, before, _clock = run_inline(database.overview.one(summary.id))
        if before.state in {"running", "waiting"}:
            return f"it is {before.state}"
        run_inline(database.changes.fence(before))
        _one, after, _clock = run_inline(database.overview.one(summary.id))
        if _came_to_life(before, after):
            run_inline(database.changes.unfence(before))
            return "a job of it was started or ended meanwhile"
        done = _record(summary)
        entry = {"action": "sweep", "policy": policy, **done.model_dump(mode="json", exclude={"removed"})}
        audit(database, entry)
        if policy == "all":
            run_inline(database.changes.forget_patient(summary.id))
        removed = run_inline(clean_up_session(database.sessions, summary.id, policy))
        swept.append(done.model_copy(update={"removed": removed}))
        return ""
    return "it ended meanwhile" if is_platform_id(summary.id) else _NOT_FOUND


def _came_to_life(before: QueuedSession, after: QueuedSession) -> bool:
    """Returns whether a job was started, ended or made since the first look."""
    seen, now = ({job.id: (job.dates.get("startedAt"), job.done) for job in one.jobs} for one in (before, after))
    return after.state == "running" or seen != now
