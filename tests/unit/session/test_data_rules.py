"""``session.data`` as a mapping, the reads of a listing, and the job whose output is read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.memory import MemoryDataRepository
from dcm_processor_service.errors import DataNotFoundError, InvalidNameError, StoredFileNotFoundError
from dcm_processor_service.models import Job
from dcm_processor_service.ports import JobKey, NewFile
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service import Container, RuntimeContext

OTHER = Job(id="f" * 24, session_id="5" * 24, name="segment")


@pytest.fixture
def ctx() -> RuntimeContext:
    """Returns the context of a job, beside another job with a value and a file of the same names."""

    def customise(container: Container) -> None:
        key, backend = JobKey(OTHER.session_id, OTHER.id), container.backend()
        run_inline(backend.data.put(key, "name", "other"))
        run_inline(backend.files.put(key, "a.txt", io.BytesIO(b"other"), NewFile("text/plain", {})))

    made = fake_context(jobs=[OTHER], customise=customise)
    made.session.data["name"] = "own"
    made.session.files.put("a.txt", b"own")
    return made


def test_data_is_a_mapping(ctx: RuntimeContext) -> None:
    data = ctx.session.data
    data["count"] = 2
    assert data["count"] == 2
    assert "count" in data
    assert list(data) == ["count", "name"]
    del data["count"]
    assert "count" not in data
    key: Any = 3
    assert key not in data
    with pytest.raises(KeyError, match="this job has no data named 'count', so it cannot be deleted"):
        del data["count"]
    with pytest.raises(DataNotFoundError, match="this job has no data named 'count'"):
        data["count"]


@pytest.mark.parametrize("job", ["segment", OTHER], ids=["by name", "by its document"])
def test_every_read_of_another_jobs_data_is_of_that_job(ctx: RuntimeContext, job: str | Job) -> None:
    data = ctx.session.data
    data["mine"] = 1
    assert (data.get("name"), data.get("name", job=job)) == ("own", "other")
    assert data.get("name", str, job=job) == "other"
    assert (data.keys(), data.keys(job=job)) == (["mine", "name"], ["name"])
    assert data.items(job=job) == [("name", "other")]
    assert data.has("mine")
    assert not data.has("mine", job=job)
    with pytest.raises(DataNotFoundError, match=r"the job 'segment' has no data named 'mine'; it has: "):
        data.get("mine", job=job)


def test_a_listing_of_names_reads_no_values() -> None:
    scans = []

    class Watched(MemoryDataRepository):
        async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, Any]]:
            scans.append(values)
            return await super().scan(key, values=values)

    def customise(container: Container) -> None:
        container.backend.override(replace(container.backend(), data=Watched()))

    data = fake_context(customise=customise).session.data
    data["a"] = 1
    assert data.keys() == list(data) == ["a"]
    assert scans == [False, False]
    assert data.items() == [("a", 1)]
    assert scans == [False, False, True]


def test_a_name_that_is_refused_is_reported_as_a_name_of_data(ctx: RuntimeContext) -> None:
    data = ctx.session.data
    attempts: list[Callable[[], object]] = [
        lambda: data.get("../a"),
        lambda: data.set("../a", 1),
        lambda: data.has("../a"),
        lambda: data.delete("../a"),
        lambda: data.increment("../a"),
        lambda: data.compare_and_set("../a", 1, 2),
        lambda: data.collect("../a", job="segment"),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidNameError, match=r"^data name '\.\./a' is not allowed"):
            attempt()


@pytest.mark.parametrize("job", ["segment", OTHER], ids=["by name", "by its document"])
def test_every_read_of_another_jobs_files_is_of_that_job(ctx: RuntimeContext, tmp_path: Path, job: str | Job) -> None:
    files = ctx.session.files
    files.put("mine.txt", b"own")
    assert (files.read("a.txt"), files.read("a.txt", job=job)) == (b"own", b"other")
    assert files.get("a.txt", tmp_path, job=job).read_bytes() == b"other"
    assert files.load("a.txt", job=job) == "other"
    with files.open("a.txt", job=job) as content:
        assert content.read() == b"other"
    assert files.info("a.txt", job=job).job_id == OTHER.id
    assert [stored.name for stored in files.list(job=job)] == ["a.txt"]
    assert files.has("mine.txt")
    assert not files.has("mine.txt", job=job)
    reads: list[Callable[[], object]] = [
        lambda: files.read("mine.txt", job=job),
        lambda: files.get("mine.txt", tmp_path, job=job),
        lambda: files.load("mine.txt", job=job),
        lambda: files.info("mine.txt", job=job),
        lambda: files.open("mine.txt", job=job).__enter__(),
    ]
    for read in reads:
        with pytest.raises(StoredFileNotFoundError, match=r"the job 'segment' has no file named 'mine\.txt'"):
            read()


def test_a_name_that_is_not_there_is_reported_with_those_that_are() -> None:
    data = fake_context().session.data
    with pytest.raises(DataNotFoundError, match="no data named 'volume'; it has: none; give a default"):
        data["volume"]
    for number in range(23):
        data[f"volume_{number:02}"] = number
    with pytest.raises(DataNotFoundError, match=r"it has: 'volume_00', .*, 'volume_19' and 3 more; give a default"):
        data["volume"]
