"""Reads the state of the platform's sessions, and why they do not end.

A few queries read many sessions. From the headers of jobs they read only UIDs; only the arguments of a dead job are
read as a whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from bson import ObjectId

from dcm_processor_service.backends.mongo.documents import either, id_text, mapping, whole_number
from dcm_processor_service.backends.mongo.job_documents import OLDEST_FIRST
from dcm_processor_service.backends.mongo.operator.deaths import EARLY_END, Evidence, cause_of_death, cause_of_early_end
from dcm_processor_service.backends.mongo.operator.queue import PROJECTION, QueuedSession, heartbeat, queue_job
from dcm_processor_service.backends.mongo.operator.service_code import EntryCode, sources_of
from dcm_processor_service.errors import SessionNotFoundError, StoredValueError
from dcm_processor_service.memory_records import MEMORY_RECORD, MemoryRecord
from dcm_processor_service.models import HeldBytes, JobDeath, SessionDiagnosis, SessionSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dcm_processor_service.backends.mongo.documents import Document
    from dcm_processor_service.backends.mongo.driver.collection import Collection
    from dcm_processor_service.backends.mongo.operator.deaths import Postmortem
    from dcm_processor_service.backends.mongo.operator.queue import QueueJob
    from dcm_processor_service.backends.mongo.sessions import MongoSessionRepository
    from dcm_processor_service.models import SessionRecord

__all__ = ["Overview", "ServerClock", "patient_digest"]

_BATCH = 100
_CLOCKS = timedelta(seconds=2)
"""The largest difference between the clocks of a job's machine and the queue; beyond it, the cause stays uncertain."""

_DIGEST_CHARACTERS = 12


class ServerClock(NamedTuple):
    """The server's time, and the time of its start."""

    now: datetime
    started_at: datetime | None


