"""The platform's documents, written as its packages write them, in every state that a session can be in."""

from __future__ import annotations

import io
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from dcm_processor_service import RuntimeSettings
from dcm_processor_service.models.platform_ids import NO_ID
from tests.faults.mongo.servers import running_standalone
from tests.mongod import remove_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

NOW = datetime.now(timezone.utc) + timedelta(hours=1)
"""Of a sign that is fresh, however long the tests before it take."""
LONG_AGO = NOW - timedelta(days=30)
NO_RESULT = {
    "message": "Error [Errno 2] No such file or directory: '/tmp/tmpx/result.json'",
    "trace": "Traceback ...\nFileNotFoundError: [Errno 2] No such file or directory",
}
DIED: dict[str, Any] = {"error": True, "attempts": 1, "lastErrorAt": LONG_AGO, "errorMessage": NO_RESULT}
LOST: dict[str, Any] = {"inProgress": True, "startedAt": LONG_AGO}
DONE: dict[str, Any] = {"done": True, "completedAt": LONG_AGO, "result": {"result": "Doe^Jane"}}
CHANNEL = "device-1"
ADMIN = "admin:secret"

Rights = dict[str, set[str]]
"""Actions by collection."""


def made_at(date: datetime) -> ObjectId:
    """An id that was made on that date."""
    return ObjectId(ObjectId.from_datetime(date).binary[:4] + ObjectId().binary[4:])


@dataclass
class Made:
    """One session: its id, and those of its jobs by name."""

    id: str
    jobs: dict[str, ObjectId] = field(default_factory=dict)


