"""Finds, before a session's first job, the headers that would end the script that the worker generates.

If a header holds a quotation mark, a backslash or a line break, the job ends before its callback starts, nothing
retries it, and nothing cleans its session up. Messages name only the attribute, never its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.models import Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.generated_script import fault_sentence, faults_below

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dcm_processor_service.ports import DicomRepository, JobRepository, SessionRepository

__all__ = ["RiskyArguments", "risky_arguments"]


class RiskyArguments(NamedTuple):
    """The parts of a job's arguments that would break its script."""

    about: str
    """The series, study or patient that the header belongs to, or the job that the params belong to."""
    sentence: str


async def risky_arguments(
    session_id: str, sessions: SessionRepository, dicom: DicomRepository, jobs: JobRepository
) -> list[RiskyArguments]:
    """Returns every series, study, patient and job of a session whose headers or params would end a job's script.

    Headers are read from the documents of patient, studies and series, not from the jobs: when the first job runs, the
    scheduler is still making the other jobs.
    """
    found = []
    async for subject in _subjects(session_id, sessions, dicom):
        if faults := list(faults_below(subject.metadata)):
            about = "the patient" if isinstance(subject, Patient) else f"the {subject.level} {subject.uid}"
            found.append(RiskyArguments(about, fault_sentence(faults)))
    for job in await jobs.list(session_id):
        given = {"params": job.params, "added_params": job.added_params}
        if faults := list(faults_below(given)):
            found.append(RiskyArguments(f"the job {job.name}", fault_sentence(faults)))
    return found


async def _subjects(
    session_id: str, sessions: SessionRepository, dicom: DicomRepository
) -> AsyncIterator[Patient | Study | SeriesRecord]:
    session = await sessions.find(session_id)
    patient = await dicom.find(SubjectLevel.PATIENT, session.patient_id) if session and session.patient_id else None
    if not isinstance(patient, Patient):
        return
    yield patient
    for study in await dicom.children(patient):
        yield study
        if isinstance(study, Study):
            for series in await dicom.children(study):
                yield series