def patient_digest(patient_id: str) -> str:
    """Returns a digest that distinguishes patients without naming them."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:_DIGEST_CHARACTERS] if patient_id else ""


class Overview:
    """Reads sessions, jobs and heartbeats; writes nothing."""

    def __init__(self, collection: Callable[[str], Collection], sessions: MongoSessionRepository) -> None:
        self._collection = collection
        self._sessions = sessions

    async def clock(self) -> ServerClock:
        """Asks the server for its time, because the clock of this machine may be wrong."""
        hello = await self._collection("sessions").command("hello")
        process = mapping(hello.get("topologyVersion")).get("processId")
        started_at = process.generation_time if isinstance(process, ObjectId) else None
        return ServerClock(_aware(hello["localTime"]), started_at)

    async def records(self) -> list[SessionRecord]:
        """Returns all sessions, oldest first."""
        return await self._sessions.all()

    async def queued(self, records: Sequence[SessionRecord], clock: ServerClock) -> list[QueuedSession]:
        """Returns the sessions with their jobs."""
        beats = [heartbeat(row) for row in await self._collection("jobs").find({"is_worker": True}, projection=_BEAT)]
        jobs: dict[str, list[QueueJob]] = defaultdict(list)
        for start in range(0, len(records), _BATCH):
            ids = either(*(record.id for record in records[start : start + _BATCH]))
            query = {"$or": [{"sessionId": ids}, {"session_id": ids}], "item_type": "queue"}
            for row in await self._collection("jobs").find(query, projection=PROJECTION, sort=OLDEST_FIRST):
                job = queue_job(row)
                jobs[job.session_id].append(job)
        return [QueuedSession(one.id, one.created_at, jobs[one.id], beats, clock.now) for one in records]

    async def summaries(self, records: Sequence[SessionRecord], clock: ServerClock) -> list[SessionSummary]:
        """Returns the state of each session, and the bytes that it holds."""
        queued = await self.queued(records, clock)
        data = await self._sums("sessiondata", "session_id", {"$bsonSize": "$$ROOT"}, records)
        files = await self._sums("sessionfiles.files", "metadata.session_id", whole_number("$length"), records)
        found = []
        for record, session in zip(records, queued, strict=True):
            try:
                images, problem = await self._image_bytes(record), ""
            except StoredValueError as error:
                images, problem = 0, str(error)
            held = HeldBytes(data=data.get(record.id, 0), files=files.get(record.id, 0), images=images)
            found.append(_summary(record, session, held, problem))
        return found

    async def diagnosis(self, session_id: str) -> SessionDiagnosis:
        """Returns why a session does not end.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        record, session, clock = await self.one(session_id)
        (summary,) = await self.summaries([record], clock)
        deaths = tuple([await self._death(session, job, clock) for job in session.dead])
        early = tuple([await self._early_end(job, trace) for job, trace in await self._ended_early(session)])
        sentence = " ".join([_sentence(summary, deaths), *(one.sentence for one in early)])
        return SessionDiagnosis(session=summary, deaths=deaths, ended_early=early, sentence=sentence)

    async def one(self, session_id: str) -> tuple[SessionRecord, QueuedSession, ServerClock]:
        """Returns one session with its jobs, and the server's time.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        record, clock = await self._sessions.find(session_id), await self.clock()
        if record is None:
            raise SessionNotFoundError(
                f"there is no session {session_id}: it ended, or was swept; dcm-processor-service sessions list shows "
                "those that are there"
            )
        (session,) = await self.queued([record], clock)
        return record, session, clock

    async def _death(self, session: QueuedSession, job: QueueJob, clock: ServerClock) -> JobDeath:
        verdict = cause_of_death(job, await self._evidence(session, job, clock))
        sentence = f"The job {job.in_words} died: {verdict.sentence}."
        return _death_of(job, verdict, sentence, "lastErrorAt", tuple(one.id for one in session.held_back_by(job)))

    async def _ended_early(self, session: QueuedSession) -> list[tuple[QueueJob, str]]:
        """Returns the done jobs whose process ended early, each with the traceback that this package wrote for it."""
        done = {job.id: job for job in session.jobs if job.done and not job.error}
        found = []
        for start in range(0, len(done), _BATCH):
            query = {"_id": either(*[*done][start : start + _BATCH]), "result.error.traceback": {"$regex": EARLY_END}}
            rows = await self._collection("jobs").find(query, projection=["result.error.traceback"])
            errors = {id_text(row["_id"]): mapping(mapping(row.get("result")).get("error")) for row in rows}
            found += [(done[job_id], str(error.get("traceback"))) for job_id, error in errors.items() if job_id in done]
        return found

    async def _early_end(self, job: QueueJob, left_behind: str) -> JobDeath:
        verdict = cause_of_early_end(left_behind, await self._memory(job))
        sentence = f"The job {job.in_words} ended early: {verdict.sentence}; the session goes on without its result."
        return _death_of(job, verdict, sentence, "completedAt")

    async def _memory(self, job: QueueJob) -> MemoryRecord | None:
        """Returns the record of memory that ran short in the job's last run; records of earlier runs are ignored."""
        query: Document = {
            "job_id": either(job.id),
            "session_id": either(job.session_id),
            "name": MEMORY_RECORD,
        }
        rows = await self._collection("sessiondata").find(query, projection=["value"], limit=1)
        record = MemoryRecord.of(rows[0].get("value")) if rows else None
        started_at = job.dates.get("startedAt")
        return None if record is None or (started_at and record.at < started_at - _CLOCKS) else record

    async def _evidence(self, session: QueuedSession, job: QueueJob, clock: ServerClock) -> Evidence:
        rows = await self._collection("jobs").find({"_id": either(job.id)}, projection=["data.kwargs"], limit=1)
        kwargs = dict(mapping(mapping(rows[0].get("data")).get("kwargs"))) if rows else {}
        code = await self._code(job)
        stored, memory = await self._has_stored(job), await self._memory(job)
        return Evidence(kwargs, code, stored, session.heartbeats, clock.started_at, memory)

    async def _has_stored(self, job: QueueJob) -> bool:
        started_at, progress_at = job.dates.get("startedAt"), job.dates.get("lastProgressAt")
        if started_at and progress_at and progress_at >= started_at:
            return True
        for name, field in (("sessiondata", "job_id"), ("sessionfiles.files", "metadata.job_id")):
            query: Document = {field: either(job.id)}
            session_field = field.replace("job_id", "session_id")
            query[session_field] = either(job.session_id)
            query["name"] = {"$ne": MEMORY_RECORD}  # no callback stored it, and it may be from an earlier run
            if await self._collection(name).find(query, projection=["_id"], limit=1):
                return True
        return False

    async def _code(self, job: QueueJob) -> EntryCode | None:
        """Returns the code that the job ran; None if it is gone, or was installed later."""
        services = await self._collection("services").find({"_id": either(job.service_id)}, limit=1)
        module = services[0].get("module") if services and job.service_id else None
        files = await self._collection("componentfiles.files").find({"_id": module}, limit=1) if module else []
        if not files:
            return None
        uploaded_at, started_at = files[0].get("uploadDate"), job.dates.get("startedAt")
        if isinstance(uploaded_at, datetime) and started_at and _aware(uploaded_at) > started_at:
            return None
        chunks = await self._collection("componentfiles.chunks").find({"files_id": files[0]["_id"]}, sort=[("n", 1)])
        sources = sources_of(b"".join(chunk["data"] for chunk in chunks))
        return EntryCode(sources, job.entry, await self._python(job)) if sources else None

    async def _python(self, job: QueueJob) -> tuple[int, int] | None:
        if not job.worker_id:
            return None
        workers = await self._collection("workers").find({"_id": either(job.worker_id)}, projection=["python_version"])
        parts = str(workers[0].get("python_version") or "").split(".") if workers else []
        numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
        return (numbers[0], numbers[1]) if len(numbers) > 1 else None

    async def _sums(self, name: str, field: str, size: Any, records: Iterable[SessionRecord]) -> dict[str, int]:
        """Returns bytes by session."""
        ids = either(*(record.id for record in records))
        group = {"_id": f"${field}", "bytes": {"$sum": size}}
        found: dict[str, int] = defaultdict(int)
        for row in await self._collection(name).aggregate([{"$match": {field: ids}}, {"$group": group}]):
            found[id_text(row["_id"])] += int(row["bytes"])
        return found

    async def _image_bytes(self, record: SessionRecord) -> int:
        ids = await self._sessions.instances_of(record.patient_id) if record.patient_id else []
        total = 0
        for start in range(0, len(ids), _BATCH * 10):
            arrived = {"_id": either(*ids[start : start + _BATCH * 10]), "uploadDate": {"$lt": record.created_at}}
            group = {"_id": None, "bytes": {"$sum": whole_number("$length")}}
            rows = await self._collection("dicomfiles.files").aggregate([{"$match": arrived}, {"$group": group}])
            total += sum(int(row["bytes"]) for row in rows)
        return total


