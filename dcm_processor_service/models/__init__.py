"""Frozen values that cross a port: what repositories return and facades hand out.

One module a subject, loaded when the first of its names is asked for: who reads a value of another job loads no model
of series reports or sendings. A ``repr`` never shows a patient attribute: header values are kept out of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.models.derived import (
        Code,
        DocumentOptions,
        ImageKind,
        ImageOptions,
        MapOptions,
        Problem,
        Producer,
        Recipe,
        RecipeFields,
        SegmentationOptions,
        SeveralSeries,
        StudyIdentity,
        ValueMapping,
    )
    from dcm_processor_service.models.files import LeftOutFile, StoredFile
    from dcm_processor_service.models.imaging import (
        OrderCertificate,
        SeriesFinding,
        SeriesKind,
        SeriesPart,
        SeriesReport,
        TransferSyntax,
    )
    from dcm_processor_service.models.jobs import Job, JobEvent, JobOutput, JobState
    from dcm_processor_service.models.limits import Limits
    from dcm_processor_service.models.nifti import Engine, Glance, NiftiFiles, NiftiVolume, Policy, Sidecar
    from dcm_processor_service.models.peers import AETitle, Peer
    from dcm_processor_service.models.send_checks import CheckedInstance, SendCheck, Verdict
    from dcm_processor_service.models.send_options import SendOptions
    from dcm_processor_service.models.sending import AcceptedContext, EchoResult, InstanceRecord, Outcome, SendReport
    from dcm_processor_service.models.sessions import (
        CleanupPolicy,
        CleanupReport,
        RemovedImages,
        SessionPart,
        SessionRecord,
    )
    from dcm_processor_service.models.steps import StepRecord
    from dcm_processor_service.models.subjects import Instance, Patient, SeriesRecord, Study, Subject, SubjectLevel

__all__ = [
    "AETitle",
    "AcceptedContext",
    "CheckedInstance",
    "CleanupPolicy",
    "CleanupReport",
    "Code",
    "DocumentOptions",
    "EchoResult",
    "Engine",
    "Glance",
    "ImageKind",
    "ImageOptions",
    "Instance",
    "InstanceRecord",
    "Job",
    "JobEvent",
    "JobOutput",
    "JobState",
    "LeftOutFile",
    "Limits",
    "MapOptions",
    "NiftiFiles",
    "NiftiVolume",
    "OrderCertificate",
    "Outcome",
    "Patient",
    "Peer",
    "Policy",
    "Problem",
    "Producer",
    "Recipe",
    "RecipeFields",
    "RemovedImages",
    "SegmentationOptions",
    "SendCheck",
    "SendOptions",
    "SendReport",
    "SeriesFinding",
    "SeriesKind",
    "SeriesPart",
    "SeriesRecord",
    "SeriesReport",
    "SessionPart",
    "SessionRecord",
    "SeveralSeries",
    "Sidecar",
    "StepRecord",
    "StoredFile",
    "Study",
    "StudyIdentity",
    "Subject",
    "SubjectLevel",
    "TransferSyntax",
    "ValueMapping",
    "Verdict",
]

_PLACES = {
    "derived": (
        "Code DocumentOptions ImageKind ImageOptions MapOptions Problem Producer Recipe "
        "RecipeFields SegmentationOptions SeveralSeries StudyIdentity ValueMapping"
    ),
    "files": "LeftOutFile StoredFile",
    "imaging": "OrderCertificate SeriesFinding SeriesKind SeriesPart SeriesReport TransferSyntax",
    "jobs": "Job JobEvent JobOutput JobState",
    "limits": "Limits",
    "nifti": "Engine Glance NiftiFiles NiftiVolume Policy Sidecar",
    "peers": "AETitle Peer",
    "send_checks": "CheckedInstance SendCheck Verdict",
    "send_options": "SendOptions",
    "sending": "AcceptedContext EchoResult InstanceRecord Outcome SendReport",
    "sessions": "CleanupPolicy CleanupReport RemovedImages SessionPart SessionRecord",
    "steps": "StepRecord",
    "subjects": "Instance Patient SeriesRecord Study Subject SubjectLevel",
}
"""The module of each name."""

_HOME = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
