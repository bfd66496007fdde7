"""Job documents as the scheduler and the queue write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64, ObjectId, Regex

from dcm_processor_service.backends.mongo import job_documents
from dcm_processor_service.errors import StoredValueError
from dcm_processor_service.models import JobEvent, JobState, Patient, SeriesRecord, Study

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store

CREATED = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
SERIES_HEADERS = {
    "_id": ObjectId("5e" * 12),
    "PatientUID": "hash",
    "StudyInstanceUID": "1.2",
    "SeriesInstanceUID": "1.2.3",
    "PeerUID": "9" * 24,
    "Instances": ["1" * 24, "2" * 24],
    "Metadata": {"Modality": "CT", "SeriesNumber": Int64(4), "ReferringPhysicianName": [{"Alphabetic": "X^Y"}]},
    "CreatedAt": CREATED,
}
STUDY_HEADERS = {"_id": ObjectId("57" * 12), "PatientUID": "hash", "StudyInstanceUID": "1.2", "Series": ["5e" * 12]}
PATIENT_HEADERS = {"_id": ObjectId("9a" * 12), "PatientUID": "hash", "Studies": ["57" * 12], "Scheduled": True}


def add_job(store: Store, headers: dict[str, Any] | None = None, /, **fields: Any) -> str:
    """Adds a document as the scheduler does; returns the job's id."""
    job_id = ObjectId()
    document = {
        "_id": job_id,
        "data": {
            "function_name": "dcm_processor_worker.worker_executor",
            "job_timeout": None,
            "description": "",
            "args": [],
            "kwargs": {
                "session_id": store.key.session_id,
                "job_id": str(job_id),
                "headers": SERIES_HEADERS if headers is None else headers,
                "params": {"threshold": 0.5, "n": Int64(7)},
                "added_params": {"segment": {"organ": "liver"}},
                "service_id": ObjectId(),
                "worker_id": None,
            },
        },
        "item_type": "queue",
        "depends_on": [ObjectId("de" * 12)],
        "sessionId": store.key.session_id,
        "inProgress": False,
        "done": False,
        "error": False,
        "attempts": 0,
        "max_attempts": 1,
        "progress": 0,
        "priority": 0,
        "createdAt": CREATED,
        "updatedAt": CREATED,
        "lang": "python",
        "job_name": "segment",
        "job_event": "stable-series",
        "service_name": "liver",
        "job_timeout": "10m",
    }
    store.database.jobs.insert_one({key: value for key, value in (document | fields).items() if value is not ...})
    return str(job_id)


async def test_all_that_a_document_says_is_read_in_one_command(store: Store) -> None:
    job_id = add_job(store, progress=40, progressMessage="segmenting", inProgress=True)
    job = await store.backend.jobs.find(job_id)
    assert store.recorder.take() == ["find jobs"]
    assert job is not None
    assert job.model_dump(exclude={"subject"}) == {
        "id": job_id,
        "session_id": store.key.session_id,
        "name": "segment",
        "event": JobEvent.STABLE_SERIES,
        "service_name": "liver",
        "state": JobState.RUNNING,
        "error_message": "",
        "progress_percent": 40,
        "progress_message": "segmenting",
        "depends_on": ("de" * 12,),
        "params": {"threshold": 0.5, "n": 7},
        "added_params": {"segment": {"organ": "liver"}},
        "created_at": CREATED,
        "timeout_s": 600.0,
    }
    assert type(job.params["n"]) is int
    assert job.subject == SeriesRecord(
        id="5e" * 12,
        patient_uid="hash",
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        instance_ids=("1" * 24, "2" * 24),
        metadata={"Modality": "CT", "SeriesNumber": 4, "ReferringPhysicianName": [{"Alphabetic": "X^Y"}]},
    )


OUTCOMES: list[tuple[dict[str, Any], JobState, str]] = [
    ({}, JobState.WAITING, ""),
    ({"inProgress": True}, JobState.RUNNING, ""),
    ({"done": True, "result": {"result": 3}}, JobState.DONE, ""),
    ({"done": True, "result": {"result": {"error": "a value of the callback's"}}}, JobState.DONE, ""),
    ({"done": True, "result": None}, JobState.DONE, ""),
    ({"done": True, "result": {"error": {"message": "no GPU", "traceback": "…"}}}, JobState.FAILED, "no GPU"),
    ({"done": True, "result": {"error": "no GPU"}}, JobState.FAILED, "no GPU"),
    ({"done": True, "result": {"error": None}}, JobState.FAILED, ""),
    ({"error": True, "errorMessage": {"trace": "…", "message": "died"}}, JobState.FAILED, "died"),
    ({"error": True, "errorMessage": "died"}, JobState.FAILED, "died"),
    ({"error": True, "inProgress": True}, JobState.FAILED, ""),
]


