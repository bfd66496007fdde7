"""Frozen values that cross a port: what repositories return and facades hand out.

One module a subject. A ``repr`` never shows a patient attribute: header values are kept out of it.
"""

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
from dcm_processor_service.models.pictures import LabelEntry, ResultPicture
from dcm_processor_service.models.run_report import (
    DerivedObject,
    InputSeries,
    JobReport,
    LogLine,
    OutputFile,
    OutputValue,
    RunReport,
)
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
    "DerivedObject",
    "DocumentOptions",
    "EchoResult",
    "Engine",
    "Glance",
    "ImageKind",
    "ImageOptions",
    "InputSeries",
    "Instance",
    "InstanceRecord",
    "Job",
    "JobEvent",
    "JobOutput",
    "JobReport",
    "JobState",
    "LabelEntry",
    "LeftOutFile",
    "Limits",
    "LogLine",
    "MapOptions",
    "NiftiFiles",
    "NiftiVolume",
    "OrderCertificate",
    "Outcome",
    "OutputFile",
    "OutputValue",
    "Patient",
    "Peer",
    "Policy",
    "Problem",
    "Producer",
    "Recipe",
    "RecipeFields",
    "RemovedImages",
    "ResultPicture",
    "RunReport",
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
