"""Sessions in a real database, filled as the platform fills it: indexes, and a clean-up that takes only its own."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from gridfs import GridFSBucket

from dcm_processor_service.backends.mongo.documents import data_query, files_query, uploads_pipeline
from dcm_processor_service.backends.mongo.job_documents import jobs_query
from dcm_processor_service.models import CleanupPolicy, CleanupReport, RemovedImages
from dcm_processor_service.ports import JobKey
from dcm_processor_service.runtime.session_lifecycle import clean_up_session, prepare_session

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.integration.mongo.conftest import Store

    Documents = Database[dict[str, Any]]

pytestmark = pytest.mark.mongodb

NOW = datetime.now(timezone.utc).replace(microsecond=0)
IMAGES = ("dicomfiles.files", "dicomfiles.chunks", "patients", "studies", "series")
ALL = ("sessiondata", "sessionfiles.files", "sessionfiles.chunks", "sessions", *IMAGES)


def session_id_of(moment: datetime) -> ObjectId:
    """An id that was made at that time."""
    return ObjectId(ObjectId.from_datetime(moment).binary[:4] + ObjectId().binary[4:])


class Platform:
    """What the platform's own packages write."""

    def __init__(self, database: Documents) -> None:
        self.database = database
        self.dicom = GridFSBucket(database, "dicomfiles")

    def instance(self, arrived_at: datetime) -> str:
        file_id = self.dicom.upload_from_stream(
            f"{uuid.uuid4().hex}.dcm", bytes(300_000), metadata={"SOPInstanceUID": "1.2", "PeerUID": "p", "Slices": 1}
        )
        self.database["dicomfiles.files"].update_one({"_id": file_id}, {"$set": {"uploadDate": arrived_at}})
        return str(file_id)

    def patient(self, series_count: int = 2, instance_count: int = 3) -> tuple[ObjectId, list[ObjectId], list[str]]:
        """One patient with one study; gives the ids of patient, series and instances."""
        arrived_at = NOW - timedelta(seconds=30)
        instances = [[self.instance(arrived_at) for _ in range(instance_count)] for _ in range(series_count)]
        series_ids = [ObjectId() for _ in instances]
        self.database.series.insert_many(
            [
                {"_id": series_id, "PatientUID": "h", "Instances": of_series}
                for series_id, of_series in zip(series_ids, instances, strict=True)
            ]
        )
        study = {"PatientUID": "h", "Series": [str(one) for one in series_ids]}
        study_id = self.database.studies.insert_one(study).inserted_id
        patient = {"PatientUID": "h", "Studies": [str(study_id)], "Scheduled": True}
        patient_id = self.database.patients.insert_one(patient).inserted_id
        return patient_id, series_ids, [one for of_series in instances for one in of_series]

    def session(self, patient_id: Any, moment: datetime = NOW) -> str:
        made = {"_id": session_id_of(moment), "patient_id": patient_id, "peer_id": "9e" * 12}
        return str(self.database.sessions.insert_one(made).inserted_id)

    def count(self, *collections: str) -> dict[str, int]:
        return {name: self.database[name].count_documents({}) for name in collections}


@pytest.fixture
def platform(database: Documents) -> Platform:
    return Platform(database)


async def fill(store: Store, session_id: str, jobs: int = 2) -> None:
    """Stores what jobs of a session leave, through the repositories."""
    import io

    from dcm_processor_service.ports import NewFile

    for _job in range(jobs):
        key = JobKey(session_id, str(ObjectId()))
        for name in ("a", "b"):
            await store.backend.data.put(key, name, 1)
            await store.backend.files.put(key, name, io.BytesIO(bytes(10)), NewFile("x/y", {}))


async def clean_up(store: Store, session_id: str, policy: CleanupPolicy = "all") -> CleanupReport:
    return await clean_up_session(store.backend.sessions, session_id, policy)


def stages(plan: Any) -> set[str]:
    """The names of all stages of a query plan."""
    if isinstance(plan, dict):
        below = set().union(*(stages(item) for item in plan.values()), set())
        return below | ({plan["stage"]} if isinstance(plan.get("stage"), str) else set())
    return set().union(*(stages(item) for item in plan), set()) if isinstance(plan, list) else set()


