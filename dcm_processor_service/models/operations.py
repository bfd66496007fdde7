"""Sessions as an operator sees them: their states, the causes of dead jobs, and the results of retries and sweeps.

Nothing here holds a patient's value: a patient is named by a digest of the platform's own id, series and studies
by their UIDs.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.models.sessions import CleanupPolicy, CleanupReport

__all__ = [
    "DeathCause",
    "HeldBytes",
    "JobDeath",
    "LeftSession",
    "RetriedJob",
    "RetryReport",
    "SessionDiagnosis",
    "SessionState",
    "SessionSummary",
    "SweepReport",
    "SweptSession",
]

SessionState: TypeAlias = Literal["running", "waiting", "stuck", "ended"]
"""``running``: a job is in progress and its worker lives. ``waiting``: a job could start. ``stuck``: nothing runs, and
nothing will. ``ended``: the last job is done, and the session's document is still there."""

DeathCause: TypeAlias = Literal[
    "killed",
    "out_of_memory",
    "import_error",
    "syntax_error",
    "quote",
    "backslash",
    "line_break",
    "control_character",
    "exit",
    "result_not_json",
    "integer_too_large",
    "result_too_large",
    "worker_killed",
    "database_restarted",
    "timed_out",
    "asked_to_end",
    "unknown",
]
"""Causes of a job's death. After it, the queue neither ends the job nor starts it again, unless it finds a result that
names the cause."""


class _Record(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class HeldBytes(_Record):
    """How many bytes of a session the store holds.

    Example:
        >>> HeldBytes(data=10, files=200, images=3_000).total
        3210
    """

    data: int = 0
    files: int = 0
    images: int = Field(default=0, description="Of the patient's instances that arrived before the session was made")

    @property
    def total(self) -> int:
        """The sum, in bytes."""
        return self.data + self.files + self.images


class SessionSummary(_Record):
    """The state of one session.

    Example:
        >>> from datetime import timezone
        >>> made = datetime(2024, 2, 29, tzinfo=timezone.utc)
        >>> SessionSummary(id="5" * 24, state="stuck", created_at=made, age_s=90.0, idle_s=60.0).held.total
        0
    """

    id: str
    patient: str = Field(default="", description="Digest of the platform's id of the patient: equal for one patient")
    state: SessionState
    created_at: datetime
    age_s: float = Field(description="Seconds since the session was made")
    idle_s: float = Field(description="Seconds since something was last recorded about one of its jobs")
    waits_for: str = Field(default="", description="What has to happen before the session can go on")
    jobs: int = 0
    jobs_done: int = 0
    held: HeldBytes = HeldBytes()
    problem: str = Field(
        default="", description="Which documents of its images cannot be read; a sweep then skips the session"
    )


class JobDeath(_Record):
    """One job that neither ended nor will start again, and what it died of.

    Example:
        >>> JobDeath(job_id="1" * 24, job="segment", causes=("quote",), certain=True, sentence="...").cause
        'quote'
    """

    job_id: str
    job: str = Field(description="Name of the job; pre-service and post-service where the platform gives it none")
    event: str = ""
    service: str = ""
    subject_uid: str = Field(default="", description="Series or Study Instance UID of the job's subject")
    causes: tuple[DeathCause, ...] = Field(description="Causes that fit the documents, the most likely first")
    certain: bool = Field(description="Whether only one cause fits the documents")
    sentence: str = Field(description="What happened, as a sentence")
    died_at: datetime | None = None
    holds_back: tuple[str, ...] = Field(default=(), description="Ids of the jobs that cannot start because of it")

    @property
    def cause(self) -> DeathCause:
        """The most likely cause."""
        return self.causes[0]


class SessionDiagnosis(_Record):
    """Why a session does not end: a sentence about the session, and one about each of its dead jobs.

    Example:
        >>> from datetime import timezone
        >>> made = datetime(2024, 2, 29, tzinfo=timezone.utc)
        >>> session = SessionSummary(id="5" * 24, state="waiting", created_at=made, age_s=2.0, idle_s=1.0)
        >>> SessionDiagnosis(session=session, sentence="It waits for a worker.").deaths
        ()
    """

    session: SessionSummary
    deaths: tuple[JobDeath, ...] = ()
    ended_early: tuple[JobDeath, ...] = Field(
        default=(), description="Jobs whose process was ended and left a result that says so: the session goes on"
    )
    sentence: str


class RetriedJob(_Record):
    """One job that the queue may start again.

    Example:
        >>> RetriedJob(job_id="1" * 24, job="segment", released=3).released
        3
    """

    job_id: str
    job: str
    released: int = Field(default=0, description="How many jobs wait for it, and start when it is done")


class RetryReport(_Record):
    """Which jobs of a session the queue may start again.

    Example:
        >>> RetryReport(session_id="5" * 24, jobs=(RetriedJob(job_id="1" * 24, job="segment"),)).jobs[0].job
        'segment'
    """

    session_id: str
    jobs: tuple[RetriedJob, ...] = ()


class SweptSession(_Record):
    """One session that a sweep removed, or would remove.

    Example:
        >>> SweptSession(session_id="5" * 24, state="stuck", idle_s=700_000.0, held=HeldBytes(images=30)).held.total
        30
    """

    session_id: str
    patient: str = ""
    state: SessionState
    idle_s: float
    held: HeldBytes = Field(default=HeldBytes(), description="What it held before")
    removed: CleanupReport | None = Field(default=None, description="None in a dry run")


class LeftSession(_Record):
    """One session that a sweep did not remove, and why.

    Example:
        >>> LeftSession(session_id="5" * 24, reason="a job is in progress").reason
        'a job is in progress'
    """

    session_id: str
    reason: str


class SweepReport(_Record):
    """The result of a sweep.

    Example:
        >>> SweepReport(policy="all", older_than_s=604_800.0, dry_run=True).swept
        ()
    """

    policy: CleanupPolicy
    older_than_s: float
    dry_run: bool
    swept: tuple[SweptSession, ...] = ()
    left: tuple[LeftSession, ...] = ()

    @property
    def freed_bytes(self) -> int:
        """How many bytes the swept sessions held."""
        return sum(one.held.total for one in self.swept)