_BEAT = ["queues", "current_job_id", "updatedAt", "expireAt"]


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _death_of(
    job: QueueJob, verdict: Postmortem, sentence: str, died: str, holds_back: tuple[str, ...] = ()
) -> JobDeath:
    """Returns the record of a death; ``died`` is the field of the job's document that has the date of its end."""
    return JobDeath(
        job_id=job.id,
        job=job.label,
        event=job.event,
        service=job.service,
        subject_uid=job.subject_uid,
        causes=verdict.causes,
        certain=len(verdict.causes) == 1 and verdict.causes != ("unknown",),
        sentence=sentence,
        died_at=job.dates.get(died),
        holds_back=holds_back,
    )


def _summary(record: SessionRecord, session: QueuedSession, held: HeldBytes, problem: str) -> SessionSummary:
    return SessionSummary(
        id=record.id,
        patient=patient_digest(record.patient_id),
        state=session.state,
        created_at=record.created_at,
        age_s=max(0.0, (session.now - record.created_at).total_seconds()),
        idle_s=session.idle_s,
        waits_for=session.waits_for,
        jobs=len(session.jobs),
        jobs_done=sum(job.done for job in session.jobs),
        held=held,
        problem=problem,
    )


def _sentence(session: SessionSummary, deaths: Sequence[JobDeath]) -> str:
    if session.state == "ended":
        return "Every job is done; the session remains because the clean-up is set to keep it, or failed."
    if not deaths:
        return f"It waits for {session.waits_for}."
    waiting = {job_id for death in deaths for job_id in death.holds_back}
    more = f" {len(deaths) - 1} more of its jobs died." if len(deaths) > 1 else ""
    goes_on = "" if session.state == "stuck" else f" Meanwhile it waits for {session.waits_for}."
    return (
        f"{deaths[0].sentence[:-1]}; it holds back {_counted(waiting - {one.job_id for one in deaths})}, and "
        f"{session.held.total} bytes stay.{more}{goes_on}"
    )


def _counted(job_ids: set[str]) -> str:
    return {0: "no other job", 1: "one job"}.get(len(job_ids), f"{len(job_ids)} jobs")
