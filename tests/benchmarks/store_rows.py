"""The platform's database on the loopback interface: a replica set of one member, every write on disk."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket
from pydicom import dcmread
from pymongo import MongoClient

from dcm_processor_service.backends.mongo.driver.blocking import open_with_options
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.ports import JobKey, NewFile, StoreLocation, inline
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline
from dcm_processor_service.runtime.adapters import imaging_functions
from dcm_processor_service.session.data import AsyncData
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries, SeriesTools
from dcm_processor_service.session.jobs import AsyncJobs
from dcm_processor_service.session.scratch import open_scratch
from tests.benchmarks.measuring import Growth, Row, Way
from tests.integration.mongo.test_growth import fill_with_images, series_job
from tests.mongo_plans import Commands
from tests.mongod import running_mongod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.models import SeriesRecord

__all__ = ["Database", "running_database", "store_growth", "store_rows"]

JOBS = 1000
IDS_AT_ONCE = 25
NEW = NewFile("application/octet-stream", {"a": 1})


class Database:
    """A server with a database for the benchmark, seen by this package and by the driver alone."""

    def __init__(
        self, url: str, client: MongoClient[dict[str, Any]], backend: Any, watched: Any, commands: Commands
    ) -> None:
        self.url = url
        self.database = client["benchmark"]
        self.backend = backend
        self.watched = watched
        """The same, and what it asks is counted: for growth, since that takes a tenth of the time of a read."""
        self.commands = commands
        self.key = JobKey(str(ObjectId()), str(ObjectId()))


@contextmanager
def running_database() -> Iterator[Database]:
    """Starts the server; its database has the indexes of a session."""
    commands = Commands()
    with running_mongod() as url, MongoClient[dict[str, Any]](url, w="majority", journal=True) as client:
        location = StoreLocation(url, "benchmark", 30.0, "blocking")
        with (
            open_with_options(location, inline) as backend,
            open_with_options(location, inline, event_listeners=[commands]) as watched,
        ):
            run_inline(backend.sessions.ensure_indexes())
            yield Database(url, client, backend, watched, commands)


def store_rows(store: Database, paths: list[Path]) -> Iterator[Row]:
    """Yields the rows over values, files, jobs and series."""
    yield from _value_rows(store)
    for name, size, calls in (("put 1 kB", 1000, 40), ("put 1 MB", 1_000_000, 10), ("put 200 MB", 200_000_000, 1)):
        yield _put_row(store, name, size, calls)
    yield from _job_rows(store)
    yield from _series_rows(store, paths)


def _value_rows(store: Database) -> Iterator[Row]:
    data = store.backend.data
    values = store.database["plain"]
    values.create_index([("job_id", 1), ("name", 1)])
    owner = {"job_id": ObjectId(store.key.job_id)}
    run_inline(data.put(store.key, "x", 1.5))
    values.insert_one({**owner, "name": "x", "value": 1.5})
    calls, numbers = range(200), iter(range(10**9))
    yield Row(
        "get",
        f"{len(calls)} reads of one value",
        Way("data.get", lambda: [run_inline(data.find(store.key, "x")) for _ in calls]),
        Way("find_one", lambda: [values.find_one({**owner, "name": "x"}) for _ in calls]),
        Way("ping", lambda: [store.database.command("ping") for _ in calls]),
    )
    yield Row(
        "set",
        f"{len(calls)} writes of one value, on disk",
        Way("data.set", lambda: [run_inline(data.put(store.key, "x", next(numbers))) for _ in calls]),
        Way(
            "update_one",
            lambda: [
                values.update_one({**owner, "name": "x"}, {"$set": {"value": next(numbers)}}, upsert=True)
                for _ in calls
            ],
        ),
    )


def _put_row(store: Database, name: str, size: int, calls: int) -> Row:
    content = os.urandom(size)
    bucket = GridFSBucket(store.database, "driver")
    numbers = iter(range(10**9))

    def ours() -> None:
        for _ in range(calls):
            run_inline(store.backend.files.put(store.key, f"{size}-{next(numbers)}", io.BytesIO(content), NEW))

    def theirs() -> None:
        for _ in range(calls):
            bucket.upload_from_stream("x", io.BytesIO(content), metadata={"a": 1})

    what = f"storing {calls} new file{'s' * (calls > 1)}; ours computes the checksum too"
    return Row(
        name, what, Way("files.put", ours), Way("GridFSBucket", theirs), target="1.3", rounds=3 if calls == 1 else 9
    )


def _job_rows(store: Database) -> Iterator[Row]:
    fill_with_jobs(store, JOBS)
    session_id = store.key.session_id
    jobs, values = store.database.jobs, store.database.sessiondata
    own = series_job(store, 7, "measure")  # type: ignore[arg-type]  # asks for the key alone
    jobs.insert_one(own)
    data = AsyncData(AsyncJobs(JobKey(session_id, str(own["_id"])), store.backend.jobs), store.backend.data)
    owner = {"session_id": ObjectId(session_id), "name": "volume"}

    def two_finds() -> None:
        found = list(jobs.find({"sessionId": session_id, "job_name": "segment"}))
        list(values.find({**owner, "job_id": {"$in": [job["_id"] for job in found]}}))

    yield Row(
        "collect",
        f"collecting one value of each of {JOBS} jobs; ours also reads each job as a checked model",
        Way("data.collect", lambda: run_inline(data.collect("volume", job="segment"))),
        Way("two finds, documents as they are", two_finds),
        target="2",
    )
    run_inline(data.set("volume", 1))
    calls = range(50)
    yield Row(
        "get(job=…)",
        f"{len(calls)} reads of a value of another job. {JOBS} jobs have its name: ours first finds out which is meant",
        Way("data.get", lambda: [run_inline(data.get("volume", job="segment")) for _ in calls]),
        Way("data.get of an own value", lambda: [run_inline(data.get("volume")) for _ in calls]),
        target="3",
    )


def fill_with_jobs(store: Any, count: int, first: int = 0) -> None:
    """Stores jobs about a series each, with a value each."""
    jobs = [series_job(store, number) for number in range(first, count)]
    store.database.jobs.insert_many(jobs)
    owner = ObjectId(store.key.session_id)
    store.database.sessiondata.insert_many(
        [{"session_id": owner, "job_id": job["_id"], "name": "volume", "value": 1} for job in jobs]
    )


def _series_rows(store: Database, paths: list[Path]) -> Iterator[Row]:
    bucket = GridFSBucket(store.database, "dicomfiles")
    ids = [
        bucket.upload_from_stream(path.name, path.read_bytes(), metadata={"SOPInstanceUID": f"2.25.{number}"})
        for number, path in enumerate(paths)
    ]
    series_id = store.database.series.insert_one(
        {"SeriesInstanceUID": "2.25.9", "Instances": [str(one) for one in ids]}
    ).inserted_id
    from dcm_processor_service.models import SubjectLevel

    record: SeriesRecord = run_inline(store.backend.dicom.find(SubjectLevel.SERIES, str(series_id)))
    chunks = store.database["dicomfiles.chunks"]

    def whole() -> None:
        for _one, _content in iterate_inline(
            store.backend.dicom.fetch(run_inline(store.backend.dicom.instances(record)))
        ):
            pass

    def in_groups(only: dict[str, Any]) -> Iterator[Any]:
        for start in range(0, len(ids), IDS_AT_ONCE):
            query = {"files_id": {"$in": ids[start : start + IDS_AT_ONCE]}, **only}
            yield from chunks.find(query).sort([("files_id", 1), ("n", 1)])

    size = f"{len(paths)} instances of 0.5 MB"
    yield Row(
        "series out",
        f"reading {size} from GridFS into memory",
        Way("dicom.fetch", whole),
        Way("GridFSBucket, one by one", lambda: [bucket.open_download_stream(one).read() for one in ids]),
        Way(f"chunks in groups of {IDS_AT_ONCE}", lambda: sum(len(chunk["data"]) for chunk in in_groups({}))),
    )
    with open_scratch(None) as scratch:
        tools = SeriesTools(lambda: imaging_functions(Limits()), lambda: None, lambda: None, scratch, inline)  # type: ignore[arg-type,return-value]  # nothing is converted

        def series() -> DicomSeries:
            return DicomSeries(AsyncDicomSeries(record, store.backend.dicom, tools))

        bare = Way(
            "first chunks + pydicom",
            lambda: [
                dcmread(io.BytesIO(chunk["data"]), stop_before_pixels=True, force=True) for chunk in in_groups({"n": 0})
            ],
        )
        yield Row(
            "headers, GridFS",
            f"reading the headers of {size} in GridFS",
            Way("headers()", lambda: series().headers()),
            bare,
            target="1.2",
        )
        yield Row(
            "inspect, GridFS",
            f"inspecting a series of {size} in GridFS",
            Way("inspect()", lambda: series().inspect()),
            bare,
            target="1.2",
        )


def store_growth(store: Database) -> Iterator[Growth]:
    """Yields what must grow with the number of documents, counted in bytes that are asked for."""

    def collect(size: int) -> float:
        key = store.key = JobKey(str(ObjectId()), store.key.job_id)
        fill_with_jobs(store, size)
        store.commands.clear()
        run_inline(store.watched.jobs.collect(key.session_id, "segment", "volume"))
        return store.commands.sent_bytes

    def clean_up(size: int) -> float:
        from dcm_processor_service.runtime.session_lifecycle import clean_up_session

        session_id, _patient = fill_with_images(store, size)  # type: ignore[arg-type]  # asks for the database alone
        store.commands.clear()
        run_inline(clean_up_session(store.watched.sessions, session_id, "all"))
        return store.commands.sent_bytes

    yield Growth("collect grows", "data.collect over n jobs", "bytes sent", collect, (500, 1000, 2000, 4000))
    yield Growth("clean-up grows", "clean-up of n instances", "bytes sent", clean_up, (1250, 2500, 5000, 10_000))
