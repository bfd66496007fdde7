"""``ctx.progress`` as it stands in the job's document, in every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import AsyncRuntimeContext, JobState, RuntimeContext
from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.models import Job, SeriesRecord
from dcm_processor_service.runtime.execution.runner import run_callback
from dcm_processor_service.testing.contracts.store import JOB_ID, SESSION_ID

if TYPE_CHECKING:
    from dcm_processor_service import Container
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.testing.contracts import StoreUnderTest

OTHER_ID = "b1" * 12
SUBJECT = SeriesRecord(
    id="1" * 24, series_instance_uid="1.1", study_instance_uid="1", metadata={"PatientName": "Doe^Jane"}
)


async def tell(container: Container, fraction: float, message: str = "") -> None:
    ctx: Any = container.context()
    if isinstance(ctx, AsyncRuntimeContext):
        await ctx.progress(fraction, message)
    else:
        assert isinstance(ctx, RuntimeContext)
        ctx.progress(fraction, message)


async def shown(store: StoreUnderTest) -> dict[str, tuple[int, str]]:
    """Returns the job as another process reads it, through another connection."""
    jobs = await store.session(OTHER_ID).jobs()
    return {job.id: (job.progress_percent, job.progress_message) for job in jobs}


async def test_progress_stands_in_the_own_jobs_document_and_nothing_else_changes(store: StoreUnderTest) -> None:
    for job_id in (OTHER_ID, "b2" * 12):  # of one name and subject, with all that a document says
        store.seed.job(
            Job(
                id=job_id,
                session_id=SESSION_ID,
                name="segment",
                service_name="s",
                state=JobState.RUNNING,
                depends_on=("c2" * 12,),
                subject=SUBJECT,
                params={"threshold": 0.5},
                added_params={"segment": {"a": 1}},
            )
        )
    before = await store.session(OTHER_ID).jobs()
    await tell(store.container("b2" * 12), 0.29, "segmenting")
    assert await shown(store) == {JOB_ID: (0, ""), OTHER_ID: (0, ""), "b2" * 12: (29, "segmenting")}
    after = await store.session(OTHER_ID).jobs()
    cleared = [job.model_copy(update={"progress_percent": 0, "progress_message": ""}) for job in after]
    assert cleared == before


async def test_each_new_step_takes_the_place_of_the_one_before(store: StoreUnderTest) -> None:
    container = store.container()
    for fraction, message, percent in (
        (0.0, "loading", 0),
        (0.5, "Lunge links: 3/7 – $set, a.b", 50),
        (0.25, "again from an earlier step", 25),
        (1.0, "", 100),
    ):
        await tell(container, fraction, message)
        assert await shown(store) == {JOB_ID: (percent, message)}


async def test_progress_held_back_is_written_by_flush_and_at_the_end(store: StoreUnderTest) -> None:
    container = store.container()
    await tell(container, 0.1, "segmenting")
    await tell(container, 0.2, "segmenting")
    assert await shown(store) == {JOB_ID: (10, "segmenting")}
    await container.async_progress().flush()
    assert await shown(store) == {JOB_ID: (20, "segmenting")}
    await tell(container, 1, "segmenting")
    assert await shown(store) == {JOB_ID: (100, "segmenting")}


async def test_no_message_names_a_patient(store: StoreUnderTest) -> None:
    store.seed.job(Job(id=OTHER_ID, session_id=SESSION_ID, name="segment", subject=SUBJECT))
    container = store.container(OTHER_ID)
    await container.async_session().dicom.subject()
    await tell(container, 0.5, "segmenting Doe^Jane")
    assert (await shown(store))[OTHER_ID] == (50, "segmenting [removed]")


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
async def test_a_progress_that_is_no_fraction_is_refused_and_nothing_is_written(
    store: StoreUnderTest, fraction: float
) -> None:
    with pytest.raises(UnsupportedValueError, match="from 0 to 1"):
        await tell(store.container(), fraction, "x")
    assert await shown(store) == {JOB_ID: (0, "")}


async def test_progress_of_a_missing_job_makes_no_job(store: StoreUnderTest) -> None:
    await tell(store.container("e" * 24), 0.5, "x")
    assert await shown(store) == {JOB_ID: (0, "")}


def test_the_runner_writes_held_back_progress_when_the_callback_has_ended(store: StoreUnderTest) -> None:
    def blocking(ctx: RuntimeContext) -> None:
        ctx.progress(0.1, "slices")
        ctx.progress(0.2, "slices")

    async def awaited(ctx: AsyncRuntimeContext) -> None:
        await ctx.progress(0.1, "slices")
        await ctx.progress(0.2, "slices")

    container = store.container()

    def customise(made: Container) -> None:
        if store.shared is not None:  # it does not outlive its container
            made.backend.override(store.shared)

    callback: CallbackFunction = awaited if store.mode == "async" else blocking
    outcome = run_callback(callback, container.settings(), customise=customise)
    assert outcome.exit_code == 0, outcome.error

    async def read() -> None:
        assert await shown(store) == {JOB_ID: (20, "slices")}

    store.run(read())
