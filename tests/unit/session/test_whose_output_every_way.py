"""In a session with any jobs, no way of reading returns the output for another series, study or patient.

Values and files, by facades of both modes and by the functions of the 0.0.1 API; what is declined reads as absent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

import dcm_processor_service as sdk
from dcm_processor_service import AsyncContainer, Container, RuntimeSettings, opened
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import AmbiguousJobError, DataNotFoundError, JobNotFoundError
from dcm_processor_service.models import StoredFile
from dcm_processor_service.ports import JobKey
from dcm_processor_service.runtime.own_session import serving
from tests.desk import examples
from tests.unit.session.test_whose_output import NAMES, SESSION_ID, Known, graphs, related

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service import AsyncSession, Session
    from dcm_processor_service.models import Job
    from tests.unit.session.test_whose_output import Path

ABSENT, UNCLEAR = "absent", "unclear"


def ident(job_id: str) -> str:
    return f"{int(job_id.rpartition('-')[2]):024x}"


def filled(jobs: list[Job]) -> tuple[MemoryStore, list[Job]]:
    """A store in which each job has left its own id, as a value and as a file."""
    known = [
        job.model_copy(update={"id": ident(job.id), "depends_on": tuple(map(ident, job.depends_on))}) for job in jobs
    ]
    store = MemoryStore(jobs={job.id: job for job in known})
    for job in known:
        key = JobKey(SESSION_ID, job.id)
        store.values[key, "whose"] = job.id
        content = job.id.encode()
        store.files[key, "whose.txt"] = (
            StoredFile(id="f" * 24, job_id=job.id, name="whose.txt", size_bytes=len(content)),
            content,
        )
    return store, known


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except AmbiguousJobError:
        return UNCLEAR
    except (JobNotFoundError, DataNotFoundError):
        return ABSENT


def read_blocking(session: Session, name: str) -> dict[str, Any]:
    return {
        "value": outcome(lambda: session.data.get("whose", job=name)),
        "value or default": outcome(lambda: session.data.get("whose", default=ABSENT, job=name)),
        "has value": outcome(lambda: session.data.has("whose", job=name)),
        "file": outcome(lambda: session.files.read("whose.txt", job=name).decode()),
        "file's info": outcome(lambda: session.files.info("whose.txt", job=name).job_id),
        "files": outcome(lambda: session.files.list(job=name)[0].job_id),
        "has file": outcome(lambda: session.files.has("whose.txt", job=name)),
        "0.0.1 value": outcome(lambda: sdk.get_session_data("whose", ABSENT, name)),
        "0.0.1 has value": outcome(lambda: sdk.has_session_data("whose", name)),
        "0.0.1 has file": outcome(lambda: sdk.has_session_file("whose.txt", name)),
        "0.0.1 file": outcome(lambda: (file := sdk.download_session_file("whose.txt", job_name=name)) and text(file)),
    }


def text(file: Any) -> str:
    found: str = file.read().decode()
    return found


async def read_async(session: AsyncSession, name: str) -> dict[str, Any]:
    async def told(call: Any) -> Any:
        try:
            return await call
        except AmbiguousJobError:
            return UNCLEAR
        except JobNotFoundError:
            return ABSENT

    content = await told(session.files.read("whose.txt", job=name))
    return {
        "async value": await told(session.data.get("whose", job=name)),
        "async value or default": await told(session.data.get("whose", default=ABSENT, job=name)),
        "async file": content.decode() if isinstance(content, bytes) else content,
    }


def of_one_study(one: Path, other: Path) -> bool:
    """Whether two subjects lie in one study, or one of them is the patient whose study the other lies in."""
    depth = min(len(one), len(other), 2)
    return one[:depth] == other[:depth]


def every_reading(store: MemoryStore, own: Job, name: str) -> dict[str, Any]:
    of_job = RuntimeSettings.without_environment(db_provider="memory", session_id=SESSION_ID, job_id=own.id)
    with opened(Container(settings=of_job)) as container:
        container.backend.override(store.backend())
        with serving(container):
            found = read_blocking(container.session(), name)
    with opened(AsyncContainer(settings=of_job)) as container:
        container.backend.override(store.backend())
        return found | asyncio.run(read_async(container.session(), name))


@settings(max_examples=examples(40), deadline=None)
@given(graphs(st.builds(Known, members=st.booleans())), st.sampled_from(NAMES), st.integers(0, 11))
def test_every_way_of_reading_gives_the_same_job_of_the_same_line_of_descent(
    graph: tuple[list[Job], dict[str, Path]], name: str, which: int
) -> None:
    jobs, paths = graph
    store, known = filled(jobs)
    number = which % len(jobs)
    found = every_reading(store, known[number], name)
    (whose,) = {value for way, value in found.items() if "has" not in way and value is not None}
    assert found["0.0.1 file"] == (None if whose == ABSENT else whose)
    has = {value for way, value in found.items() if "has" in way}
    assert has == {UNCLEAR if whose == UNCLEAR else whose != ABSENT}
    if whose in {ABSENT, UNCLEAR}:
        return
    theirs = paths[jobs[known.index(store.jobs[whose])].id]
    assert whose != known[number].id
    assert related(paths[jobs[number].id], theirs)


@settings(max_examples=examples(40), deadline=None)
@given(graphs(st.just(Known())), st.integers(0, 11))
def test_what_is_collected_is_of_the_own_study_and_says_which_job_and_subject_each_value_is_of(
    graph: tuple[list[Job], dict[str, Path]], which: int
) -> None:
    jobs, paths = graph
    store, known = filled(jobs)
    own = known[which % len(known)]
    own_path = paths[jobs[known.index(own)].id]
    near = [job for job, made in zip(known, jobs, strict=True) if of_one_study(own_path, paths[made.id])]
    of_job = RuntimeSettings.without_environment(db_provider="memory", session_id=SESSION_ID, job_id=own.id)
    with opened(Container(settings=of_job)) as container:
        container.backend.override(store.backend())
        for name in NAMES:
            outputs = container.session().data.collect("whose", job=name)
            assert {job_id: (output.value, output.job) for job_id, output in outputs.items()} == {
                job.id: (job.id, job) for job in near if job.name == name
            }