class Platform:
    """What the scheduler, the queue and its workers write."""

    def __init__(self, database: Database[dict[str, Any]], url: str) -> None:
        self.database = database
        self.settings = RuntimeSettings.without_environment(
            db_provider="mongodb",
            db_url=url,
            db_name=database.name,
            session_id=NO_ID,
            job_id=NO_ID,
            durability="fast",
        )
        self.service_id: ObjectId | None = None
        self.worker_id: ObjectId | None = None

    def patient(self) -> ObjectId:
        """A patient with one series of two instances, which arrived long ago."""
        arrived = LONG_AGO - timedelta(minutes=1)
        instances = [str(self._file("dicomfiles", bytes(1000), arrived, {"PatientName": "Doe^Jane"})) for _ in range(2)]
        headers = {"PatientUID": uuid.uuid4().hex, "Metadata": {"PatientName": "Doe^Jane"}}
        series = {**headers, "SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", "Instances": instances}
        series_id = self.database.series.insert_one(series).inserted_id
        study_id = self.database.studies.insert_one({**headers, "Series": [str(series_id)]}).inserted_id
        patient = {**headers, "Studies": [str(study_id)], "Scheduled": True}
        patient_id: ObjectId = self.database.patients.insert_one(patient).inserted_id
        return patient_id

    def session(self, *, at: datetime = LONG_AGO, pre: bool = True, post: bool = True, **jobs: Any) -> Made:
        """A session whose jobs depend each on the one before: pre, those that are given, post."""
        session = {"_id": made_at(at), "patient_id": self.patient(), "peer_id": str(ObjectId())}
        made = Made(str(self.database.sessions.insert_one(session).inserted_id))
        if pre:
            self._job(made, "pre_services", at, DONE)
        for name, state in jobs.items():
            self._job(made, name, at, state)
        if post:
            self._job(made, "post_services", at, {})
        data = {"session_id": ObjectId(made.id), "job_id": next(iter(made.jobs.values()), ObjectId()), "name": "a"}
        self.database.sessiondata.insert_one({**data, "value": "Doe^Jane"})
        metadata = {"session_id": ObjectId(made.id), "job_id": data["job_id"], "name": "f"}
        self._file("sessionfiles", bytes(500), NOW, metadata)
        return made

    def _file(self, bucket: str, content: bytes, at: datetime, metadata: dict[str, Any]) -> ObjectId:
        """What GridFS writes for a file of one chunk."""
        file = {"length": len(content), "chunkSize": 261_120, "uploadDate": at, "filename": "f", "metadata": metadata}
        file_id: ObjectId = self.database[f"{bucket}.files"].insert_one(file).inserted_id
        self.database[f"{bucket}.chunks"].insert_one({"files_id": file_id, "n": 0, "data": content})
        return file_id

    def _job(self, made: Made, name: str, at: datetime, state: dict[str, Any]) -> None:
        is_service = name.endswith("_services")
        headers = {"_id": ObjectId(), "SeriesInstanceUID": "1.2.3", "Metadata": {"PatientName": "Doe^Jane"}}
        kwargs = {"headers": headers, "params": {"a": 1}, "added_params": {}}
        kwargs |= {"service_id": self.service_id, "worker_id": self.worker_id}
        document = {
            "_id": made_at(at),
            "sessionId": made.id,
            "item_type": "queue",
            "data": {"function_name": f"dcm_processor_worker.{name if is_service else 'controller'}", "kwargs": kwargs},
            "depends_on": list(made.jobs.values())[-1:],
            "channel": CHANNEL,
            **dict.fromkeys(("inProgress", "done", "error"), False),
            "attempts": 0,
            "max_attempts": 1,
            "createdAt": at,
        }
        if not is_service:
            document |= {"job_name": name, "job_event": "stable-series", "job_worker_entry": "worker"}
            document |= {"service_name": "liver"}
        made.jobs[name] = self.database.jobs.insert_one({**document, **state}).inserted_id

    def heartbeat(self, job_id: ObjectId | None = None, at: datetime = NOW) -> None:
        """A worker's sign of life."""
        beat: dict[str, Any] = {"is_worker": True, "queues": [CHANNEL], "status": "working", "updatedAt": at}
        self.database.jobs.insert_one({**beat, **({"current_job_id": job_id} if job_id else {})})

    def install(self, source: str) -> None:
        """Installs a service of this code and its worker, for the sessions that are made afterwards."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("__init__.py", source)
        module = self._file("componentfiles", packed.getvalue(), LONG_AGO - timedelta(days=1), {"name": "liver"})
        self.service_id = self.database.services.insert_one({"name": "liver", "module": module}).inserted_id
        self.worker_id = self.database.workers.insert_one({"name": "gpu", "python_version": "3.10.4"}).inserted_id

    def job(self, job_id: ObjectId) -> dict[str, Any]:
        found = self.database.jobs.find_one({"_id": job_id})
        assert found is not None
        return found

    def count(self, *collections: str) -> dict[str, int]:
        return {name: self.database[name].count_documents({}) for name in collections}


@pytest.fixture(scope="session")
def client(mongo_url: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        yield client


@pytest.fixture
def platform(client: MongoClient[dict[str, Any]], mongo_url: str) -> Iterator[Platform]:
    database = client[f"operations_{uuid.uuid4().hex[:12]}"]
    yield Platform(database, mongo_url)
    remove_database(database)


@dataclass
class Guarded:
    """A server that asks for a login."""

    url: str
    client: MongoClient[dict[str, Any]]

    def settings(self, database: str, rights: Rights) -> RuntimeSettings:
        """Settings with a user of a new role, which has these rights on the database."""
        name = uuid.uuid4().hex
        privileges = [
            {"resource": {"db": database, "collection": collection}, "actions": sorted(actions)}
            for collection, actions in rights.items()
            if actions
        ]
        self.client.admin.command("createRole", name, privileges=privileges, roles=[])
        self.client.admin.command("createUser", name, pwd="secret", roles=[name])
        return self.settings_of(f"{name}:secret", database)

    def settings_of(self, login: str, database: str) -> RuntimeSettings:
        url = self.url.replace("//", f"//{login}@") + "&authSource=admin"
        return RuntimeSettings.without_environment(
            db_provider="mongodb",
            db_url=url,
            db_name=database,
            session_id=NO_ID,
            job_id=NO_ID,
            durability="fast",
        )


@pytest.fixture(scope="session")
def guarded() -> Iterator[Guarded]:
    with running_standalone("--auth") as server:
        name, password = ADMIN.split(":")
        with MongoClient[dict[str, Any]](server.url) as first:
            first.admin.command("createUser", name, pwd=password, roles=["root"])
        url = server.url.replace("//", f"//{ADMIN}@")
        with MongoClient[dict[str, Any]](url, tz_aware=True) as client:
            yield Guarded(server.url, client)
