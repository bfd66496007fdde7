"""The parts of a job that a step uses; in a module of their own, so that a job without steps does not load steps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models.steps import StepRecord
    from dcm_processor_service.ports import DataRepository, FileRepository, JobKey, JobRepository, Mode, Offload
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber
    from dcm_processor_service.runtime.progress import AsyncProgress
    from dcm_processor_service.session.files import AsyncFiles
    from dcm_processor_service.session.jobs import AsyncCurrentJob, AsyncJobs

__all__ = ["StepTiming", "StepTools"]


@dataclass(frozen=True)
class StepTiming:
    """How long a lease lives without a sign of life, how often the run writes one, and the clock that measures both."""

    lease_s: float = 60.0
    beat_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    """Called in place of waiting, for tests."""


@dataclass(frozen=True)
class StepTools:
    """The parts of a job's container that a step needs."""

    key: JobKey
    job: AsyncCurrentJob
    mode: Mode
    jobs: JobRepository
    data: DataRepository
    files: FileRepository
    make_files: Callable[[AsyncJobs, FileRepository], AsyncFiles]
    offload: Offload
    progress: AsyncProgress
    scrubber: Scrubber
    timing: StepTiming
    service: tuple[str, str]
    """Name and version of the service."""

    on_end: Callable[[StepRecord], None]
    """Receives the record of each step that ended, and of each step that an earlier run had completed."""
