"""First use by many threads or tasks at once makes one of each part and loses nothing, over every store."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from dependency_injector import providers

from dcm_processor_service import AsyncContainer, Container, RuntimeSettings, opened
from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.models import Instance, Job, Patient, Peer, SeriesRecord, SubjectLevel
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries
from dcm_processor_service.testing import synthetic_series
from tests.faults.local.kinds import JOB, together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

THREADS = 16
SHARED = (providers.Singleton, providers.Resource)


def store_settings(store: str, request: pytest.FixtureRequest, folder: Path) -> RuntimeSettings:
    values: dict[str, Any] = {"db_provider": store}
    if store == "sqlite":
        values["db_url"] = str(folder / uuid.uuid4().hex)
    if store == "mongodb":
        values |= {"db_url": request.getfixturevalue("mongo_url"), "db_name": f"threads_{uuid.uuid4().hex[:12]}"}
    return RuntimeSettings.without_environment(**(JOB | values), scratch=folder)


@pytest.mark.parametrize("kind", [Container, AsyncContainer])
@pytest.mark.parametrize(("store", "rounds"), [("memory", 30), ("sqlite", 30), ("mongodb", 10)])
def test_first_use_of_every_provider_by_many_threads_makes_one_of_each(
    store: str, rounds: int, kind: type[Container], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for _ in range(rounds):
        with opened(kind(settings=store_settings(store, request, tmp_path))) as container:
            names = [name for name, provider in container.providers.items() if isinstance(provider, SHARED)]
            assert {"settings", "backend", "scratch", "session", "context", "async_session", "formats"} <= {*names}

            def use(number: int, names: list[str] = names, container: Container = container) -> dict[str, object]:
                order = random.Random(number).sample(names, len(names))
                return {name: container.providers[name]() for name in order}

            seen = together(use, THREADS)
        for name in names:
            assert len({id(parts[name]) for parts in seen}) == 1, f"several of {name}"


@pytest.mark.parametrize(("store", "rounds"), [("memory", 10), ("sqlite", 10), ("mongodb", 3)])
def test_first_use_of_the_session_by_many_threads_loses_nothing(
    store: str, rounds: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for _ in range(rounds):
        with opened(Container(settings=store_settings(store, request, tmp_path))) as container:

            def use(number: int, container: Container = container) -> int:
                session = container.session()
                session.data[f"value {number}"] = number
                total = session.data.increment("count")
                session.files.put(f"{number}.txt", b"%d" % number)
                session.files.put("same.txt", b"%d" % number)
                assert session.data[f"value {number}"] == number
                assert session.files.load(f"{number}.txt") == str(number)
                session.files.read("same.txt")
                session.jobs()
                session.peers.list()
                return int(total)

            totals = together(use, THREADS)
            session = container.session()
            assert sorted(totals) == list(range(1, THREADS + 1))
            assert dict(session.data.items()) == {"count": THREADS} | {f"value {n}": n for n in range(THREADS)}
            assert len(session.files.list()) == THREADS + 1
            assert session.files.read("same.txt") in {b"%d" % number for number in range(THREADS)}


def test_a_memory_store_is_read_whole_while_it_is_written() -> None:
    backend = MemoryStore().backend()
    assert backend.workspace is not None
    workspace = backend.workspace

    def use(number: int) -> None:
        for turn in range(200):
            name = f"{number}-{turn}"
            run_inline(workspace.add_job(Job(id=name, session_id="s", name="j")))
            run_inline(workspace.add_peer(Peer(id=name, name=name, ae_title="A", host="h", port=104)))
            run_inline(workspace.add_subject(series_record(name)))
            run_inline(backend.jobs.list("s"))
            run_inline(backend.jobs.collect("s", "j", "x"))
            run_inline(backend.peers.list())
            run_inline(backend.peers.get("none"))
            run_inline(backend.dicom.find(SubjectLevel.SERIES, "none"))

    together(use, 4)
    assert len(run_inline(backend.jobs.list("s"))) == 800


def series_record(series_id: str) -> SeriesRecord:
    return SeriesRecord(
        id=series_id, series_instance_uid=f"uid {series_id}", study_instance_uid="1.2", patient_uid="p", metadata={}
    )


class SlowInstances:
    """A repository in which two reads of one series overlap: each is half-way when the other begins."""

    def __init__(self, folder: Path) -> None:
        self.contents: dict[str, bytes] = {}
        self.fetches = 0
        for number, dataset in enumerate(synthetic_series(slices=4)):
            path = folder / "source.dcm"
            dataset.save_as(path, enforce_file_format=True)
            self.contents[f"{number:024x}"] = path.read_bytes()
        path.unlink()

    async def instances(self, _series: SeriesRecord) -> list[Instance]:
        return [Instance(id=name, sop_instance_uid=name, size_bytes=len(data)) for name, data in self.contents.items()]

    async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, bytes]]:
        self.fetches += 1
        for instance in instances:
            yield instance, self.contents[instance.id]


@pytest.mark.parametrize("objects", ["one object", "an object each"])
def test_one_series_is_read_by_many_threads(tmp_path: Path, objects: str) -> None:
    repository: Any = SlowInstances(tmp_path)
    settings = RuntimeSettings.without_environment(**JOB, db_provider="memory", scratch=tmp_path)
    for _ in range(20):
        with opened(Container(settings=settings)) as container:
            shared = AsyncDicomSeries(series_record("a" * 24), repository, container.series_tools())

            def read(_number: int, container: Container = container, shared: AsyncDicomSeries = shared) -> Any:
                own = AsyncDicomSeries(series_record("a" * 24), repository, container.series_tools())
                series = DicomSeries(shared if objects == "one object" else own)
                return series.volume().array.sum(), [header.InstanceNumber for header in series.headers()]

            assert {str(seen) for seen in together(read, 6)} == {str(read(0))}
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("objects", ["one object", "an object each"])
def test_one_series_is_read_by_many_tasks(tmp_path: Path, objects: str) -> None:
    repository: Any = SlowInstances(tmp_path)
    settings = RuntimeSettings.without_environment(**JOB, db_provider="memory", scratch=tmp_path)

    async def body() -> None:
        with opened(AsyncContainer(settings=settings)) as container:
            made = [AsyncDicomSeries(series_record("a" * 24), repository, container.series_tools()) for _ in range(8)]
            series = made[:1] * 8 if objects == "one object" else made
            volumes = await asyncio.gather(*(one.volume() for one in series))
            assert len({float(volume.array.sum()) for volume in volumes}) == 1

    for _ in range(10):
        asyncio.run(body())
    if objects == "one object":
        assert repository.fetches == 10  # one task reads, the others wait for what it has read
    assert [path.name for path in tmp_path.iterdir()] == []


class HeldJobs:
    """Jobs whose first write of progress waits as long as a second one would take to overtake it."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self._begun, self._overtaken = threading.Event(), threading.Event()

    async def set_progress(self, _job_id: str, percent: int, _message: str) -> None:
        if self._begun.is_set():
            self._overtaken.set()
        else:
            self._begun.set()
            self._overtaken.wait(0.2)
        self.written.append(percent)

    def wait_for_the_first(self) -> None:
        assert self._begun.wait(60)


