"""The operator's changes: releases a dead job to the queue again, and takes a session out of the queue.

A retry changes a job only if its document is still as it was read, so a job that a worker has taken meanwhile is left
as it is. A lease lets one sweep or retry run at a time; if its holder dies, it expires by the server's clock.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.mongo.documents import either, mapping, new_id
from dcm_processor_service.backends.mongo.driver.failures import DuplicateIdError
from dcm_processor_service.errors import SessionsLockedError
from dcm_processor_service.models.generated_script import IN_A_NAME, escaped, fault_sentence, faults_below

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.backends.mongo.operator.queue import QueuedSession, QueueJob

__all__ = ["LEASE_S", "Changes"]

LEASE_S = 300
"""The length of the lease, longer than one clean-up of a session takes; a sweep renews it before each clean-up."""

_BELIEVABLE = timedelta(days=1)
"""A lease that ends later than this was made while the server's clock was wrong; it is ignored."""

_LEASE = "sessions"
_ESCAPED_PARTS = ("headers", "params", "added_params")
_PATIENT_FIELDS = (
    *("data.kwargs.headers", "data.kwargs.added_params", "result", "errorMessage"),
    *("progressMessage", "scriptEscaped"),
)


class Changes:
    """Changes jobs, and keeps the lease and the audit trail."""

    def __init__(self, collection: Callable[[str], Collection]) -> None:
        self._jobs = collection("jobs")
        self._leases = collection("leases")
        self._audit = collection("sessionaudit")
        self._holder = secrets.token_hex(8)

    async def take_lease(self, now: datetime) -> None:
        """Takes the lease, or renews it.

        Args:
            now: The server's time.

        Raises:
            SessionsLockedError: Another process holds the lease.
        """
        wrong = [{"until": {"$gt": now + _BELIEVABLE}}, {"until": {"$not": {"$type": "date"}}}]
        is_over = [{"until": {"$lt": now}}, *wrong]
        free = {"$or": [*is_over, {"holder": self._holder}]}
        until = {"$add": ["$$NOW", LEASE_S * 1000]}
        try:
            await self._leases.find_one_and_update(
                {"_id": _LEASE, **free}, [{"$set": {"holder": self._holder, "until": until}}]
            )
        except DuplicateIdError as error:
            raise SessionsLockedError(
                "another sweep or retry is at work on the sessions of this database; try again when it has ended; if "
                f"it was killed, its lock ends after {LEASE_S} seconds at most"
            ) from error

    async def release_lease(self) -> None:
        """Releases the lease."""
        await self._leases.delete_many({"_id": _LEASE, "holder": self._holder})

    async def release_job(self, job: QueueJob) -> bool:
        """Lets the queue start a dead job again; returns False if the job has changed since it was read."""
        retry_id, was = new_id(), "in progress" if job.in_progress else "failed"
        in_progress: Any = True if job.in_progress else {"$ne": True}
        unchanged: Document = {"_id": either(job.id), "done": {"$ne": True}, "inProgress": in_progress}
        if "startedAt" in job.dates:
            unchanged["startedAt"] = job.dates["startedAt"]
        values = {
            "inProgress": False,
            "error": False,
            "attempts": 0,
            "progress": 0,
            **await self._escaped_arguments(job),
        }
        change: Document = {
            "$set": values,
            "$unset": dict.fromkeys(("errorMessage", "lastErrorAt", "expireAt", "startedAt", "result"), ""),
            "$currentDate": {"releasedAt": True},
            "$push": {"retried": {"_id": retry_id, "was": was}},
        }
        lost: list[bool] = []
        done = await self._jobs.update_one(unchanged, change, lost=lost)
        if done.matched_count or not lost:
            return done.matched_count > 0
        ours = {"_id": either(job.id), "retried._id": retry_id}
        return bool(await self._jobs.find(ours, projection=["_id"], limit=1))

    async def _escaped_arguments(self, job: QueueJob) -> Document:
        """Returns the fields that escape the job's arguments, if these would break the worker's script."""
        kwargs = await self._arguments(job)
        parts = {part: kwargs[part] for part in _ESCAPED_PARTS if part in kwargs}
        if not list(faults_below(parts)):
            return {}
        # escape all parts, so that a reader of the document knows that every text is escaped
        return {"scriptEscaped": True, **{f"data.kwargs.{part}": escaped(value) for part, value in parts.items()}}

    async def incurable(self, job: QueueJob) -> str:
        """Describes the arguments that would break the worker's script even when escaped; empty if there are none."""
        kwargs = await self._arguments(job)
        others = {key: value for key, value in kwargs.items() if key not in _ESCAPED_PARTS}
        in_names = [fault for fault in faults_below(kwargs) if fault.character.endswith(IN_A_NAME)]
        return fault_sentence([*faults_below(others), *in_names])

    async def _arguments(self, job: QueueJob) -> dict[str, Any]:
        rows = await self._jobs.find({"_id": either(job.id)}, projection=["data.kwargs"], limit=1)
        return dict(mapping(mapping(rows[0].get("data")).get("kwargs"))) if rows else {}

    async def fence(self, session: QueuedSession) -> None:
        """Keeps the queue from starting the jobs of a session that are not done."""
        taken = {"swept": True, "attempts": {"$max": ["$attempts", "$max_attempts", 1]}}
        await self._jobs.update_many(_open_jobs(session.jobs), [{"$set": taken}])

    async def unfence(self, session: QueuedSession) -> None:
        """Lets the queue start the jobs of a fenced session again."""
        waiting = [job for job in session.jobs if job.attempts_left]
        await self._jobs.update_many(_open_jobs(waiting), {"$set": {"attempts": 0}})
        await self._jobs.update_many({"_id": either(*(job.id for job in session.jobs))}, {"$unset": {"swept": ""}})

    async def forget_patient(self, session_id: str) -> None:
        """Removes headers and results from the job documents of a session; names and times of jobs stay."""
        ids = either(session_id)
        query = {"$or": [{"sessionId": ids}, {"session_id": ids}]}
        await self._jobs.update_many(query, {"$unset": dict.fromkeys(_PATIENT_FIELDS, "")})

    async def audit(self, entry: Document) -> None:
        """Writes an entry into the audit trail, with the server's time."""
        await self._audit.find_one_and_update({"_id": new_id()}, {"$set": entry, "$currentDate": {"at": True}})


def _open_jobs(jobs: Sequence[QueueJob]) -> Document:
    return {"_id": either(*(job.id for job in jobs)), "done": {"$ne": True}}
