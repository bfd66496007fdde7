"""The job that a name stands for, and its output."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.memory import MemoryJobRepository, MemoryStore
from dcm_processor_service.errors import AmbiguousJobError, JobNotFoundError, UpstreamFailedError
from dcm_processor_service.models import Job, JobEvent, JobState, Patient, SeriesRecord, Study
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.jobs import AsyncCurrentJob, AsyncJobs, CurrentJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service import RuntimeContext

SESSION_ID = "5" * 24
LEFT = SeriesRecord(id="1" * 24, series_instance_uid="1.1", study_instance_uid="1")
RIGHT = SeriesRecord(id="2" * 24, series_instance_uid="1.2", study_instance_uid="1")
STUDY = Study(id="1" * 24, study_instance_uid="1", series_ids=(LEFT.id, RIGHT.id))  # the id of a series, on purpose
STUDY_OF_BOTH = STUDY.model_copy(update={"id": "3" * 24})
PATIENT = Patient(id="4" * 24)


def make(job_id: str, name: str, depends_on: Iterable[str] = (), subject: Any = None, **values: Any) -> Job:
    return Job(id=job_id, session_id=SESSION_ID, name=name, depends_on=tuple(depends_on), subject=subject, **values)


def resolve_job(jobs: Iterable[Job], own_job_id: str, name: str) -> Job:
    """Returns the id of the job that a name stands for in another job."""
    store = MemoryStore(jobs={job.id: job for job in jobs})
    key = run_inline(AsyncJobs(JobKey(SESSION_ID, own_job_id), MemoryJobRepository(store)).output_key(name))
    return store.jobs[key.job_id]


TWO_SERIES = [
    make("pre", ""),
    make("seg-l", "segment", ["pre"], LEFT),
    make("seg-r", "segment", ["pre"], RIGHT),
    make("clean-l", "clean", ["pre", "seg-l"], LEFT),
    make("clean-r", "clean", ["pre", "seg-r"], RIGHT),
    make("measure-l", "measure", ["clean-l"], LEFT),
    make("measure-r", "measure", ["clean-r"], RIGHT),
    make("loose-l", "loose", ["pre"], LEFT),
    make("report", "report", ["measure-l", "measure-r"], STUDY, event=JobEvent.STABLE_STUDY),
    make("summary", "summary", ["report"], PATIENT, event=JobEvent.STABLE_PATIENT),
    make("post", "", ["summary"]),
]


@pytest.mark.parametrize(
    ("own", "name", "meant"),
    [
        ("clean-l", "segment", "seg-l"),  # depends on it
        ("clean-r", "segment", "seg-r"),
        ("measure-l", "segment", "seg-l"),  # through another
        ("measure-r", "segment", "seg-r"),
        ("loose-l", "segment", "seg-l"),  # the same subject
        ("loose-l", "measure", "measure-l"),  # also of one that comes later
        ("report", "loose", "loose-l"),  # the only one
        ("post", "report", "report"),
        ("summary", "report", "report"),
        ("gone", "report", "report"),  # the own job is not in the queue any more
    ],
)
def test_a_name_means_one_job(own: str, name: str, meant: str) -> None:
    for jobs in (TWO_SERIES, TWO_SERIES[::-1]):
        assert resolve_job(jobs, own, name).id == meant


@pytest.mark.parametrize(
    ("own", "name", "listed"),
    [
        ("report", "segment", {"seg-l", "seg-r"}),  # both are ancestors
        ("summary", "measure", {"measure-l", "measure-r"}),
        ("pre", "segment", {"seg-l", "seg-r"}),
        ("gone", "clean", {"clean-l", "clean-r"}),
    ],
)
def test_several_subjects_of_one_uid_are_refused_and_listed(own: str, name: str, listed: set[str]) -> None:
    with pytest.raises(AmbiguousJobError, match=f"2 jobs of this session are named '{name}'") as caught:
        resolve_job(TWO_SERIES, own, name)
    assert set(caught.value.job_ids) == listed
    assert all(job_id in str(caught.value) for job_id in listed)
    assert "collect" in str(caught.value)
    assert f"series {LEFT.id}" in str(caught.value)


def test_a_job_that_is_depended_on_goes_before_others_and_a_direct_one_before_those_behind_it() -> None:
    jobs = [
        make("a", "segment", subject=LEFT),
        make("b", "segment", ["a"], subject=STUDY_OF_BOTH),
        make("outside", "segment", subject=LEFT),
        make("middle", "clean", ["a"], LEFT),
        make("through", "compare", ["middle"], LEFT),
        make("both", "compare", ["b", "middle"], LEFT),
        make("many", "compare", [f"gone-{number}" for number in range(500)] + ["b", "middle"], LEFT),
    ]
    assert resolve_job(jobs, "through", "segment").id == "a"
    assert resolve_job(jobs, "both", "segment").id == "b"
    assert resolve_job(jobs, "many", "segment").id == "b"


def test_a_dependency_of_another_subject_is_not_meant() -> None:
    jobs = [make("a", "segment", subject=RIGHT), make("own", "compare", ["a"], LEFT)]
    with pytest.raises(JobNotFoundError, match="was it declined"):
        resolve_job(jobs, "own", "segment")
    jobs.append(make("b", "segment", subject=LEFT))
    assert resolve_job(jobs, "own", "segment").id == "b"


def test_a_name_that_no_job_has_is_logged_where_a_default_stands_for_it(
    fake_context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ctx = context([make("f" * 24, "segment", subject=RIGHT)], lambda **kw: fake_context(subject=LEFT, **kw))
    assert ctx.session.data.get("volume", default=0, job="segment") == 0
    assert caplog.messages == []
    assert ctx.session.data.get("volume", default=0, job="sgement") == 0
    assert caplog.messages == [
        "this session has no other job named 'sgement'; its jobs are: segment; it is treated as a job that was declined"
    ]


def test_a_job_that_the_store_has_lost_knows_its_subject_from_the_worker() -> None:
    store = MemoryStore(jobs={"a": make("a", "segment", subject=RIGHT)})
    key, repository = JobKey(SESSION_ID, "own"), MemoryJobRepository(store)
    current = AsyncCurrentJob(key, repository, name="x", event=None, service_name="s")
    current.preset(make("own", "x", subject=LEFT))
    assert run_inline(AsyncJobs(key, repository, current).output_key_if_any("segment")) is None


def test_a_thousand_jobs_are_not_read_for_one_name() -> None:
    class Counting(MemoryJobRepository):
        async def list(self, *which: Any, **how: Any) -> list[Job]:
            found = await super().list(*which, **how)
            read.extend(job.id for job in found)
            return found

    read: list[str] = []
    series = [SeriesRecord(id=f"{number:024x}", patient_uid="p") for number in range(1000)]
    jobs = [make(f"segment-{one.id}", "segment", subject=one) for one in series]
    jobs += [make(f"report-{one.id}", "report", [f"segment-{one.id}"], subject=one) for one in series]
    store = MemoryStore(jobs={job.id: job for job in jobs})
    own = JobKey(SESSION_ID, f"report-{series[7].id}")
    key = run_inline(AsyncJobs(own, Counting(store)).output_key("segment"))
    assert (key.job_id, read) == (f"segment-{series[7].id}", [key.job_id])


def test_a_series_and_a_study_of_one_id_are_two_subjects() -> None:
    jobs = [make("a", "segment", subject=LEFT), make("b", "segment", subject=RIGHT), make("own", "x", subject=STUDY)]
    with pytest.raises(AmbiguousJobError):
        resolve_job(jobs, "own", "segment")


def test_a_job_without_subject_is_not_the_same_as_another_without() -> None:
    jobs = [make("a", "segment"), make("b", "segment"), make("own", "x")]
    with pytest.raises(AmbiguousJobError, match="no subject"):
        resolve_job(jobs, "own", "segment")


def test_a_name_never_means_the_own_job() -> None:
    with pytest.raises(JobNotFoundError, match="no other job named 'report'; its jobs are: clean, loose"):
        resolve_job(TWO_SERIES, "report", "report")
    with pytest.raises(JobNotFoundError, match=f"subject of this job, series {LEFT.id}; .*seg-r"):
        resolve_job(TWO_SERIES, "seg-l", "segment")
    with pytest.raises(JobNotFoundError, match="its jobs are: none"):
        resolve_job([make("own", "x")], "own", "y")


def test_dependencies_that_form_a_ring_or_lead_nowhere_end() -> None:
    jobs = [make("a", "one", ["b"]), make("b", "two", ["a", "gone"]), make("own", "x", ["a", "own"]), make("c", "one")]
    assert resolve_job(jobs, "own", "one").id == "a"
    assert resolve_job(jobs, "own", "two").id == "b"


def test_the_order_of_the_jobs_does_not_matter() -> None:
    shapes = [make("a", "s", subject=LEFT), make("b", "s", subject=RIGHT), make("m", "m", ["a"]), make("o", "o", ["m"])]
    assert {resolve_job(order, "o", "s").id for order in itertools.permutations(shapes)} == {"a"}


def context(jobs: Iterable[Job], fake: Any) -> RuntimeContext:
    made: RuntimeContext = fake(jobs=jobs)
    return made


def test_a_failed_job_raises_with_its_message_and_no_default_hides_it(fake_context: Any) -> None:
    failed = make("f" * 24, "segment", state=JobState.FAILED, error_message="no liver in the image")
    ctx = context(iter([failed]), fake_context)
    reads: list[Callable[[], object]] = [
        lambda: ctx.session.data.get("volume", default=0, job="segment"),
        lambda: ctx.session.data.has("volume", job=failed),
        lambda: ctx.session.data.keys(job="segment"),
        lambda: ctx.session.files.read("mask", job="segment"),
        lambda: ctx.session.files.has("mask", job=failed),
        lambda: ctx.session.files.list(job="segment"),
    ]
    for read in reads:
        with pytest.raises(UpstreamFailedError, match="no liver in the image") as caught:
            read()
        assert caught.value.job_id == failed.id
    silent = make("e" * 24, "other", state=JobState.FAILED)
    with pytest.raises(UpstreamFailedError, match="no reason recorded"):
        context([silent], fake_context).session.data.get("x", job="other")


@pytest.mark.parametrize("state", [JobState.WAITING, JobState.RUNNING, JobState.DONE])
def test_a_job_that_has_not_failed_can_be_read(fake_context: Any, state: JobState) -> None:
    ctx = context([make("f" * 24, "segment", state=state)], fake_context)
    assert ctx.session.data.get("volume", default=3, job="segment") == 3


@pytest.mark.parametrize(("count", "more"), [(20, ""), (21, "; and 1 more"), (30, "; and 10 more")])
def test_of_many_candidates_a_few_are_named_and_the_others_counted(count: int, more: str) -> None:
    jobs = [make(f"s{number:02}", "segment") for number in range(count)]
    with pytest.raises(AmbiguousJobError) as caught:
        resolve_job([*jobs, make("own", "report")], "own", "segment")
    shown = "; ".join(f"s{number:02} (no subject)" for number in range(min(count, 20)))
    assert f"{count} jobs of this session are named 'segment': {shown}{more}; read all" in str(caught.value)
    assert caught.value.job_ids == tuple(job.id for job in jobs)


def test_jobs_are_listed_by_name(fake_context: Any) -> None:
    ctx = context([make("f" * 24, "segment"), make("e" * 24, "report")], fake_context)
    assert [job.name for job in ctx.session.jobs()] == ["job", "segment", "report"]
    assert [job.id for job in ctx.session.jobs("report")] == ["e" * 24]
    assert ctx.session.jobs("nothing") == []


def test_the_jobs_document_is_read_once_and_checked() -> None:
    reads = []

    class Counting(MemoryJobRepository):
        async def find(self, job_id: str) -> Job | None:
            reads.append(job_id)
            return await super().find(job_id)

    store = MemoryStore(jobs={"a": make("a", "x", params={"t": 1}, added_params={"y": [1]}, subject=LEFT)})
    key = JobKey(SESSION_ID, "a")
    job = CurrentJob(AsyncCurrentJob(key, Counting(store), name="x", event=None, service_name="s"))
    assert (job.id, job.session_id, job.name, job.event, job.service_name) == ("a", SESSION_ID, "x", None, "s")
    assert reads == []
    assert (job.params, job.added_params, job.headers) == ({"t": 1}, {"y": [1]}, LEFT)
    assert job.read().name == "x"
    assert reads == ["a"]
    other = AsyncCurrentJob(JobKey("6" * 24, "a"), Counting(store), name="x", event=None, service_name="s")
    with pytest.raises(JobNotFoundError, match="no job a in the session 6666"):
        run_inline(other.read())
    other.preset(store.jobs["a"])
    assert run_inline(other.read()).name == "x"
