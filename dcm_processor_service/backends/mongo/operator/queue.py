"""Pure functions that read the queue's documents as the queue does: which job is alive, ready to start, or dead.

The queue starts a job that is neither in progress nor done, has attempts left, and depends on done jobs alone. A worker
records every 11 seconds which job it runs. A job whose process died is ``error`` and has no attempt left; a job whose
worker died stays in progress for ever. Neither starts again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.mongo.documents import Document, id_text, listed, mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.models import SessionState

__all__ = ["FRESH", "PROJECTION", "Heartbeat", "QueueJob", "QueuedSession", "heartbeat", "queue_job"]

FRESH = timedelta(seconds=60)
"""How long a job or a worker counts as alive after its last sign: about five heartbeats."""

_EXPIRY_BESIDE_THE_POLL = timedelta(seconds=20)
_POLLS_A_BEAT = 11
_BEATS_TO_MISS = 3

PROJECTION = [
    *("sessionId", "session_id", "job_name", "job_event", "service_name", "job_worker_entry", "depends_on"),
    *("done", "error", "inProgress", "attempts", "max_attempts", "channel", "errorMessage", "swept", "retried"),
    *("createdAt", "startedAt", "completedAt", "lastErrorAt", "lastProgressAt", "releasedAt"),
    *("data.function_name", "data.kwargs.service_id", "data.kwargs.worker_id"),
    *("data.kwargs.headers.SeriesInstanceUID", "data.kwargs.headers.StudyInstanceUID"),
]
"""The fields that lists of jobs read: no header of the patient, and no result."""

_DATES = ("createdAt", "startedAt", "completedAt", "lastErrorAt", "lastProgressAt", "releasedAt")
_SERVICES = {"pre_services": "pre-service", "post_services": "post-service"}


@dataclass(frozen=True)
class QueueJob:
    """The fields of one job's document that show its state."""

    id: str
    session_id: str
    label: str
    event: str
    service: str
    service_id: str
    worker_id: str
    entry: str
    subject_uid: str
    channel: str
    depends_on: frozenset[str]
    done: bool
    error: bool
    in_progress: bool
    attempts_left: bool
    swept: bool
    lost_before: int
    error_text: str
    error_trace: str
    last_sign: datetime
    dates: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_post_service(self) -> bool:
        """Whether the job is the post-service, the session's last job."""
        return self.label == _SERVICES["post_services"]

    @property
    def last_sign_of_run(self) -> datetime:
        """The time when the job was started or last reported progress, whichever is later."""
        return max(
            [self.dates[name] for name in ("startedAt", "lastProgressAt") if name in self.dates],
            default=self.last_sign,
        )

    @property
    def in_words(self) -> str:
        """The job's name and its subject."""
        about = [self.event, f"{'series' if self.event == 'stable-series' else 'study'} {self.subject_uid}"]
        return f"{self.label} ({', '.join(about[: 2 if self.subject_uid else 1])})" if self.event else self.label


@dataclass(frozen=True)
class Heartbeat:
    """The last heartbeat of a worker."""

    worker_id: str
    channels: tuple[str, ...]
    job_id: str
    beat_at: datetime | None
    expires_at: datetime | None

    @property
    def patience(self) -> timedelta:
        """The time for which the worker counts as alive after a beat.

        A worker that polls every ``n`` seconds, 1 by default, beats every ``11 n`` seconds, and sets a beat to expire
        after ``n + 20`` seconds.
        """
        if self.beat_at is None or self.expires_at is None:
            return FRESH
        poll = self.expires_at - self.beat_at - _EXPIRY_BESIDE_THE_POLL
        return max(FRESH, poll * _POLLS_A_BEAT * _BEATS_TO_MISS)

    def is_fresh(self, now: datetime) -> bool:
        """Whether the worker counts as alive."""
        return self.beat_at is not None and now - self.beat_at < self.patience


