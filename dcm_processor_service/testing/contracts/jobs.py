"""Contract tests: how a job reads the output of other jobs, in every store."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import (
    AmbiguousJobError,
    DataNotFoundError,
    JobNotFoundError,
    StoredFileNotFoundError,
    UpstreamFailedError,
)
from dcm_processor_service.models import Job, JobEvent, JobState, Patient, SeriesRecord, Study
from dcm_processor_service.testing.contracts.store import JOB_ID, SESSION_ID, Contract

if TYPE_CHECKING:
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["JobsContract"]

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
LEFT = SeriesRecord(id="1" * 24, series_instance_uid="1.1", study_instance_uid="1", metadata={"Modality": "CT"})
RIGHT = SeriesRecord(id="2" * 24, series_instance_uid="1.2", study_instance_uid="1", metadata={"Modality": "MR"})
STUDY = Study(id="3" * 24, study_instance_uid="1", series_ids=(LEFT.id, RIGHT.id))
PATIENT = Patient(id="4" * 24, patient_uid="p", study_ids=(STUDY.id,))


def make(number: int, name: str, **values: Any) -> Job:
    values = {"state": JobState.DONE, "event": JobEvent.STABLE_SERIES, "service_name": "s"} | values
    values = {"created_at": START + timedelta(seconds=number)} | values
    return Job(id=f"{number:024x}", session_id=SESSION_ID, name=name, **values)


def seed_two_series(store: StoreUnderTest) -> dict[str, Job]:
    """Stores a pre job, jobs that segment and measure each of two series, a study job and a patient job."""
    pre = make(1, "", event=None)
    segment_left = make(2, "segment", subject=LEFT, depends_on=(pre.id,))
    segment_right = make(3, "segment", subject=RIGHT, depends_on=(pre.id,))
    clean_left = make(4, "clean", subject=LEFT, depends_on=(pre.id, segment_left.id))
    measure_left = make(5, "measure", subject=LEFT, depends_on=(pre.id, clean_left.id))
    measure_right = make(6, "measure", subject=RIGHT, depends_on=(pre.id,))
    series_jobs = (segment_left.id, segment_right.id, clean_left.id, measure_left.id, measure_right.id)
    study = make(7, "report", event=JobEvent.STABLE_STUDY, subject=STUDY, depends_on=series_jobs)
    patient = make(8, "summary", event=JobEvent.STABLE_PATIENT, subject=PATIENT, depends_on=(study.id,))
    jobs = {
        "pre": pre,
        "segment_left": segment_left,
        "segment_right": segment_right,
        "clean_left": clean_left,
        "measure_left": measure_left,
        "measure_right": measure_right,
        "study": study,
        "patient": patient,
    }
    for job in jobs.values():
        store.seed.job(job)
    return jobs


class JobsContract(Contract):
    """A job reads the output of another job by its name; if several jobs match, the error lists them."""

    async def test_a_name_means_the_job_that_this_one_depends_on_even_through_others(
        self, store: StoreUnderTest
    ) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["segment_left"].id).data.set("volume", "left")
        await store.session(jobs["segment_right"].id).data.set("volume", "right")
        assert await store.session(jobs["measure_left"].id).data.get("volume", job="segment") == "left"

    async def test_a_name_without_a_dependency_means_the_job_for_the_same_subject(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["segment_left"].id).files.put("mask", b"left")
        await store.session(jobs["segment_right"].id).files.put("mask", b"right")
        assert await store.session(jobs["measure_right"].id).files.read("mask", job="segment") == b"right"

    async def test_a_name_without_a_dependency_or_a_job_for_the_same_subject_means_the_only_job(
        self, store: StoreUnderTest
    ) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["study"].id).data.set("volume", 3)
        assert await store.session(jobs["patient"].id).data.get("volume", job="report") == 3
        assert await store.session(JOB_ID).data.get("volume", job="report") == 3

    async def test_a_name_of_several_possible_jobs_is_refused_with_the_candidates(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        session = store.session(jobs["study"].id)
        with pytest.raises(AmbiguousJobError, match="2 jobs") as caught:
            await session.data.get("volume", job="segment", default=0)
        assert set(caught.value.job_ids) == {jobs["segment_left"].id, jobs["segment_right"].id}
        with pytest.raises(AmbiguousJobError):
            await session.files.read("mask", job="segment")

    async def test_a_listed_job_can_be_given_in_place_of_a_name(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["segment_right"].id).data.set("volume", "right")
        session = store.session(jobs["study"].id)
        (right,) = [job for job in await session.jobs("segment") if job.subject and job.subject.id == RIGHT.id]
        assert await session.data.get("volume", job=right) == "right"

    async def test_jobs_are_listed_oldest_first_with_all_that_their_documents_say(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        session = store.session(jobs["study"].id)
        assert [job.id for job in await session.jobs("segment")] == [jobs["segment_left"].id, jobs["segment_right"].id]
        listed = {job.id: job for job in await session.jobs()}
        found = listed[jobs["clean_left"].id]
        assert found.model_dump(exclude={"subject", "created_at"}) == jobs["clean_left"].model_dump(
            exclude={"subject", "created_at"}
        )
        assert isinstance(found.subject, SeriesRecord)
        assert (found.subject.id, found.subject.series_instance_uid, found.subject.modality) == (LEFT.id, "1.1", "CT")
        assert isinstance(listed[jobs["study"].id].subject, Study)
        assert isinstance(listed[jobs["patient"].id].subject, Patient)

    async def test_collect_returns_all_jobs_of_a_name_with_subject_and_state(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["segment_left"].id).data.set("volume_ml", 12)
        outputs = await store.session(jobs["study"].id).data.collect("volume_ml", job="segment", as_type=float)
        left, right = outputs[jobs["segment_left"].id], outputs[jobs["segment_right"].id]
        assert (left.found, left.value, right.found, right.value) == (True, 12.0, False, None)
        assert left.job.subject is not None
        assert left.job.subject.id == LEFT.id
        assert right.job.state is JobState.DONE
        assert await store.session().data.collect("volume_ml", job="nobody") == {}

    async def test_collect_returns_no_values_of_another_study(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        elsewhere = SeriesRecord(id="7" * 24, series_instance_uid="2.1", study_instance_uid="2")
        other_study = Study(id="8" * 24, study_instance_uid="2", series_ids=(elsewhere.id,))
        other = make(9, "segment", subject=elsewhere)
        other_report = make(10, "report", event=JobEvent.STABLE_STUDY, subject=other_study)
        for job in (other, other_report):
            store.seed.job(job)
        segmented = [jobs["segment_left"].id, jobs["segment_right"].id]
        for job_id in (*segmented, other.id):
            await store.session(job_id).data.set("volume_ml", 12)
        wanted = {
            jobs["measure_left"].id: segmented,
            jobs["study"].id: segmented,
            other_report.id: [other.id],
            jobs["patient"].id: [*segmented, other.id],
        }
        for job_id, expected in wanted.items():
            assert list(await store.session(job_id).data.collect("volume_ml", job="segment")) == expected

    async def test_collect_reports_a_value_of_another_type_and_returns_the_others(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        await store.session(jobs["segment_left"].id).data.set("volume_ml", 12)
        await store.session(jobs["segment_right"].id).data.set("volume_ml", {"side": "HIDDEN"})
        outputs = await store.session(jobs["study"].id).data.collect("volume_ml", job="segment", as_type=float)
        left, right = outputs[jobs["segment_left"].id], outputs[jobs["segment_right"].id]
        assert (left.found, left.value, left.problem) == (True, 12.0, "")
        assert (right.found, right.value) == (False, None)
        assert "'volume_ml' cannot be read as float" in right.problem
        assert "HIDDEN" not in right.problem

    async def test_a_failed_job_is_never_read_as_a_default(self, store: StoreUnderTest) -> None:
        failed = make(1, "segment", state=JobState.FAILED, error_message="no GPU")
        store.seed.job(failed)
        session = store.session()
        with pytest.raises(UpstreamFailedError, match="no GPU") as caught:
            await session.data.get("volume", job="segment", default=0)
        assert caught.value.job_id == failed.id
        with pytest.raises(UpstreamFailedError):
            await session.files.read("mask", job="segment")
        (output,) = (await session.data.collect("volume", job="segment")).values()
        assert output.job.state is JobState.FAILED

    async def test_an_unknown_job_name_raises_with_the_names_that_exist(self, store: StoreUnderTest) -> None:
        seed_two_series(store)
        with pytest.raises(
            JobNotFoundError, match=r"'sgement'; its jobs are: clean, measure, report, segment, summary"
        ):
            await store.session().data.get("volume", job="sgement")

    async def test_a_job_without_the_value_gives_the_default_or_raises(self, store: StoreUnderTest) -> None:
        store.seed.job(make(1, "segment"))
        session = store.session()
        assert await session.data.get("volume", job="segment", default=7) == 7
        with pytest.raises(DataNotFoundError, match="the job 'segment' has no data"):
            await session.data.get("volume", job="segment")
        with pytest.raises(StoredFileNotFoundError, match="the job 'segment' has no file"):
            await session.files.info("mask", job="segment")
        assert not await session.data.has("volume", job="segment")
        assert await session.data.keys(job="segment") == []
        assert await session.files.list(job="segment") == []

    async def test_other_sessions_jobs_are_not_seen(self, store: StoreUnderTest) -> None:
        other = make(1, "segment").model_copy(update={"session_id": "f" * 24})
        store.seed.job(other)
        assert await store.session().jobs("segment") == []

    async def test_the_own_document_is_read_once(self, store: StoreUnderTest) -> None:
        store.seed.job(make(9, "me", params={"threshold": 0.5}, added_params={"me": {"a": 1}}, subject=LEFT))
        job = store.session(f"{9:024x}").job
        document = await job.read()
        assert document.params == {"threshold": 0.5}
        assert document.added_params == {"me": {"a": 1}}
        assert isinstance(document.subject, SeriesRecord)
        assert await job.read() is document

    async def test_a_missing_document_of_the_own_job_raises_job_not_found(self, store: StoreUnderTest) -> None:
        with pytest.raises(JobNotFoundError, match=r"no job e{24}"):
            await store.session("e" * 24).job.read()
        with pytest.raises(JobNotFoundError, match=r"in the session d{24}"):
            await store.session(session_id="d" * 24).job.read()

    async def test_jobs_are_listed_and_collected_in_the_order_in_which_they_were_made(
        self, store: StoreUnderTest
    ) -> None:
        made = [make(number, "segment", created_at=START + timedelta(days=day)) for day, number in enumerate((7, 3, 9))]
        for job in made:
            store.seed.job(job)
            await store.session(job.id).data.set("volume", job.id)
        session = store.session()
        assert [job.id for job in await session.jobs("segment")] == [job.id for job in made]
        outputs = await session.data.collect("volume", job="segment")
        assert list(outputs) == [job.id for job in made]
        assert [output.value for output in outputs.values()] == [job.id for job in made]

    async def test_only_values_of_that_name_job_and_session_are_collected(self, store: StoreUnderTest) -> None:
        segment, longer = make(1, "segment"), make(2, "segment again")
        for job in (segment, longer):
            store.seed.job(job)
        await store.session(longer.id).data.set("volume", "of another job")
        await store.session(segment.id, session_id="f" * 24).data.set("volume", "of another session")
        await store.session(segment.id).data.set("volume left", "of another name")
        session = store.session()
        (output,) = (await session.data.collect("volume", job="segment", as_type=float)).values()
        assert (output.job.id, output.found, output.value) == (segment.id, False, None)
        await store.session(segment.id).data.set("volume", None)
        (output,) = (await session.data.collect("volume", job="segment")).values()
        assert (output.found, output.value) == (True, None)
        await store.session(segment.id).data.set("volume", [1])
        for _ in range(2):
            (output,) = (await session.data.collect("volume", job="segment")).values()
            assert output.value == [1]
            output.value.append(2)  # the collected value is a copy

    async def test_a_job_of_another_session_is_read_where_it_is(self, store: StoreUnderTest) -> None:
        other = make(1, "segment").model_copy(update={"session_id": "f" * 24})
        store.seed.job(other)
        elsewhere = store.session(other.id, session_id="f" * 24)
        await elsewhere.data.set("volume", 7)
        await elsewhere.files.put("mask", b"there")
        await store.session(other.id).data.set("volume", "not this")
        session = store.session()
        assert await session.data.get("volume", job=other) == 7
        assert await session.files.read("mask", job=other) == b"there"

    async def test_a_declined_job_reads_as_absent_and_never_as_that_of_another_series(
        self, store: StoreUnderTest
    ) -> None:
        other = make(1, "segment", subject=LEFT)
        own = make(2, "report", subject=RIGHT, depends_on=(f"{9:024x}",))  # the job that it depends on has expired
        for job in (other, own):
            store.seed.job(job)
        await store.session(other.id).data.set("volume", "left")
        await store.session(other.id).files.put("mask", b"left")
        session = store.session(own.id)
        assert await session.data.get("volume", default=None, job="segment") is None
        assert not await session.data.has("volume", job="segment")
        assert not await session.files.has("mask", job="segment")
        reads = [
            session.data.get("volume", job="segment"),
            session.data.keys(job="segment"),
            session.data.items(job="segment"),
            session.files.read("mask", job="segment"),
            session.files.info("mask", job="segment"),
            session.files.list(job="segment"),
        ]
        for read in reads:
            with pytest.raises(JobNotFoundError, match=rf"subject of this job, series {RIGHT.id}.*series {LEFT.id}"):
                await read

    async def test_a_job_reads_only_jobs_of_its_own_study_at_the_level_below(self, store: StoreUnderTest) -> None:
        other_study = Study(id="7" * 24, study_instance_uid="2", series_ids=("8" * 24,))
        mine, others = make(1, "segment", subject=LEFT), make(2, "measure", subject=LEFT)
        report = make(3, "report", event=JobEvent.STABLE_STUDY, subject=other_study, depends_on=(mine.id, others.id))
        own_report = make(4, "report", event=JobEvent.STABLE_STUDY, subject=STUDY, depends_on=(mine.id, others.id))
        for job in (mine, others, report, own_report):
            store.seed.job(job)
        await store.session(mine.id).data.set("volume", 12)
        assert await store.session(own_report.id).data.get("volume", job="segment") == 12
        assert await store.session(report.id).data.get("volume", default="none", job="segment") == "none"

    async def test_jobs_are_listed_by_name_and_by_ids(self, store: StoreUnderTest) -> None:
        jobs = seed_two_series(store)
        repository = store.container().job_repository()
        left, right, report = (jobs[which].id for which in ("segment_left", "segment_right", "study"))

        async def listed(*only: Any) -> list[str]:
            return [job.id for job in await repository.list(SESSION_ID, *only)]

        assert await listed("segment") == [left, right]
        assert await listed(None, [report, left, "f" * 24]) == [left, report]
        assert await listed("segment", [right, report]) == [right]
        assert await listed("segment", []) == []
        assert await listed("") == [jobs["pre"].id]
        assert [job.id for job in await repository.list("f" * 24, "segment", [left])] == []
