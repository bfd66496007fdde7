"""Writes the documents of the platform's own packages, for the contracts over MongoDB."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket

from dcm_processor_service.models import Job, JobState, Patient, Peer, SeriesRecord, Study
from dcm_processor_service.testing.contracts.store import SESSION_ID, StoreUnderTest

if TYPE_CHECKING:
    from pymongo.database import Database

    from dcm_processor_service.models import Instance

__all__ = ["SESSION_ID", "PlatformSeeder", "World"]

World = StoreUnderTest


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
