"""Calls a registry function as the scheduler does, for tests of services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.models import Patient, SeriesRecord, Study

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["fake_registry"]

SESSION_ID = "5" * 24


def fake_registry(
    registry: Callable[..., object],
    *,
    headers: Mapping[str, Any] | Patient | Study | SeriesRecord,
    params: Mapping[str, Any] | None = None,
    added_params: Mapping[str, Any] | None = None,
    job_name: str = "job",
    session_id: str = SESSION_ID,
) -> tuple[bool, dict[str, Any]]:
    """Calls a registry function as the scheduler does, and reads its answer as the scheduler does.

    If the function raises, this raises the same error; the scheduler would treat it as a refusal.

    Args:
        registry: A function that :func:`~dcm_processor_service.accepts` made, or any other.
        headers: The platform's document of the series, study or patient: ``_id``, ``Metadata`` by keyword, and
            ``Instances``, ``Series`` or ``Studies``; or a record, which is turned into such a document.
        params: The job's params, from the manifest.
        added_params: The parameters returned for the jobs that were accepted before, by job name.
        job_name: The job's name in the manifest.
        session_id: The platform's id of the session.

    Returns:
        Whether the job is made, and the parameters that the function returned for it.

    Example:
        >>> from dcm_processor_service import SeriesRules, accepts
        >>> series = SeriesRecord(id="2" * 24, metadata={"Modality": "MR"}, instance_ids=("3" * 24,))
        >>> fake_registry(accepts(SeriesRules(modality="MR")), headers=series)
        (True, {})
    """
    document = _document(headers) if isinstance(headers, (Patient, Study, SeriesRecord)) else dict(headers)
    returned = registry(
        session_id=session_id,
        job_name=job_name,
        headers=document,
        added_params=dict(added_params or {}),
        params=dict(params or {}),
    )
    if not isinstance(returned, (list, tuple)):
        return bool(returned), {}
    added = returned[1] if len(returned) > 1 else {}
    return bool(returned and returned[0]), dict(added) if isinstance(added, dict) else {}


def _document(subject: Patient | Study | SeriesRecord) -> dict[str, Any]:
    document: dict[str, Any] = {"_id": subject.id, "PatientUID": subject.patient_uid, "Metadata": subject.metadata}
    if isinstance(subject, Patient):
        return {**document, "Studies": list(subject.study_ids)}
    document["StudyInstanceUID"] = subject.study_instance_uid
    if isinstance(subject, Study):
        return {**document, "Series": list(subject.series_ids)}
    uid = subject.series_instance_uid
    return {**document, "SeriesInstanceUID": uid, "Instances": list(subject.instance_ids)}