async def test_indexes_are_made_once_and_serve_every_query_of_a_session(store: Store, platform: Platform) -> None:
    session_id = platform.session(ObjectId())
    store.recorder.take()
    made = await prepare_session(store.backend.sessions, session_id)
    indexed = ["sessiondata", "sessionfiles.files", "jobs", "sessions", "patients", "studies", "series"]
    indexed += ["peers", "dicomnodes", "sessionfiles.chunks"]
    assert made == sorted(indexed)
    assert store.recorder.take() == ["find sessions", *(f"createIndexes {name}" for name in indexed)]
    assert await prepare_session(store.backend.sessions, session_id) == made
    keys = {
        name: sorted(list(index["key"]) for index in platform.database[name].list_indexes())
        for name in ("jobs", "sessiondata", "sessionfiles.files")
    }
    job_fields = ["job_name", "job_event", "data.kwargs.headers._id"]
    assert keys["jobs"] == [["_id"], ["sessionId", *job_fields], ["session_id", *job_fields]]
    assert keys["sessiondata"] == [["_id"], ["session_id", "job_id", "name"]]
    assert ["metadata.session_id", "metadata.job_id", "metadata.name"] in keys["sessionfiles.files"]
    assert not any(index.get("unique") for index in platform.database.jobs.list_indexes())
    for name, query in (
        ("sessiondata", data_query(store.key, "a")),
        ("sessiondata", data_query(store.key)),
        ("sessionfiles.files", files_query(store.key, "a")),
        ("jobs", jobs_query(store.key.session_id)),
        ("jobs", jobs_query(store.key.session_id, "a")),
        ("jobs", jobs_query(store.key.session_id, "a", ["1" * 24])),
    ):
        plan = platform.database[name].find(query).explain()["queryPlanner"]["winningPlan"]
        assert "COLLSCAN" not in stages(plan), name
        assert "IXSCAN" in stages(plan), name
    pipeline = uploads_pipeline(store.key.session_id, store.key.job_id)
    listing = {"aggregate": "sessionfiles.chunks", "pipeline": pipeline, "cursor": {}}
    plan = platform.database.command("explain", listing, verbosity="queryPlanner")
    assert "IXSCAN" in stages(plan)
    assert not stages(plan) & {"COLLSCAN", "FETCH"}  # a chunk has a mebibyte


async def test_indexes_that_an_operator_has_made_are_left_alone(store: Store, platform: Platform) -> None:
    fields = [("session_id", 1), ("job_id", 1), ("name", 1)]
    platform.database.sessiondata.create_index(fields, unique=True)
    platform.database.jobs.create_index([("sessionId", 1)], name="mine", sparse=True)
    await prepare_session(store.backend.sessions, platform.session(ObjectId()))
    assert len(list(platform.database.sessiondata.list_indexes())) == 2
    assert "mine" in platform.database.jobs.index_information()


async def test_nothing_of_the_session_and_its_patient_is_left(store: Store, platform: Platform) -> None:
    patient_id, _series, _instances = platform.patient()
    session_id = platform.session(patient_id)
    await fill(store, session_id)
    report = await clean_up(store, session_id)
    assert report.model_dump() == {
        "session_id": session_id,
        "policy": "all",
        "data": 4,
        "files": 4,
        "images": {"instances": 6, "series": 2, "studies": 1, "patients": 1, "kept_instances": 0},
        "sessions": 1,
    }
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)
    again = await clean_up(store, session_id)
    assert (again.data, again.files, again.images, again.sessions) == (0, 0, RemovedImages(), 0)


async def test_the_number_of_commands_does_not_grow_with_the_documents(store: Store, platform: Platform) -> None:
    database = platform.database
    ids = [ObjectId() for _ in range(2500)]
    rows = [{"_id": one, "length": 10, "uploadDate": NOW - timedelta(seconds=30)} for one in ids]
    database["dicomfiles.files"].insert_many(rows)
    database["dicomfiles.chunks"].insert_many([{"files_id": one, "n": 0, "data": bytes(10)} for one in ids])
    series = [
        {"_id": ObjectId(), "Instances": [str(one) for one in ids[start : start + 50]]} for start in range(0, 2500, 50)
    ]
    database.series.insert_many(series)
    study_id = database.studies.insert_one({"Series": [str(one["_id"]) for one in series]}).inserted_id
    session_id = platform.session(database.patients.insert_one({"Studies": [str(study_id)]}).inserted_id)
    database.sessiondata.insert_many(
        [{"session_id": ObjectId(session_id), "job_id": ObjectId(), "name": str(n)} for n in range(500)]
    )
    store.recorder.take()
    report = await clean_up(store, session_id)
    commands = [command for command in store.recorder.take() if not command.startswith("getMore")]
    assert (report.data, report.images.instances, report.images.series) == (500, 2500, 50)
    assert len(commands) <= 30, commands
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)


