"""The five worlds that every contract runs in: one body of a test, stepped or awaited."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from bson import ObjectId
from gridfs import GridFSBucket

from dcm_processor_service import AsyncContainer, Container, opened
from dcm_processor_service.models import Job, JobState, Patient, Peer, SeriesRecord, Study
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from pymongo.database import Database

    from dcm_processor_service.models import Instance
    from dcm_processor_service.ports import Backend
    from dcm_processor_service.session.session import AsyncSession

SESSION_ID = "5e55" + "0" * 20
JOB_ID = "a0b0" + "0" * 20


class Seeder(Protocol):
    """Fills a store as the platform does."""

    def job(self, job: Job) -> None: ...
    def peer(self, peer: Peer) -> None: ...
    def subject(self, subject: Patient | Study | SeriesRecord) -> None: ...
    def instance(self, series_id: str, instance: Instance, content: bytes) -> None: ...


class World:
    """One kind of store in one mode."""

    def __init__(self, name: str, *, mode: str, settings: dict[str, Any], seeder: Seeder | None = None) -> None:
        self.name = name
        self.mode = mode
        self._settings = settings
        self._seeder = seeder
        self._stack = ExitStack()
        self._backend: Backend | None = None

    @property
    def seed(self) -> Seeder:
        assert self._seeder is not None
        return self._seeder

    def run(self, body: Coroutine[Any, Any, None]) -> None:
        if self.mode == "async":
            asyncio.run(body)
        else:
            run_inline(body)

    def container(self, job_id: str = JOB_ID, **settings: Any) -> Container:
        made = AsyncContainer() if self.mode == "async" else Container()
        container: Container = self._stack.enter_context(opened(made))
        values = {"session_id": SESSION_ID, "job_id": job_id} | self._settings | settings
        container.settings.override(RuntimeSettings.without_environment(**values))
        if self._backend is not None:
            container.backend.override(self._backend)
        return container

    def share(self, backend: Backend) -> None:
        """Makes all sessions of this world see one backend, where a store does not outlive its container."""
        self._backend = backend

    def session(self, job_id: str = JOB_ID, **settings: Any) -> AsyncSession:
        session: AsyncSession = self.container(job_id, **settings).async_session()
        return session

    def close(self) -> None:
        self._stack.close()


class WorkspaceSeeder:
    """Fills a memory or SQLite store through its own workspace repository."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        assert backend.workspace is not None
        self._workspace = backend.workspace
        self._folder = folder

    def job(self, job: Job) -> None:
        run_inline(self._workspace.add_job(job))

    def peer(self, peer: Peer) -> None:
        run_inline(self._workspace.add_peer(peer))

    def subject(self, subject: Patient | Study | SeriesRecord) -> None:
        run_inline(self._workspace.add_subject(subject))

    def instance(self, series_id: str, instance: Instance, content: bytes) -> None:
        path = self._folder / f"{instance.id}.dcm"
        path.write_bytes(content)
        run_inline(self._workspace.add_instance(series_id, instance, path))


class PlatformSeeder:
    """Writes documents as the platform's own packages do."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.database = database

    def job(self, job: Job) -> None:
        failed = job.state is JobState.FAILED
        result: dict[str, Any] = {"error": {"message": job.error_message}} if failed else {"result": None}
        headers = _header_document(job.subject) if job.subject else {}
        self.database.jobs.insert_one(
            {
                "_id": ObjectId(job.id),
                "sessionId": job.session_id,
                "job_name": job.name,
                "job_event": job.event.value if job.event else None,
                "service_name": job.service_name,
                "depends_on": [ObjectId(other) for other in job.depends_on],
                "done": job.state in {JobState.DONE, JobState.FAILED},
                "error": False,
                "inProgress": job.state is JobState.RUNNING,
                "attempts": 0,
                "progress": job.progress_percent,
                "createdAt": job.created_at or datetime.now(timezone.utc),
                "data": {
                    "function_name": "dcm_processor_worker.controller",
                    "kwargs": {
                        "headers": headers,
                        "params": job.params,
                        "added_params": job.added_params,
                        "session_id": job.session_id,
                        "job_id": job.id,
                    },
                },
                **({"result": result} if job.state in {JobState.DONE, JobState.FAILED} else {}),
            }
        )

    def peer(self, peer: Peer) -> None:
        document = {
            "_id": ObjectId(peer.id),
            "name": peer.name,
            "host": peer.host,
            "aet": peer.ae_title,
            "port": peer.port,
            "tls": peer.tls,
        }
        self.database.peers.insert_one(document | {"whitelist_aet": [], "whitelist_ip": []})
        self.database.dicomnodes.insert_one(document | {"_id": ObjectId(), "device_id": "d"})

    def subject(self, subject: Patient | Study | SeriesRecord) -> None:
        collection = {"patient": "patients", "study": "studies", "series": "series"}[subject.level]
        self.database[collection].insert_one(_header_document(subject))

    def instance(self, series_id: str, instance: Instance, content: bytes) -> None:
        assert series_id
        GridFSBucket(self.database, "dicomfiles").upload_from_stream_with_id(
            ObjectId(instance.id),
            f"{uuid.uuid4().hex}.dcm",
            content,
            metadata={"SOPInstanceUID": instance.sop_instance_uid, "PeerUID": "p", "Slices": 1},
        )


def _header_document(subject: Patient | Study | SeriesRecord) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": ObjectId(subject.id),
        "PatientUID": subject.patient_uid,
        "PeerUID": "p",
        "Metadata": subject.metadata,
    }
    if isinstance(subject, Patient):
        return document | {"Studies": list(subject.study_ids)}
    document |= {"StudyInstanceUID": subject.study_instance_uid}
    if isinstance(subject, Study):
        return document | {"Series": list(subject.series_ids)}
    return document | {"SeriesInstanceUID": subject.series_instance_uid, "Instances": list(subject.instance_ids)}
