"""Jobs as the scheduler made them: their dependencies, state and params, and their outputs."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.subjects import Subject, SubjectLevel

if TYPE_CHECKING:
    from dcm_processor_service.models.subjects import Patient, SeriesRecord, Study

__all__ = ["Job", "JobEvent", "JobOutput", "JobState"]


class JobEvent(str, Enum):
    """Why the scheduler created a job: for a series, study or patient that is complete."""

    STABLE_SERIES = "stable-series"
    STABLE_STUDY = "stable-study"
    STABLE_PATIENT = "stable-patient"

    @property
    def level(self) -> SubjectLevel:
        """The level of the job's subject."""
        return SubjectLevel(self.value.removeprefix("stable-"))

    @classmethod
    def of(cls, subject: Patient | Study | SeriesRecord) -> JobEvent:
        """Returns the event of a job about ``subject``.

        Example:
            >>> from dcm_processor_service.models import Study
            >>> JobEvent.of(Study(id="1" * 24)).value
            'stable-study'
        """
        return cls(f"stable-{subject.level}")


class JobState(str, Enum):
    """The state of a job.

    If the callback raised, the platform's queue records the job as done, with the error in its result; the state here
    is ``FAILED``.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@refuses_unknown_keywords
class Job(BaseModel):
    """One job of a session, read from its document.

    A job name is not unique in a session: a study with two series has two jobs of one name.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> other = Job(id="2" * 24, session_id="5" * 24, name="segment", state=JobState.DONE)
        >>> [job.name for job in fake_context(jobs=[other]).session.jobs("segment")]
        ['segment']
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str
    session_id: str
    name: str = ""
    event: JobEvent | None = None
    service_name: str = ""
    state: JobState = JobState.WAITING
    error_message: str = Field(default="", repr=False, description="Why the job failed, as the queue recorded it")
    progress_percent: int = 0
    progress_message: str = Field(default="", repr=False, description="What the job was doing, as it said itself")
    depends_on: tuple[str, ...] = Field(default=(), description="Ids of the jobs that ran before this one")
    subject: Subject | None = Field(
        default=None, description="The patient, study or series, as it was at scheduling time"
    )
    params: dict[str, Any] = Field(default_factory=dict, repr=False, description="From the service's manifest")
    added_params: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="What the registry functions returned, by job name"
    )
    created_at: datetime | None = None
    timeout_s: float | None = Field(default=None, description="Seconds that the job may take; None for no limit")


class JobOutput(BaseModel):
    """The value that one job stored under a name, as ``data.collect`` reads it.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> session = fake_context(job_name="segment").session
        >>> session.data["volume_ml"] = 12.5
        >>> [output.value for output in session.data.collect("volume_ml", job="segment").values()]
        [12.5]
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    job: Job
    found: bool = Field(description="Whether the job stored a value under the name, and it can be read")
    value: Any = Field(default=None, repr=False)
    problem: str = Field(default="", description="Which part of the job's document or value cannot be read, and why")
