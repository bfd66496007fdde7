"""Progress: what is written, how often, and that it never costs the job."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from dcm_processor_service import AsyncRuntimeContext, Container, RuntimeContext, RuntimeSettings
from dcm_processor_service.errors import StoreUnavailableError, UnsupportedValueError
from dcm_processor_service.models import Patient
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.progress import AsyncProgress, Progress
from dcm_processor_service.testing import fake_async_context, fake_context

if TYPE_CHECKING:
    from dcm_processor_service.ports import JobRepository


class FakeJobs:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int, str]] = []
        self.failure: Exception | None = None

    async def set_progress(self, job_id: str, percent: int, message: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.written.append((job_id, percent, message))


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(jobs: FakeJobs, clock: Clock) -> Progress:
    scrubber = Scrubber()
    scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": "Doe^Jane"}))
    return Progress(AsyncProgress(JobKey("s", "j"), cast("JobRepository", jobs), scrubber, clock))


def percents(jobs: FakeJobs) -> list[int]:
    return [percent for _job, percent, _message in jobs.written]


def test_the_first_is_written_at_once_as_a_whole_percentage(jobs: FakeJobs, progress: Progress) -> None:
    progress(0.4, "segmenting")
    assert jobs.written == [("j", 40, "segmenting")]


@pytest.mark.parametrize(
    ("fraction", "percent"), [(0, 0), (0.29, 29), (1 / 3, 33), (0.999, 99), (1, 100), (1 + 1e-9, 100), (-1e-9, 0)]
)
def test_a_fraction_becomes_a_percentage(jobs: FakeJobs, progress: Progress, fraction: float, percent: int) -> None:
    progress(fraction)
    assert percents(jobs) == [percent]


@pytest.mark.parametrize("fraction", [np.float32(0.5), np.array(0.5), np.array([0.5])], ids=["scalar", "0d", "1d"])
def test_a_number_of_numpy_becomes_a_percentage(jobs: FakeJobs, progress: Progress, fraction: Any) -> None:
    progress(fraction)
    assert percents(jobs) == [50]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 40, math.nan, math.inf])
def test_what_is_no_fraction_is_refused(jobs: FakeJobs, progress: Progress, fraction: float) -> None:
    with pytest.raises(UnsupportedValueError, match="from 0 to 1"):
        progress(fraction)
    assert jobs.written == []


@pytest.mark.parametrize("fraction", ["half", None, {"$gt": ""}, [0.5]])
def test_what_is_no_number_is_refused_in_a_sentence(jobs: FakeJobs, progress: Progress, fraction: Any) -> None:
    with pytest.raises(UnsupportedValueError, match="number from 0 to 1"):
        progress(fraction)
    assert jobs.written == []


@pytest.mark.parametrize("message", [7, None, {"slices": 3}])
def test_a_message_is_shown_whatever_it_is(jobs: FakeJobs, progress: Progress, message: Any) -> None:
    progress(0.5, message)
    assert jobs.written[0][1:] == (50, str(message))


def test_a_loop_writes_about_once_a_second(jobs: FakeJobs, progress: Progress, clock: Clock) -> None:
    for step in range(100):
        progress(step / 200, "slices")
        clock.now_s += 0.1
    assert 9 <= len(jobs.written) <= 11
    assert percents(jobs) == sorted(percents(jobs))


def test_a_loop_with_a_message_for_each_turn_does_so_too(jobs: FakeJobs, progress: Progress, clock: Clock) -> None:
    for step in range(100):
        progress(step / 200, f"slice {step}")
        clock.now_s += 0.1
    assert len(jobs.written) <= 16


def test_the_message_of_a_new_step_is_written_at_once(jobs: FakeJobs, progress: Progress) -> None:
    for message in ("loading", "segmenting", "saving"):
        progress(0.5, message)
    assert [message for _job, _percent, message in jobs.written] == ["loading", "segmenting", "saving"]


def test_the_end_is_written_at_once(jobs: FakeJobs, progress: Progress) -> None:
    progress(0.1)
    progress(0.2)
    progress(1)
    assert percents(jobs) == [10, 100]


def test_what_came_too_soon_is_written_at_the_end(jobs: FakeJobs, progress: Progress) -> None:
    progress(0.1)
    progress(0.2)
    assert percents(jobs) == [10]
    progress.flush()
    progress.flush()
    assert percents(jobs) == [10, 20]


def test_the_same_again_is_not_written(jobs: FakeJobs, progress: Progress, clock: Clock) -> None:
    progress(0.5, "x")
    progress(0.6, "x")
    progress(0.5, "x")  # back to what is written: nothing waits any more
    clock.now_s += 10
    progress.flush()
    progress(0.5, "x")
    assert percents(jobs) == [50]


def test_a_store_that_does_not_answer_costs_a_line_and_not_the_job(
    jobs: FakeJobs, progress: Progress, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    jobs.failure = StoreUnavailableError("no answer")
    progress(0.5)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    jobs.failure = None
    clock.now_s += 10
    progress(0.5)
    assert percents(jobs) == [50]


def test_a_message_names_no_patient(jobs: FakeJobs, progress: Progress) -> None:
    progress(0.5, "segmenting Doe^Jane")
    assert jobs.written[0][2] == "segmenting [removed]"


def test_it_stands_in_the_job_in_both_colours() -> None:
    ctx = fake_context()
    ctx.progress(0.25, "loading")
    (job,) = ctx.session.jobs()
    assert (job.progress_percent, job.progress_message) == (25, "loading")

    async def body() -> None:
        ctx = fake_async_context()
        await ctx.progress(0.75, "saving")
        (job,) = await ctx.session.jobs()
        assert (job.progress_percent, job.progress_message) == (75, "saving")

    asyncio.run(body())


def test_the_runner_writes_what_has_waited(jobs: FakeJobs) -> None:
    settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)

    def blocking(ctx: RuntimeContext) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2)
        raise ValueError("on the way")

    async def awaited(ctx: AsyncRuntimeContext) -> None:
        await ctx.progress(0.1)
        await ctx.progress(0.2)

    def customise(container: Container) -> None:
        container.job_repository.override(jobs)

    for callback, exit_code in ((blocking, 1), (awaited, 0)):
        jobs.written.clear()
        outcome = run_callback(callback, settings, customise=customise)
        assert outcome.exit_code == exit_code, outcome.error
        assert percents(jobs) == [10, 20]


def test_the_repository_of_an_unknown_job_stays_as_it_is() -> None:
    from dcm_processor_service.backends.memory import MemoryStore

    store = MemoryStore()
    run_inline(store.backend().jobs.set_progress("nobody", 5, ""))
    assert store.jobs == {}