@pytest.mark.parametrize(("fields", "state", "message"), OUTCOMES)
async def test_the_state_is_what_the_queue_means(
    store: Store, fields: dict[str, Any], state: JobState, message: str
) -> None:
    add_job(store, **fields)
    (job,) = await store.backend.jobs.list(store.key.session_id)
    assert (job.state, job.error_message) == (state, message)
    (output,) = await store.backend.jobs.collect(store.key.session_id, "segment", "any")
    assert (output.job.state, output.job.error_message) == (state, message)


SUBJECTS: list[tuple[dict[str, Any], str | None, type | None]] = [
    (SERIES_HEADERS, "stable-series", SeriesRecord),
    (STUDY_HEADERS, "stable-study", Study),
    (PATIENT_HEADERS, "stable-patient", Patient),
    (PATIENT_HEADERS, None, Patient),  # pre- and post-services have no event
    ({"_id": ObjectId(), "StudyInstanceUID": "1.2"}, "stable-study", Study),
    ({"_id": ObjectId(), "StudyInstanceUID": "1.2"}, None, None),
    ({"_id": {"$oid": "5e" * 12}, "Instances": [{"$oid": "1" * 24}]}, "stable-series", SeriesRecord),
    ({"_id": "5e" * 12, "Instances": []}, "stable-series", SeriesRecord),
    ({}, "stable-series", None),
]


@pytest.mark.parametrize(("headers", "event", "kind"), SUBJECTS)
async def test_the_subject_is_reported_by_what_its_document_lists(
    store: Store, headers: dict[str, Any], event: str | None, kind: type | None
) -> None:
    job = await store.backend.jobs.find(add_job(store, headers, job_event=event))
    assert job is not None
    if kind is None:
        assert job.subject is None
    else:
        assert type(job.subject) is kind
        if "$oid" in str(headers):
            assert job.subject == SeriesRecord(id="5e" * 12, instance_ids=("1" * 24,))


async def test_a_pre_service_has_neither_name_nor_event(store: Store) -> None:
    absent = dict.fromkeys(("job_name", "job_event", "service_name", "job_timeout"), ...)
    job = await store.backend.jobs.find(add_job(store, PATIENT_HEADERS, **absent, depends_on=None))
    assert job is not None
    assert (job.name, job.event, job.service_name, job.depends_on) == ("", None, "", ())


async def test_an_unknown_event_is_none(store: Store) -> None:
    job = await store.backend.jobs.find(add_job(store, job_event="stable-moon"))
    assert job is not None
    assert job.event is None


@pytest.mark.parametrize("field", ["sessionId", "session_id"])
@pytest.mark.parametrize("as_text", [False, True], ids=["ObjectId", "text"])
async def test_both_spellings_and_types_of_the_session_are_found(store: Store, field: str, *, as_text: bool) -> None:
    session_id = store.key.session_id if as_text else ObjectId(store.key.session_id)
    job_id = add_job(store, **({"sessionId": ...} | {field: session_id}))
    (job,) = await store.backend.jobs.list(store.key.session_id)
    assert (job.id, job.session_id) == (job_id, store.key.session_id)
    assert len(await store.backend.jobs.collect(store.key.session_id, "segment", "any")) == 1


async def test_jobs_come_oldest_first_and_heartbeats_never(store: Store) -> None:
    ages = {seconds: add_job(store, createdAt=CREATED + timedelta(seconds=seconds)) for seconds in (3, 1, 2)}
    heartbeat = ObjectId()
    store.database.jobs.insert_one({"_id": heartbeat, "is_worker": True, "sessionId": store.key.session_id})
    other = add_job(store, sessionId=str(ObjectId()))
    store.recorder.take()
    assert [job.id for job in await store.backend.jobs.list(store.key.session_id)] == [ages[1], ages[2], ages[3]]
    assert store.recorder.take() == ["find jobs"]
    assert await store.backend.jobs.find(str(heartbeat)) is None
    assert await store.backend.jobs.find(other) is not None
    assert await store.backend.jobs.find("no id") is None


async def test_jobs_of_a_name_are_found_without_a_look_at_others(store: Store) -> None:
    session_id = store.key.session_id
    owner = {"sessionId": session_id, "depends_on": []}
    store.database.jobs.insert_many({**owner, "job_name": "other"} for _job in range(1000))
    wanted = [add_job(store, createdAt=CREATED + timedelta(seconds=second)) for second in range(3)]
    await store.backend.sessions.ensure_indexes()
    for ids, found in ((None, wanted), (wanted[1:2], wanted[1:2])):
        assert [job.id for job in await store.backend.jobs.list(session_id, "segment", ids)] == found
        query = job_documents.jobs_query(session_id, "segment", ids)
        statistics = store.database.jobs.find(query).explain()["executionStats"]
        assert statistics["totalDocsExamined"] <= len(wanted)


