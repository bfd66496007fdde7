"""Immutable values that repositories and facades return, and options that callers give.

There is a module for each topic, which is loaded when one of its names is first used: a job that only reads a value of
another job loads no model of series reports or sendings. A ``repr`` never shows a patient attribute: header values are
kept out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import homes, loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.models.derived import (
        Code,
        DocumentOptions,
        ImageKind,
        ImageOptions,
        MapOptions,
        OverlayOptions,
        PresentationOptions,
        Problem,
        Producer,
        Recipe,
        RecipeFields,
        SegmentationOptions,
        SeveralSeries,
        StructureSetOptions,
        StudyIdentity,
        ValueMapping,
    )
    from dcm_processor_service.models.files import LeftOutFile, StoredFile
    from dcm_processor_service.models.generated_script import ScriptFault
    from dcm_processor_service.models.images.acquisition import Direction, MrAcquisition
    from dcm_processor_service.models.images.limits import Limits
    from dcm_processor_service.models.images.nifti import Engine, Glance, NiftiFiles, NiftiVolume, Policy, Sidecar
    from dcm_processor_service.models.images.pictures import LabelEntry, ResultPicture
    from dcm_processor_service.models.images.series_kinds import SeriesKind
    from dcm_processor_service.models.images.series_report import (
        OrderCertificate,
        SeriesFinding,
        SeriesPart,
        SeriesReport,
        TransferSyntax,
    )
    from dcm_processor_service.models.jobs import Job, JobEvent, JobOutput, JobState
    from dcm_processor_service.models.log_lines import LogLine
    from dcm_processor_service.models.network.commitments import StorageCommitment
    from dcm_processor_service.models.network.fetch_options import FetchMethod, FetchOptions
    from dcm_processor_service.models.network.fetching import FetchOutcome, FetchRecord, FetchReport
    from dcm_processor_service.models.network.finding import (
        DateRange,
        FindKeys,
        FindLevel,
        FindQuery,
        FoundInstance,
        FoundItem,
        FoundSeries,
        FoundStudy,
    )
    from dcm_processor_service.models.network.peers import AETitle, Peer
    from dcm_processor_service.models.network.proposals import PeerProposal
    from dcm_processor_service.models.network.send_checks import CheckedInstance, SendCheck, Verdict
    from dcm_processor_service.models.network.send_options import SendOptions
    from dcm_processor_service.models.network.sending import (
        AcceptedContext,
        EchoResult,
        InstanceRecord,
        Outcome,
        SendReport,
    )
    from dcm_processor_service.models.network.web_auth import BasicAuth, BearerToken, ClientCredentials, WebAuth
    from dcm_processor_service.models.operations import (
        DeathCause,
        HeldBytes,
        JobDeath,
        LeftSession,
        RetriedJob,
        RetryReport,
        SessionDiagnosis,
        SessionState,
        SessionSummary,
        SweepReport,
        SweptSession,
    )
    from dcm_processor_service.models.reports import PersonObserver, ReportOptions
    from dcm_processor_service.models.run_report import (
        DerivedObject,
        InputSeries,
        JobReport,
        OutputFile,
        OutputValue,
        RunReport,
    )
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
    "BasicAuth",
    "BearerToken",
    "CheckedInstance",
    "CleanupPolicy",
    "CleanupReport",
    "ClientCredentials",
    "Code",
    "DateRange",
    "DeathCause",
    "DerivedObject",
    "Direction",
    "DocumentOptions",
    "EchoResult",
    "Engine",
    "FetchMethod",
    "FetchOptions",
    "FetchOutcome",
    "FetchRecord",
    "FetchReport",
    "FindKeys",
    "FindLevel",
    "FindQuery",
    "FoundInstance",
    "FoundItem",
    "FoundSeries",
    "FoundStudy",
    "Glance",
    "HeldBytes",
    "ImageKind",
    "ImageOptions",
    "InputSeries",
    "Instance",
    "InstanceRecord",
    "Job",
    "JobDeath",
    "JobEvent",
    "JobOutput",
    "JobReport",
    "JobState",
    "LabelEntry",
    "LeftOutFile",
    "LeftSession",
    "Limits",
    "LogLine",
    "MapOptions",
    "MrAcquisition",
    "NiftiFiles",
    "NiftiVolume",
    "OrderCertificate",
    "Outcome",
    "OutputFile",
    "OutputValue",
    "OverlayOptions",
    "Patient",
    "Peer",
    "PeerProposal",
    "PersonObserver",
    "Policy",
    "PresentationOptions",
    "Problem",
    "Producer",
    "Recipe",
    "RecipeFields",
    "RemovedImages",
    "ReportOptions",
    "ResultPicture",
    "RetriedJob",
    "RetryReport",
    "RunReport",
    "ScriptFault",
    "SegmentationOptions",
    "SendCheck",
    "SendOptions",
    "SendReport",
    "SeriesFinding",
    "SeriesKind",
    "SeriesPart",
    "SeriesRecord",
    "SeriesReport",
    "SessionDiagnosis",
    "SessionPart",
    "SessionRecord",
    "SessionState",
    "SessionSummary",
    "SeveralSeries",
    "Sidecar",
    "StepRecord",
    "StorageCommitment",
    "StoredFile",
    "StructureSetOptions",
    "Study",
    "StudyIdentity",
    "Subject",
    "SubjectLevel",
    "SweepReport",
    "SweptSession",
    "TransferSyntax",
    "ValueMapping",
    "Verdict",
    "WebAuth",
]

_PLACES = {
    "images.acquisition": "Direction MrAcquisition",
    "network.commitments": "StorageCommitment",
    "derived": (
        "Code DocumentOptions ImageKind ImageOptions MapOptions OverlayOptions PresentationOptions "
        "Problem Producer Recipe RecipeFields SegmentationOptions SeveralSeries StructureSetOptions "
        "StudyIdentity ValueMapping"
    ),
    "network.fetch_options": "FetchMethod FetchOptions",
    "network.fetching": "FetchOutcome FetchRecord FetchReport",
    "files": "LeftOutFile StoredFile",
    "network.finding": "DateRange FindKeys FindLevel FindQuery FoundInstance FoundItem FoundSeries FoundStudy",
    "generated_script": "ScriptFault",
    "images.series_report": "OrderCertificate SeriesFinding SeriesPart SeriesReport TransferSyntax",
    "jobs": "Job JobEvent JobOutput JobState",
    "images.limits": "Limits",
    "log_lines": "LogLine",
    "images.nifti": "Engine Glance NiftiFiles NiftiVolume Policy Sidecar",
    "operations": (
        "DeathCause HeldBytes JobDeath LeftSession RetriedJob RetryReport SessionDiagnosis SessionState "
        "SessionSummary SweepReport SweptSession"
    ),
    "network.peers": "AETitle Peer",
    "images.pictures": "LabelEntry ResultPicture",
    "network.proposals": "PeerProposal",
    "reports": "PersonObserver ReportOptions",
    "run_report": "DerivedObject InputSeries JobReport OutputFile OutputValue RunReport",
    "network.send_checks": "CheckedInstance SendCheck Verdict",
    "network.send_options": "SendOptions",
    "network.sending": "AcceptedContext EchoResult InstanceRecord Outcome SendReport",
    "images.series_kinds": "SeriesKind",
    "sessions": "CleanupPolicy CleanupReport RemovedImages SessionPart SessionRecord",
    "steps": "StepRecord",
    "subjects": "Instance Patient SeriesRecord Study Subject SubjectLevel",
    "network.web_auth": "BasicAuth BearerToken ClientCredentials WebAuth",
}
"""The module of each name."""

_HOME = homes(_PLACES)

__getattr__, __dir__ = loaded_on_use(globals(), _HOME, __name__)