async def test_large_files_go_a_bounded_number_of_bytes_at_a_time(store: Store, platform: Platform) -> None:
    database = platform.database
    ids = [ObjectId() for _ in range(6)]
    database["dicomfiles.files"].insert_many(
        [{"_id": one, "length": 30 * 1024 * 1024, "uploadDate": NOW - timedelta(seconds=30)} for one in ids]
    )
    series_id = database.series.insert_one({"Instances": [str(one) for one in ids]}).inserted_id
    study_id = database.studies.insert_one({"Series": [str(series_id)]}).inserted_id
    session_id = platform.session(database.patients.insert_one({"Studies": [str(study_id)]}).inserted_id)
    store.recorder.take()
    assert (await clean_up(store, session_id)).images.instances == 6
    assert store.recorder.take().count("delete dicomfiles.chunks") == 3


async def test_what_arrived_since_stays_where_it_is(store: Store, platform: Platform) -> None:
    patient_id, series_ids, _instances = platform.patient()
    session_id = platform.session(patient_id)
    late = platform.instance(NOW + timedelta(seconds=1))
    platform.database.series.update_one({"_id": series_ids[0]}, {"$addToSet": {"Instances": late}})
    report = await clean_up(store, session_id)
    assert report.images == RemovedImages(instances=6, series=1, kept_instances=1)
    assert platform.count("sessions", "patients", "studies", "series", "dicomfiles.files") == {
        "sessions": 0,
        "patients": 1,
        "studies": 1,
        "series": 1,
        "dicomfiles.files": 1,
    }
    (series,), (study,) = platform.database.series.find(), platform.database.studies.find()
    assert (series["_id"], series["Instances"], study["Series"]) == (series_ids[0], [late], [str(series_ids[0])])
    assert len(platform.dicom.open_download_stream(ObjectId(late)).read()) == 300_000


async def test_an_instance_that_was_sent_again_meanwhile_stays(store: Store, platform: Platform) -> None:
    patient_id, _series, instances = platform.patient(1)
    session_id = platform.session(patient_id)
    again = {"_id": ObjectId(instances[1])}
    platform.database["dicomfiles.files"].update_one(again, {"$set": {"uploadDate": NOW + timedelta(seconds=2)}})
    report = await clean_up(store, session_id)
    assert report.images == RemovedImages(instances=2, kept_instances=1)
    (series,) = platform.database.series.find()
    assert series["Instances"] == [instances[1]]


async def test_an_instance_without_an_upload_date_counts_as_old(store: Store, platform: Platform) -> None:
    patient_id, _series, instances = platform.patient(1)
    session_id = platform.session(patient_id)
    undated = {"_id": ObjectId(instances[1])}
    platform.database["dicomfiles.files"].update_one(undated, {"$unset": {"uploadDate": ""}})
    assert (await clean_up(store, session_id)).images.instances == 3
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)


async def test_a_second_session_of_the_patient_finds_all_that_it_needs(store: Store, platform: Platform) -> None:
    patient_id, series_ids, _instances = platform.patient()
    first, second = platform.session(patient_id), platform.session(patient_id, NOW + timedelta(seconds=30))
    late = platform.instance(NOW + timedelta(seconds=5))
    platform.database.series.update_one({"_id": series_ids[0]}, {"$addToSet": {"Instances": late}})
    before = platform.count(*IMAGES)
    assert (await clean_up(store, first)).images == RemovedImages(kept_instances=7)
    assert platform.count(*IMAGES) == before
    assert (await clean_up(store, second)).images.instances == 7
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)


async def test_an_earlier_session_that_is_still_open_keeps_its_own(store: Store, platform: Platform) -> None:
    patient_id, series_ids, _instances = platform.patient()
    first, second = platform.session(patient_id), platform.session(patient_id, NOW + timedelta(seconds=30))
    late = platform.instance(NOW + timedelta(seconds=5))
    platform.database.series.update_one({"_id": series_ids[0]}, {"$addToSet": {"Instances": late}})
    assert (await clean_up(store, second)).images == RemovedImages(instances=1, kept_instances=6)
    assert (await clean_up(store, first)).images == RemovedImages(instances=6, series=2, studies=1, patients=1)


@pytest.mark.parametrize("order", list(permutations(("early", "middle", "late"))))
async def test_of_three_open_sessions_each_keeps_what_it_needs_whichever_is_closed_first(
    store: Store, platform: Platform, order: tuple[str, ...]
) -> None:
    made = {"early": NOW - timedelta(seconds=20), "middle": NOW, "late": NOW + timedelta(seconds=20)}
    patient_id, series_ids, (for_all,) = platform.patient(1, 1)
    arrived = {for_all: NOW - timedelta(seconds=30)}
    for seconds in (-10, 0, 10, 20):  # needed by two, by the last alone (twice), by none of these
        arrived[platform.instance(NOW + timedelta(seconds=seconds))] = NOW + timedelta(seconds=seconds)
    platform.database.series.update_one({"_id": series_ids[0]}, {"$set": {"Instances": list(arrived)}})
    sessions = {name: platform.session(patient_id, moment) for name, moment in made.items()}
    for number, closed in enumerate(order, 1):
        report = await clean_up(store, sessions[closed])
        needed_until = max((made[name] for name in order[number:]), default=None)
        kept = [one for one, at in arrived.items() if at == made["late"] or (needed_until and at < needed_until)]
        (series,) = platform.database.series.find()
        assert series["Instances"] == kept
        assert {str(row["_id"]) for row in platform.database["dicomfiles.files"].find()} == set(kept)
        assert report.images.kept_instances == len(kept)
    assert platform.count("sessions", "patients", "studies") == {"sessions": 0, "patients": 1, "studies": 1}