async def test_all_values_are_collected_in_two_commands(store: Store) -> None:
    session_id = store.key.session_id
    first, second, third = (add_job(store, createdAt=CREATED + timedelta(seconds=n)) for n in range(3))
    other = add_job(store, job_name="other")
    for job_id, value in ((first, {"a.b": Int64(1)}), (third, None), (other, "other's")):
        owner = {"session_id": ObjectId(session_id), "job_id": ObjectId(job_id)}
        store.database.sessiondata.insert_one({**owner, "name": "volume", "value": value})
        store.database.sessiondata.insert_one({**owner, "name": "unasked", "value": 0})
    outputs = await store.backend.jobs.collect(session_id, "segment", "volume")
    assert store.recorder.take() == ["find jobs", "find sessiondata"]
    assert [(output.job.id, output.found, output.value) for output in outputs] == [
        (first, True, {"a.b": 1}),
        (second, False, None),
        (third, True, None),
    ]


async def test_jobs_come_oldest_first_whatever_the_order_of_their_documents(store: Store) -> None:
    ids = [
        add_job(store, job_name="segment", createdAt=CREATED + timedelta(seconds=seconds)) for seconds in (30, 0, 20, 0)
    ]
    wanted = [ids[1], ids[3], ids[2], ids[0]]  # of one second: by id, which counts up
    session_id = store.key.session_id
    assert [job.id for job in await store.backend.jobs.list(session_id)] == wanted
    assert [one.job.id for one in await store.backend.jobs.collect(session_id, "segment", "any")] == wanted


@pytest.mark.parametrize("job_id_as_text", [False, True])
@pytest.mark.parametrize("data_as_text", [False, True])
async def test_values_are_collected_whatever_the_types_of_ids(
    store: Store, *, job_id_as_text: bool, data_as_text: bool
) -> None:
    job_id = str(ObjectId())
    add_job(store, _id=job_id if job_id_as_text else ObjectId(job_id))
    kind = str if data_as_text else ObjectId
    owner = {"session_id": kind(store.key.session_id), "job_id": kind(job_id)}
    store.database.sessiondata.insert_many([{**owner, "name": "volume", "value": value} for value in (1, 2)])
    (output,) = await store.backend.jobs.collect(store.key.session_id, "segment", "volume")
    assert (output.job.id, output.value) == (job_id, 1)


async def test_values_as_large_as_a_document_are_collected(store: Store) -> None:
    headers = SERIES_HEADERS | {"Instances": [str(ObjectId()) for _instance in range(4000)]}
    jobs = [add_job(store, headers, createdAt=CREATED + timedelta(seconds=n)) for n in range(2)]
    value = bytes(16 * 2**20 - 64 * 1024)
    for job_id in jobs:
        owner = {"session_id": ObjectId(store.key.session_id), "job_id": ObjectId(job_id)}
        store.database.sessiondata.insert_one({**owner, "name": "volume", "value": value})
    outputs = await store.backend.jobs.collect(store.key.session_id, "segment", "volume")
    assert [output.value == value for output in outputs] == [True, True]


async def test_progress_is_written_where_the_queue_writes_it_in_one_command(store: Store) -> None:
    job_id = add_job(store)
    await store.backend.jobs.set_progress(job_id, 40, "segmenting")
    assert store.recorder.take() == ["update jobs"]
    (document,) = store.database.jobs.find()
    assert (document["progress"], document["progressMessage"]) == (40, "segmenting")
    assert isinstance(document["lastProgressAt"], datetime)
    job = await store.backend.jobs.find(job_id)
    assert job is not None
    assert (job.progress_percent, job.progress_message) == (40, "segmenting")


async def test_a_malformed_job_is_reported_by_id_and_field_and_shows_no_value(store: Store) -> None:
    job_id = add_job(store, job_name={"SECRET": 1})
    with pytest.raises(StoredValueError, match=f"job {job_id} is malformed in the database: job_name: ") as caught:
        await store.backend.jobs.find(job_id)
    assert "SECRET" not in str(caught.value)


async def test_a_malformed_job_does_not_blind_the_list_and_is_named_in_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = add_job(store), add_job(store, depends_on="SECRET")
    assert [job.id for job in await store.backend.jobs.list(store.key.session_id)] == [good]
    (record,) = caplog.records
    assert bad in record.getMessage()
    assert "SECRET" not in record.getMessage()
    with pytest.raises(StoredValueError):
        await store.backend.jobs.find(bad)


async def test_collect_gives_what_is_good_and_names_what_is_not(store: Store) -> None:
    good, bad_value, bad_job = (
        add_job(store, job_name="segment"),
        add_job(store, job_name="segment"),
        add_job(store, job_name="segment", depends_on="SECRET"),
    )
    for job_id, value in ((good, 1), (bad_value, Regex("SECRET")), (bad_job, 3)):
        owner = {"session_id": ObjectId(store.key.session_id), "job_id": ObjectId(job_id)}
        store.database.sessiondata.insert_one({**owner, "name": "n", "value": value})
    outputs = await store.backend.jobs.collect(store.key.session_id, "segment", "n")
    found = {output.job.id: output for output in outputs}
    assert (found[good].found, found[good].value, found[good].problem) == (True, 1, "")
    assert not found[bad_value].found
    assert "Regex" in found[bad_value].problem
    assert (found[bad_job].found, found[bad_job].value) == (True, 3)
    assert bad_job in found[bad_job].problem
    assert "SECRET" not in repr(outputs)
