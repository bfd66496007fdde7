"""Work over n, 2n, 4n, 8n documents: what it asks of the server grows with n, and not with its square."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from dcm_processor_service.models import Patient, SeriesRecord, Study
from dcm_processor_service.runtime.session_lifecycle import clean_up_session
from dcm_processor_service.session.data import AsyncData
from dcm_processor_service.session.jobs import AsyncJobs
from tests.growth import LINEAR, exponent
from tests.mongo_plans import Commands, examined, explained, scanned

if TYPE_CHECKING:
    from dcm_processor_service.ports import Backend
    from tests.integration.mongo.conftest import Store

SIZES = (250, 500, 1000, 2000)
ARRIVED = datetime(2024, 1, 1, tzinfo=timezone.utc)


def series_job(store: Store, number: int, name: str = "segment", **fields: Any) -> dict[str, Any]:
    """Returns the document of a job about the series of a number, made in the order of the numbers."""
    headers = {
        "_id": series_id(number),
        "PatientUID": "p",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": f"1.2.{number}",
        "Instances": [],
    }
    return {
        "_id": ObjectId(),
        "sessionId": store.key.session_id,
        "job_name": name,
        "job_event": "stable-series",
        "depends_on": [],
        "done": True,
        "createdAt": ARRIVED + timedelta(seconds=number),
        "data": {"kwargs": {"headers": headers, "params": {}}},
    } | fields


def series_id(number: int) -> ObjectId:
    return ObjectId(f"{number + 1:024x}")


async def watched(store: Store) -> tuple[Backend, Commands]:
    """Returns a backend over a database that has its indexes, and the commands that it will send."""
    commands = Commands()
    backend = store.another(commands)
    await backend.sessions.ensure_indexes()
    commands.clear()
    return backend, commands


def cost(store: Store, commands: Commands) -> int:
    """Returns how many documents all commands look at."""
    return sum(examined(account) for command in commands.all for account in explained(store.database, command))


def fill_with_values(store: Store, jobs: list[dict[str, Any]], *, others: int) -> None:
    store.database.jobs.insert_many(jobs)
    names = ["volume", *(f"other-{number}" for number in range(others))]
    owner = ObjectId(store.key.session_id)
    store.database.sessiondata.insert_many(
        [{"session_id": owner, "job_id": job["_id"], "name": name, "value": 1} for job in jobs for name in names]
    )


async def test_values_are_collected_in_linear_time_and_two_reads(store: Store) -> None:
    backend, commands = await watched(store)
    looked_at, sent = [], []
    for number, size in enumerate(SIZES):
        fill_with_values(
            store, [series_job(store, one) for one in range(SIZES[number - 1] if number else 0, size)], others=2
        )
        commands.clear()
        outputs = await backend.jobs.collect(store.key.session_id, "segment", "volume")
        assert [output.value for output in outputs] == [1] * size
        # each answer is one message: nothing is asked for the rest of it
        assert commands.names() == ["find jobs", *["find sessiondata"] * -(-size // 1000)]
        accounts = [account for command in commands.all for account in explained(store.database, command)]
        assert not any(map(scanned, accounts))
        looked_at.append(sum(map(examined, accounts)))
        sent.append(commands.sent_bytes)
    assert looked_at == [2 * size for size in SIZES]
    assert exponent(SIZES, sent) <= LINEAR


async def test_ten_thousand_jobs_are_collected(store: Store) -> None:
    backend, commands = await watched(store)
    fill_with_values(store, [series_job(store, number) for number in range(10_000)], others=0)
    outputs = await backend.jobs.collect(store.key.session_id, "segment", "volume")
    assert (len(outputs), {output.value for output in outputs}) == (10_000, {1})
    assert commands.names().count("find sessiondata") == 10


async def test_of_a_thousand_jobs_of_a_name_the_one_of_the_own_series_is_read_alone(store: Store) -> None:
    backend, commands = await watched(store)
    pre = ObjectId()  # what every job depends on, though it tells nothing
    jobs = [series_job(store, number, depends_on=[pre]) for number in range(1000)]
    own = series_job(store, 700, "measure", depends_on=[pre, ObjectId()])
    fill_with_values(store, [*jobs, own], others=0)
    key = type(store.key)(store.key.session_id, str(own["_id"]))
    data = AsyncData(AsyncJobs(key, backend.jobs), backend.data)
    assert await data.get("volume", job="segment") == 1
    assert commands.names() == ["find jobs", "find jobs", "find sessiondata"]
    accounts = [account for command in commands.all for account in explained(store.database, command)]
    assert not any(map(scanned, accounts))
    assert max(map(examined, accounts)) <= 2  # one job in two branches of the query
    commands.clear()
    assert await data.get("volume", job="segment") == 1
    assert commands.names() == ["find jobs", "find sessiondata"]


async def test_a_declined_job_is_reported_without_reading_those_of_other_series(store: Store) -> None:
    backend, commands = await watched(store)
    fill_with_values(store, [series_job(store, number) for number in range(100)], others=0)
    own = series_job(store, 700, "measure")
    store.database.jobs.insert_one(own)
    data = AsyncData(AsyncJobs(type(store.key)(store.key.session_id, str(own["_id"])), backend.jobs), backend.data)
    assert await data.get("volume", job="segment", default=None) is None
    assert commands.all[-1]["limit"] == 1
    commands.clear()
    assert await data.get("volume", job="segment", default=None) is None
    assert commands.names() == ["find jobs"]


SUBJECTS: dict[str, Patient | Study | SeriesRecord] = {
    "same": SeriesRecord(id=str(series_id(0))),
    "other": SeriesRecord(id="e" * 24),
    "study": Study(id="d" * 24, series_ids=(str(series_id(0)),)),
    "other study": Study(id="d" * 24, series_ids=("e" * 24,)),
    "study of unknown members": Study(id="d" * 24),
    "patient": Patient(id="c" * 24, study_ids=("d" * 24,)),
}


@pytest.mark.parametrize(("which", "found"), list(zip(SUBJECTS, [1, 0, 1, 0, 1, 1], strict=True)))
@pytest.mark.parametrize("spelling", ["ObjectId", "text", "Extended JSON"])
async def test_a_job_near_a_subject_is_the_same_or_one_above_or_below(
    store: Store, which: str, found: int, spelling: str
) -> None:
    job = series_job(store, 0)
    headers = job["data"]["kwargs"]["headers"]
    text = str(headers["_id"])
    headers["_id"] = {"ObjectId": headers["_id"], "text": text, "Extended JSON": {"$oid": text}}[spelling]
    store.database.jobs.insert_one(job)
    near = await store.backend.jobs.list(store.key.session_id, "segment", near=SUBJECTS[which])
    # Extended JSON is distinguished by the session, not by the store
    assert len(near) == (found or spelling == "Extended JSON")


async def test_a_job_without_a_subject_is_near_every_one(store: Store) -> None:
    for event in ("stable-series", "stable-study", None):
        store.database.jobs.insert_one(series_job(store, 0, job_event=event, data={"kwargs": {"headers": {}}}))
    for subject in SUBJECTS.values():
        assert len(await store.backend.jobs.list(store.key.session_id, "segment", near=subject)) == 3
    assert len(await store.backend.jobs.list(store.key.session_id, "segment", most=2)) == 2


def fill_with_images(store: Store, instances: int) -> tuple[str, ObjectId]:
    """Stores a patient with series of 25 instances, and a session of it; returns the ids of both."""
    database = store.database
    ids = [ObjectId() for _instance in range(instances)]
    database["dicomfiles.files"].insert_many([{"_id": one, "length": 10, "uploadDate": ARRIVED} for one in ids])
    database["dicomfiles.chunks"].insert_many([{"files_id": one, "n": 0, "data": bytes(10)} for one in ids])
    series = [
        {"_id": ObjectId(), "Instances": [str(one) for one in ids[start : start + 25]]}
        for start in range(0, instances, 25)
    ]
    database.series.insert_many(series)
    study = database.studies.insert_one({"Series": [str(one["_id"]) for one in series]}).inserted_id
    patient = database.patients.insert_one({"Studies": [str(study)]}).inserted_id
    return str(database.sessions.insert_one({"patient_id": patient}).inserted_id), patient


async def test_a_clean_up_with_images_grows_with_their_number(store: Store) -> None:
    backend, commands = await watched(store)
    sizes, asked, looked_at = (1250, 2500, 5000, 10_000), [], []
    for size in sizes:
        session_id, _patient = fill_with_images(store, size)
        commands.clear()
        await clean_up_session(backend.sessions, session_id, "all")
        updates = [command for command in commands.all if "update" in command]
        # the server looks for each id that goes in the list of each parent that it is told
        parents = [len(part["q"]["_id"]["$in"]) // 2 for command in updates for part in command["updates"]]
        asked.append(commands.sent_bytes)
        looked_at.append(sum(parents))
        assert store.database.series.count_documents({}) == store.database["dicomfiles.files"].count_documents({}) == 0
    assert exponent(sizes, asked) <= LINEAR
    assert exponent(sizes, looked_at) <= LINEAR