@dataclass(frozen=True)
class QueuedSession:
    """One session's jobs, and the heartbeats of workers."""

    id: str
    created_at: datetime
    jobs: Sequence[QueueJob]
    heartbeats: Sequence[Heartbeat]
    now: datetime

    def is_alive(self, job: QueueJob) -> bool:
        """Returns whether a worker runs the job: a heartbeat says so, or the job's last sign is recent."""
        if job.done or not job.in_progress:
            return False
        if any(beat.job_id == job.id and beat.is_fresh(self.now) for beat in self.heartbeats):
            return True
        patience = max([FRESH, *(beat.patience for beat in self.heartbeats if job.channel in beat.channels)])
        return self.now - job.last_sign_of_run < patience

    @property
    def dead(self) -> list[QueueJob]:
        """The jobs that are not done, are not alive, and will not start again by themselves."""
        return [
            job
            for job in self.jobs
            if not (job.done or self.is_alive(job))
            and (job.error or job.in_progress or not (job.attempts_left or job.swept))
        ]

    @property
    def ready(self) -> list[QueueJob]:
        """The jobs that the queue would give to a worker now."""
        done = {job.id for job in self.jobs if job.done}
        return [
            job
            for job in self.jobs
            if not job.done and not job.in_progress and job.attempts_left and job.depends_on <= done
        ]

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        if any(self.is_alive(job) for job in self.jobs):
            return "running"
        if self.ready:
            return "waiting"
        post_services = [job for job in self.jobs if job.is_post_service]
        if post_services and all(job.done for job in post_services):
            return "ended"
        if not post_services and self.idle_s < FRESH.total_seconds():
            return "waiting"  # the scheduler is making its jobs
        return "stuck"

    @property
    def idle_s(self) -> float:
        """Seconds since the last sign of any job."""
        last = max([self.created_at, *(job.last_sign for job in self.jobs)])
        return max(0.0, (self.now - last).total_seconds())

    @property
    def waits_for(self) -> str:
        """The event or job that the session waits for, in words; empty if the session has ended."""
        state = self.state
        if state == "running":
            names = [job.in_words for job in self.jobs if self.is_alive(job)]
            return f"the end of {_list_names(names)}"
        if state == "waiting":
            return self._worker_for(self.ready) if self.ready else "the scheduler, which makes its jobs"
        if state == "ended":
            return ""
        if self.dead:
            return f"{_list_names([job.in_words for job in self.dead])}, which died"
        if any(job.swept for job in self.jobs):
            return "the next sweep, which goes on with its clean-up"
        return "jobs that the scheduler never made"

    def _worker_for(self, ready: Sequence[QueueJob]) -> str:
        channel = ready[0].channel
        alive = [beat for beat in self.heartbeats if channel in beat.channels and beat.is_fresh(self.now)]
        names = _list_names([job.in_words for job in ready])
        return f"a worker to take {names}" + ("" if alive else f"; no worker of the channel {channel} gives a sign")

    def held_back_by(self, job: QueueJob) -> list[QueueJob]:
        """Returns the jobs that depend on ``job``, directly or through others, and are not done."""
        waiting: dict[str, QueueJob] = {}
        edge = {job.id}
        while edge:
            found = [
                one for one in self.jobs if not one.done and one.depends_on & edge and one.id not in {*waiting, job.id}
            ]
            waiting.update((one.id, one) for one in found)
            edge = {one.id for one in found}
        return list(waiting.values())


def queue_job(document: Document) -> QueueJob:
    """Reads a job's document, even if fields are missing."""
    data = mapping(document.get("data"))
    kwargs = mapping(data.get("kwargs"))
    headers = mapping(kwargs.get("headers"))
    function = str(data.get("function_name") or "").rpartition(".")[2]
    event = str(document.get("job_event") or "")
    uid = {"stable-series": "SeriesInstanceUID", "stable-study": "StudyInstanceUID"}.get(event, "")
    fault = document.get("errorMessage")
    dates = {name: _date(document[name]) for name in _DATES if isinstance(document.get(name), datetime)}
    made_at = getattr(document["_id"], "generation_time", datetime.fromtimestamp(0, timezone.utc))
    return QueueJob(
        id=id_text(document["_id"]),
        session_id=id_text(document.get("sessionId") or document.get("session_id")),
        label=str(document.get("job_name") or _SERVICES.get(function) or function),
        event=event,
        service=str(document.get("service_name") or ""),
        service_id=id_text(kwargs.get("service_id")),
        worker_id=id_text(kwargs.get("worker_id")),
        entry=str(document.get("job_worker_entry") or ""),
        subject_uid=str(headers.get(uid) or ""),
        channel=str(document.get("channel") or ""),
        depends_on=frozenset(map(id_text, listed(document.get("depends_on")))),
        done=bool(document.get("done")),
        error=bool(document.get("error")),
        in_progress=bool(document.get("inProgress")),
        attempts_left=_number(document.get("attempts"), 0) < _number(document.get("max_attempts"), 1),
        swept=bool(document.get("swept")),
        lost_before=sum(1 for one in listed(document.get("retried")) if mapping(one).get("was") == "in progress"),
        error_text=str(mapping(fault).get("message") or "" if isinstance(fault, dict) else fault or ""),
        error_trace=str(mapping(fault).get("trace") or ""),
        last_sign=max([made_at, *dates.values()]),
        dates=dates,
    )


def heartbeat(document: Document) -> Heartbeat:
    """Reads a heartbeat's document."""
    beat_at, expires_at = document.get("updatedAt"), document.get("expireAt")
    return Heartbeat(
        worker_id=id_text(document["_id"]),
        channels=tuple(map(str, listed(document.get("queues")))),
        job_id=id_text(document.get("current_job_id")),
        beat_at=_date(beat_at) if isinstance(beat_at, datetime) else None,
        expires_at=_date(expires_at) if isinstance(expires_at, datetime) else None,
    )


def _date(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _number(value: Any, default: int) -> int | float:
    return value if isinstance(value, (int, float)) else default


_MOST_NAMED = 3


def _list_names(names: Iterable[str]) -> str:
    named = list(names)
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more
