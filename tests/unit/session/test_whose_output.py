"""In a session with any jobs, no job reads the output for another series, study or patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.backends.memory import MemoryDataRepository, MemoryJobRepository, MemoryStore
from dcm_processor_service.errors import AmbiguousJobError
from dcm_processor_service.models import Job, Patient, SeriesRecord, Study
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.data import AsyncData
from dcm_processor_service.session.jobs import AsyncJobs
from tests.desk import examples

SESSION_ID = "5" * 24
NAMES = ("segment", "measure")
Path = tuple[int, ...]
"""The path of a subject: the numbers of its patient, study and series; the empty path is not a subject."""

PATHS: list[Path] = [
    (),
    *((patient,) for patient in range(2)),
    *((patient, study) for patient in range(2) for study in range(2)),
    *((patient, study, series) for patient in range(2) for study in range(2) for series in range(2)),
]


@dataclass(frozen=True)
class Known:
    """The fields that the records of a store have besides ids."""

    patients: bool = True
    studies: bool = True
    members: bool = True


def ident(path: Path) -> str:
    return "".join(str(number + 1) for number in path).ljust(24, "0")


def record(path: Path, known: Known) -> Patient | Study | SeriesRecord | None:
    if not path:
        return None
    uids: dict[str, Any] = {"id": ident(path), "patient_uid": f"p{path[0]}" if known.patients else ""}
    below = tuple(ident(other) for other in PATHS if known.members and other[:-1] == path)
    if len(path) == 1:
        return Patient(**uids, study_ids=below)
    uids["study_instance_uid"] = f"1.{path[0]}.{path[1]}" if known.studies else ""
    return Study(**uids, series_ids=below) if len(path) == 2 else SeriesRecord(**uids)


def related(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


@st.composite
def graphs(draw: st.DrawFn, known: st.SearchStrategy[Known]) -> tuple[list[Job], dict[str, Path]]:
    """Draws jobs about any subjects that depend on any others, of which some were declined or have expired."""
    places = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(PATHS)), min_size=1, max_size=12))
    told = draw(known)
    ids = [f"job-{number}" for number in range(len(places) + 2)]  # two that are gone
    jobs = [
        Job(
            id=job_id,
            session_id=SESSION_ID,
            name=name,
            subject=record(path, told),
            depends_on=tuple(draw(st.lists(st.sampled_from(ids), unique=True, max_size=6))),
        )
        for job_id, (name, path) in zip(ids, places, strict=False)
    ]
    return jobs, {job_id: path for job_id, (_name, path) in zip(ids, places, strict=False)}


def read(jobs: list[Job], own: Job, name: str) -> str | None:
    """Returns which job's value the own job reads; None where it is absent, or the read is refused as ambiguous."""
    store = MemoryStore(jobs={job.id: job for job in jobs})
    store.values = {(JobKey(SESSION_ID, job.id), "whose"): job.id for job in jobs}
    data = AsyncData(AsyncJobs(JobKey(SESSION_ID, own.id), MemoryJobRepository(store)), MemoryDataRepository(store))
    try:
        found: str | None = run_inline(data.get("whose", default=None, job=name))
    except AmbiguousJobError:
        return None
    return found


@settings(max_examples=examples(400), deadline=None)
@given(graphs(st.builds(Known, members=st.booleans())))
def test_a_value_is_of_the_same_subject_or_of_one_above_or_below_it(graph: tuple[list[Job], dict[str, Path]]) -> None:
    jobs, paths = graph
    for own in jobs:
        for name in NAMES:
            found = read(jobs, own, name)
            if found is not None:
                assert found != own.id
                assert related(paths[own.id], paths[found]), f"{paths[own.id]} read what {paths[found]} left"


@settings(max_examples=examples(200), deadline=None)
@given(graphs(st.builds(Known, patients=st.booleans(), studies=st.booleans(), members=st.booleans())))
def test_a_value_is_never_of_another_subject_of_the_same_level_whatever_records_lack(
    graph: tuple[list[Job], dict[str, Path]],
) -> None:
    jobs, paths = graph
    for own in jobs:
        for name in NAMES:
            found = read(jobs, own, name)
            if found is not None and len(paths[found]) == len(paths[own.id]):
                assert paths[found] == paths[own.id]


@settings(max_examples=examples(200), deadline=None)
@given(graphs(st.just(Known())))
def test_the_only_job_of_a_name_for_the_same_subject_is_found(graph: tuple[list[Job], dict[str, Path]]) -> None:
    jobs, paths = graph
    for own in jobs:
        for name in NAMES:
            possible = [
                job for job in jobs if job.name == name and job.id != own.id and related(paths[own.id], paths[job.id])
            ]
            if len(possible) == 1:
                assert read(jobs, own, name) == possible[0].id
            if not possible:
                assert read(jobs, own, name) is None