def test_progress_that_two_threads_tell_is_written_in_the_order_in_which_they_told_it() -> None:
    jobs: Any = HeldJobs()
    with opened(Container(settings=RuntimeSettings.without_environment(**JOB, db_provider="memory"))) as container:
        container.job_repository.override(jobs)
        progress = container.context().progress

        def tell(number: int) -> None:
            if number == 1:
                jobs.wait_for_the_first()
            progress((0.1, 1.0)[number], f"step {number}")

        together(tell, 2)
    assert jobs.written == [10, 100]


class SlowJobs:
    """Jobs whose first write of progress lets every other task run before it is applied."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.written: list[int] = []

    async def set_progress(self, _job_id: str, percent: int, _message: str) -> None:
        self.begun.append(percent)
        if len(self.begun) == 1:
            for _ in range(20):
                await asyncio.sleep(0)
        self.written.append(percent)


def test_progress_that_two_tasks_tell_is_written_in_the_order_in_which_they_told_it() -> None:
    jobs: Any = SlowJobs()
    settings = RuntimeSettings.without_environment(**JOB, db_provider="memory")

    async def body() -> None:
        with opened(AsyncContainer(settings=settings)) as container:
            container.job_repository.override(jobs)
            progress = container.context().progress
            await asyncio.gather(progress(0.1, "step 0"), progress(1.0, "step 1"))

    asyncio.run(body())
    assert jobs.written == [10, 100]


def test_what_one_thread_has_learned_no_other_lets_pass() -> None:
    scrubber = Scrubber()

    def use(number: int) -> None:
        for turn in range(60):
            name = f"Name{number}x{turn}y"
            scrubber.learn(Patient(id="0" * 24, metadata={"PatientName": name}))
            assert name not in scrubber.text(f"the report of {name}")

    together(use, 8)
