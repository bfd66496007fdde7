"""Records of the steps of a job; a step that is done is not done again."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["StepRecord"]


class StepRecord(BaseModel):
    """The state of a step: whether it is done, its progress, duration and memory.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> ctx = fake_context()
        >>> with ctx.step("measure") as step:
        ...     step.data["volume_ml"] = 12.5
        >>> step.record.state, step.record.attempts, step.record.progress_percent
        ('done', 1, 100)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: str
    state: Literal["running", "failed", "done"]
    attempt: str = Field(description="Id of the latest attempt; the outputs of the step are stored under it")
    attempts: int = Field(default=1, description="How often the step was begun")
    beat: int = Field(default=0, description="A number that grows while the process of the attempt is alive")
    progress_percent: int = 0
    progress_message: str = Field(default="", repr=False)
    started_at: datetime = Field(description="UTC, by the clock of the machine that runs it")
    duration_s: float = Field(default=0.0, description="Duration of the run that ended the step")
    peak_memory_bytes: int | None = Field(
        default=None,
        description="The most resident memory that the process had until the step ended; None where it is not known",
    )
