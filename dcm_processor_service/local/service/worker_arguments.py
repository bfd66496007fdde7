"""Makes the arguments that the platform passes to a service's functions: documents of patient, study and series.

Entries in the style of 0.0.1 and registry functions get these arguments. They are like the platform's: they have the
same keys, header values in the same simplified form, and ids and dates of the same types.
"""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import CallbackFailedError, UnsupportedValueError
from dcm_processor_service.models import Patient, SeriesRecord, Study
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.runtime.context import RuntimeContext  # noqa: TC001  read from an annotation when it runs
from dcm_processor_service.runtime.execution.results import json_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.session.session import Session

__all__ = ["ARGUMENT_NAMES", "REGISTRY_ARGUMENTS", "platform_document", "worker_callback"]

ARGUMENT_NAMES = (
    *("session_id", "job_id", "job_name", "event", "headers", "params", "added_params", "service_id", "worker_id"),
    *("worker_type", "db_provider", "db_name", "db_url"),
)
"""The keyword arguments of an entry in the style of 0.0.1."""

REGISTRY_ARGUMENTS = ("session_id", "job_name", "headers", "added_params", "params")
"""The keyword arguments of a registry function."""

# the keywords of a header that the platform's database keeps, by level
_OF_PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize"),
    *("PatientWeight", "PatientAddress", "EthnicGroup", "PatientComments"),
)
_OF_STUDY = (
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription"),
    *("ReferringPhysicianName", "StudyStatusID", "StudyPriorityID", "AdmittingDiagnosesDescription"),
    "PatientStudyComments",
)
_OF_SERIES = (
    *("SeriesInstanceUID", "SeriesNumber", "Modality", "SeriesDescription", "BodyPartExamined", "Laterality"),
    *("ProtocolName", "OperatorsName", "SeriesDate", "SeriesTime", "PatientPosition", "PerformedProcedureStepID"),
)


def worker_callback(entry: Callable[..., Any]) -> CallbackFunction:
    """Makes a callback of an entry that takes keyword arguments, in the style of 0.0.1."""

    def run(ctx: RuntimeContext) -> Any:
        arguments = _arguments(ctx)
        try:
            return _checked_for_worker(entry(**arguments))
        except SystemExit as leaving:
            raise CallbackFailedError(
                f"the entry ended its process (SystemExit: {leaving.code}): in the platform the job then has no "
                "result, and what depends on it never runs; return, or raise an error"
            ) from leaving

    run.__name__ = run.__qualname__ = getattr(entry, "__name__", "entry")
    return run


def _checked_for_worker(result: Any) -> Any:
    """Returns a result that the worker can write with plain ``json``, and whose numbers the queue's store can hold.

    Raises:
        UnsupportedValueError: The worker cannot write the result, so that the job would have no result in the platform,
            or the queue's store cannot hold it, which would end the queue.
    """
    if hasattr(result, "__await__"):
        return result  # the runner refuses a coroutine with its own sentence
    try:
        plain = json.loads(json.dumps(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedValueError(
            f"the entry returned a {type(result).__name__} that the platform's worker cannot write as JSON ({error}); "
            "return plain values, or make the entry with entrypoint()"
        ) from error
    if _has_large_number(plain):
        raise UnsupportedValueError(
            "the entry returned a whole number of more than 64 bits, which ends the platform's queue; return it as text"
        )
    return result


def _has_large_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_large_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_number, value))
    return isinstance(value, int) and isinstance(json_safe(value), str)


def _arguments(ctx: RuntimeContext) -> dict[str, Any]:
    from bson import ObjectId

    job = ctx.job.read()
    assert job.subject is not None
    arguments = {
        "session_id": job.session_id,
        "job_id": job.id,
        "job_name": job.name,
        "event": job.event.value if job.event else "",
        "headers": platform_document(ctx.session, job.subject, ctx.peer_id or ""),
        "params": job.params,
        "added_params": job.added_params,
        "service_id": ObjectId(platform_id("service", job.service_name)),
        "worker_id": None,
        "worker_type": None,
        "db_provider": ctx.db_provider,
        "db_name": ctx.db_name,
        "db_url": ctx.db_url.get_secret_value(),
    }
    return _decoded_by_worker(arguments)


def _decoded_by_worker(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments as a worker decodes them: ids and dates typed if the platform's package is installed."""
    from bson import json_util

    text = json_util.dumps(arguments)
    typed = importlib.util.find_spec("dcm_processor_db_provider") is not None
    options = json_util.JSONOptions(tz_aware=False)
    decoded: dict[str, Any] = json_util.loads(text, json_options=options) if typed else json.loads(text)
    return decoded


def platform_document(session: Session, subject: Patient | Study | SeriesRecord, peer_id: str) -> dict[str, Any]:
    """Returns a subject's document as the platform's database has it and hands it to a job.

    Its header values are those of one instance of the first series; the platform takes them from the first to arrive.
    """
    from bson import ObjectId

    now = datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
    document = {"_id": ObjectId(subject.id), "PatientUID": subject.patient_uid}
    of_series = _series_of(session, subject)
    metadata = _simplified_header(session, of_series[0].id) if of_series else {}
    modalities = list(dict.fromkeys(one.modality for one in of_series))
    if isinstance(subject, SeriesRecord):
        uids = {"StudyInstanceUID": subject.study_instance_uid, "SeriesInstanceUID": subject.series_instance_uid}
        document |= uids | {"Instances": list(subject.instance_ids)}
        metadata = _chosen(metadata, (*_OF_PATIENT, *_OF_STUDY, *_OF_SERIES))
    elif isinstance(subject, Study):
        document |= {"StudyInstanceUID": subject.study_instance_uid, "Series": list(subject.series_ids)}
        metadata = _chosen(metadata, (*_OF_PATIENT, *_OF_STUDY)) | {"ModalitiesInStudy": modalities}
    else:
        document |= {"Studies": list(subject.study_ids)}
        metadata = _chosen(metadata, _OF_PATIENT) | {"ModalitiesInPatient": modalities}
    return {**document, "PeerUID": peer_id, "Metadata": metadata, "CreatedAt": now, "UpdatedAt": now}


def _series_of(session: Session, subject: Patient | Study | SeriesRecord) -> list[SeriesRecord]:
    if isinstance(subject, SeriesRecord):
        return [subject]
    known = [one.info for one in session.dicom.series()]
    below = subject.series_ids if isinstance(subject, Study) else [one.id for one in known]
    return [one for one in known if one.id in below]


def _simplified_header(session: Session, series_id: str) -> dict[str, Any]:
    from dcm_processor_service.dicom_conversion import get_simplified_json

    dataset = next(iter(session.dicom.get_series(series_id).datasets()), None)
    return {} if dataset is None else get_simplified_json(dataset)


def _chosen(metadata: Mapping[str, Any], keywords: tuple[str, ...]) -> dict[str, Any]:
    return {keyword: metadata[keyword] for keyword in keywords if keyword in metadata}
