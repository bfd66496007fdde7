"""Sessions of a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.models import Patient, RemovedImages, Study

if TYPE_CHECKING:
    from datetime import datetime

    from dcm_processor_service.backends.memory import MemoryStore
    from dcm_processor_service.models import SessionPart, SessionRecord
    from dcm_processor_service.ports import JobKey

__all__ = ["MemorySessionRepository"]


class MemorySessionRepository:
    """Sessions in a dictionary."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def find(self, session_id: str) -> SessionRecord | None:
        """Gives one session."""
        return self._store.sessions.get(session_id)

    async def of_patient(self, patient_id: str) -> list[SessionRecord]:
        """Lists the sessions of a patient."""
        rows = [session for session in self._store.sessions.values() if session.patient_id == patient_id]
        return sorted(rows, key=lambda session: session.created_at)

    async def ensure_indexes(self) -> list[str]:
        """Makes nothing: a dictionary needs no index."""
        return []

    async def remove(self, session_id: str, part: SessionPart) -> int:
        """Removes data, files or the session."""
        if part == "session":
            return int(self._store.sessions.pop(session_id, None) is not None)
        rows: dict[tuple[JobKey, str], Any] = self._store.values if part == "data" else self._store.files
        keys = [key for key in rows if key[0].session_id == session_id]
        for key in keys:
            del rows[key]
        return len(keys)

    async def remove_images(self, patient_id: str, since: datetime | None, until: datetime) -> RemovedImages:
        """Removes images by the moment of their arrival, and what they leave empty."""
        subjects = self._store.subjects
        patient = subjects.get(patient_id)
        if not isinstance(patient, Patient):
            return RemovedImages()
        gone = dict.fromkeys(("instances", "series", "studies", "kept_instances"), 0)
        for study_id in patient.study_ids:
            study = subjects.get(study_id)
            series_ids = study.series_ids if isinstance(study, Study) else ()
            for series_id in series_ids:
                kept = self._remove_instances(series_id, since, until, gone)
                if not kept and subjects.pop(series_id, None) is not None:
                    gone["series"] += 1
            if not any(series_id in subjects for series_id in series_ids):
                gone["studies"] += subjects.pop(study_id, None) is not None
        patients = 0
        if not any(study_id in subjects for study_id in patient.study_ids):
            patients = int(subjects.pop(patient_id, None) is not None)
        return RemovedImages(**gone, patients=patients)

    def _remove_instances(
        self, series_id: str, since: datetime | None, until: datetime, gone: dict[str, int]
    ) -> list[str]:
        members = self._store.series_instances.get(series_id, [])
        arrived_at = self._store.arrived_at
        kept = [one for one in members if not (since is None or since <= arrived_at[one]) or arrived_at[one] >= until]
        for instance_id in set(members) - set(kept):
            del self._store.instances[instance_id], arrived_at[instance_id]
            gone["instances"] += 1
        self._store.series_instances[series_id] = kept
        gone["kept_instances"] += len(kept)
        return kept