async def test_another_patient_and_another_session_are_untouched(store: Store, platform: Platform) -> None:
    patient_id, _series, _instances = platform.patient()
    other_id, _other_series, _other_instances = platform.patient(1, 1)
    session_id, other_session = platform.session(patient_id), platform.session(other_id)
    await fill(store, session_id)
    await fill(store, other_session, jobs=1)
    await clean_up(store, session_id)
    assert platform.count(*ALL) == {
        "sessiondata": 2,
        "sessionfiles.files": 2,
        "sessionfiles.chunks": 2,
        "sessions": 1,
        "dicomfiles.files": 1,
        "dicomfiles.chunks": 2,
        "patients": 1,
        "studies": 1,
        "series": 1,
    }


@pytest.mark.parametrize("missing", ["patients", "studies", "series", "dicomfiles.files", "Instances", "Series"])
async def test_what_is_missing_is_passed_over(store: Store, platform: Platform, missing: str) -> None:
    patient_id, series_ids, instances = platform.patient()
    session_id = platform.session(patient_id)
    database = platform.database
    if missing == "Instances":
        database.series.update_one({"_id": series_ids[0]}, {"$set": {"Instances": None}})
    elif missing == "Series":
        database.studies.update_one({}, {"$unset": {"Series": 1}})
    elif missing == "series":
        database.series.delete_one({"_id": series_ids[0]})
    elif missing == "dicomfiles.files":
        platform.dicom.delete(ObjectId(instances[0]))
    else:
        database[missing].delete_one({})
    await fill(store, session_id)
    report = await clean_up(store, session_id)
    assert (report.data, report.files, report.sessions) == (4, 4, 1)
    session = ("sessiondata", "sessionfiles.files", "sessionfiles.chunks", "sessions")
    assert platform.count(*session) == dict.fromkeys(session, 0)
    if missing not in {"patients", "studies", "Series"}:
        assert platform.count("patients", "studies", "series") == {"patients": 0, "studies": 0, "series": 0}
    if missing == "dicomfiles.files":
        assert report.images.instances == 5


async def test_a_clean_up_that_was_killed_is_finished_by_the_next(store: Store, platform: Platform) -> None:
    patient_id, _series, instances = platform.patient()
    session_id = platform.session(patient_id)
    database = platform.database
    half = [ObjectId(one) for one in instances[:3]]
    database["dicomfiles.chunks"].delete_many({"files_id": {"$in": half}})  # where the first was killed
    database["dicomfiles.files"].delete_many({"_id": {"$in": half[:2]}})
    await clean_up(store, session_id)
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)


@pytest.mark.parametrize("spell", [str, ObjectId])
async def test_ids_are_found_in_either_spelling(store: Store, platform: Platform, spell: Any) -> None:
    patient_id, _series, _instances = platform.patient(1, 1)
    session_id = platform.session(spell(str(patient_id)))
    row = {"session_id": spell(session_id), "job_id": spell("1b" * 12), "name": "a", "value": 1}
    platform.database.sessiondata.insert_one(row)
    metadata = {name: value for name, value in row.items() if name != "_id"}
    GridFSBucket(platform.database, "sessionfiles").upload_from_stream("f", b"x", metadata=metadata)
    report = await clean_up(store, session_id)
    assert (report.data, report.files, report.images.instances) == (1, 1, 1)
    assert platform.count(*ALL) == dict.fromkeys(ALL, 0)


async def test_progress_is_one_command_and_stands_where_the_queue_writes_it(store: Store, platform: Platform) -> None:
    job_id = platform.database.jobs.insert_one({"progress": 0, "sessionId": "5e" * 12}).inserted_id
    store.recorder.take()
    await store.backend.jobs.set_progress(str(job_id), 40, "segmenting")
    assert store.recorder.take() == ["update jobs"]
    (row,) = platform.database.jobs.find()
    assert (row["progress"], row["progressMessage"]) == (40, "segmenting")
    assert isinstance(row["lastProgressAt"], datetime)
    found = await store.backend.jobs.find(str(job_id))
    assert found is not None
    assert (found.progress_percent, found.progress_message) == (40, "segmenting")
