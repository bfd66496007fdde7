"""Service-side SDK of the dcm-processor platform: the standard library for code that processes medical images.

A service is a function that takes a :class:`RuntimeContext`::

    from dcm_processor_service import RuntimeContext

    def run(ctx: RuntimeContext) -> None:
        series = ctx.session.dicom.get_series()
        ctx.session.data["instance_count"] = series.instance_count()

Only these modules are public, and stay compatible from release to release:

- this package itself: every type that a service uses,
- ``.errors``: the errors that it may catch; ``.testing``: the fakes for its tests,
- ``.ports`` and ``.models``: the types for a store of your own; ``.testing.contracts``: the tests of such a store,
- the addresses of the 0.0.1 API: ``env_vars``, ``db_manager``, ``converters``, ``dicom_conversion``, ``pre_services``,
  ``post_services``, ``dicom_network``, ``dicom_network.dicom_sender`` and ``dicom_network.utils``.

Names are loaded when they are used (PEP 562): importing the package loads no imaging library and no database driver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.converters import dicom_series_to_nifti, get_series_dicom, get_series_nifti
    from dcm_processor_service.db_manager import (
        download_session_file,
        get_dicom_sender,
        get_peer,
        get_session_data,
        get_session_file,
        has_session_data,
        has_session_file,
        remove_session_data,
        remove_session_file,
        set_session_data,
        upload_session_file,
    )
    from dcm_processor_service.derived import (
        Finding,
        Marker,
        Picture,
        Region,
        Segment,
        Voxels,
        make_pdf_dicom,
        make_series_dicom,
        nifti_to_dicom,
    )
    from dcm_processor_service.derived.objects.reports.finding import Measured
    from dcm_processor_service.derived.objects.reports.region import RegionKind
    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.errors import DcmProcessorError
    from dcm_processor_service.imaging.geometry import FloatArray, Frame
    from dcm_processor_service.imaging.nifti.sidecar import get_simplified_json
    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout
    from dcm_processor_service.imaging.volumes.resampling import Interpolation
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.imaging.volumes.volume import DisplayWindow, Rescale, SliceSource, Volume
    from dcm_processor_service.models import (
        AcceptedContext,
        BasicAuth,
        BearerToken,
        CheckedInstance,
        CleanupPolicy,
        CleanupReport,
        ClientCredentials,
        Code,
        DateRange,
        DeathCause,
        EchoResult,
        Engine,
        FetchMethod,
        FetchOptions,
        FetchOutcome,
        FetchRecord,
        FetchReport,
        FindKeys,
        FindLevel,
        FindQuery,
        FoundInstance,
        FoundItem,
        FoundSeries,
        FoundStudy,
        HeldBytes,
        ImageKind,
        Instance,
        InstanceRecord,
        Job,
        JobDeath,
        JobEvent,
        JobOutput,
        JobState,
        LeftSession,
        Limits,
        MrAcquisition,
        NiftiFiles,
        NiftiVolume,
        OrderCertificate,
        Outcome,
        Patient,
        Peer,
        PeerProposal,
        PersonObserver,
        Policy,
        Problem,
        Producer,
        Recipe,
        RecipeFields,
        RemovedImages,
        RetriedJob,
        RetryReport,
        SendCheck,
        SendOptions,
        SendReport,
        SeriesFinding,
        SeriesKind,
        SeriesPart,
        SeriesRecord,
        SeriesReport,
        SessionDiagnosis,
        SessionState,
        SessionSummary,
        Sidecar,
        StepRecord,
        StorageCommitment,
        StoredFile,
        Study,
        StudyIdentity,
        Subject,
        SubjectLevel,
        SweepReport,
        SweptSession,
        TransferSyntax,
        Verdict,
        WebAuth,
    )
    from dcm_processor_service.operations.sessions import explain_session, list_sessions, retry_session
    from dcm_processor_service.operations.sweeping import sweep_sessions
    from dcm_processor_service.ports import ABSENT, Sendable, Sentinel
    from dcm_processor_service.post_services import run_post_services
    from dcm_processor_service.pre_services import run_pre_services
    from dcm_processor_service.registry import RegistryFunction, accepts
    from dcm_processor_service.runtime.container import AsyncContainer, Container, opened
    from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.runtime.execution.worker import entrypoint
    from dcm_processor_service.runtime.logs.job_log import JobLog
    from dcm_processor_service.runtime.progress import AsyncProgress, Progress
    from dcm_processor_service.runtime.settings import RuntimeSettings, SettingsValues
    from dcm_processor_service.runtime.steps.running import AsyncStep, Step
    from dcm_processor_service.series_rules import SeriesRules
    from dcm_processor_service.session.data import AsyncData, Data
    from dcm_processor_service.session.file_content import FileContent
    from dcm_processor_service.session.files import AsyncFiles, Files
    from dcm_processor_service.session.images.derive import Derive
    from dcm_processor_service.session.images.derive_async import AsyncDerive, Like
    from dcm_processor_service.session.images.dicom import Dicom, SeriesChoice
    from dcm_processor_service.session.images.dicom_async import AsyncDicom, AsyncSeriesChoice
    from dcm_processor_service.session.images.selection import Selection
    from dcm_processor_service.session.images.series import DicomSeries
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries
    from dcm_processor_service.session.jobs import AsyncCurrentJob, CurrentJob
    from dcm_processor_service.session.network.commitments import AsyncCommitments, Commitments
    from dcm_processor_service.session.network.fetching import AsyncFetched, Fetched
    from dcm_processor_service.session.network.peers import AsyncPeers, Peers
    from dcm_processor_service.session.network.sending import SendItem
    from dcm_processor_service.session.session import AsyncSession, Session

__all__ = [
    "ABSENT",
    "AcceptedContext",
    "AsyncCommitments",
    "AsyncContainer",
    "AsyncCurrentJob",
    "AsyncData",
    "AsyncDerive",
    "AsyncDicom",
    "AsyncDicomSeries",
    "AsyncFetched",
    "AsyncFiles",
    "AsyncPeers",
    "AsyncProgress",
    "AsyncRuntimeContext",
    "AsyncSeriesChoice",
    "AsyncSession",
    "AsyncStep",
    "BasicAuth",
    "BearerToken",
    "CallbackFunction",
    "CheckedInstance",
    "CleanupPolicy",
    "CleanupReport",
    "ClientCredentials",
    "Code",
    "Commitments",
    "Container",
    "CurrentJob",
    "Data",
    "DateRange",
    "DcmProcessorError",
    "DeathCause",
    "Derive",
    "Dicom",
    "DicomSeries",
    "DisplayWindow",
    "EchoResult",
    "Engine",
    "FetchMethod",
    "FetchOptions",
    "FetchOutcome",
    "FetchRecord",
    "FetchReport",
    "Fetched",
    "FileContent",
    "Files",
    "FindKeys",
    "FindLevel",
    "FindQuery",
    "Finding",
    "FloatArray",
    "FoundInstance",
    "FoundItem",
    "FoundSeries",
    "FoundStudy",
    "Frame",
    "HeldBytes",
    "ImageKind",
    "Instance",
    "InstanceRecord",
    "Interpolation",
    "Job",
    "JobDeath",
    "JobEvent",
    "JobLog",
    "JobOutput",
    "JobState",
    "LeftSession",
    "Like",
    "Limits",
    "Marker",
    "Measured",
    "MrAcquisition",
    "NiftiFiles",
    "NiftiVolume",
    "OrderCertificate",
    "Outcome",
    "Patient",
    "Peer",
    "PeerProposal",
    "Peers",
    "PersonObserver",
    "Picture",
    "Policy",
    "Problem",
    "Producer",
    "Progress",
    "Recipe",
    "RecipeFields",
    "Region",
    "RegionKind",
    "RegistryFunction",
    "RemovedImages",
    "Rescale",
    "RetriedJob",
    "RetryReport",
    "RuntimeContext",
    "RuntimeSettings",
    "Segment",
    "Selection",
    "SendCheck",
    "SendItem",
    "SendOptions",
    "SendReport",
    "Sendable",
    "Sentinel",
    "SeriesChoice",
    "SeriesFinding",
    "SeriesKind",
    "SeriesPart",
    "SeriesRecord",
    "SeriesReport",
    "SeriesRules",
    "Session",
    "SessionDiagnosis",
    "SessionState",
    "SessionSummary",
    "SettingsValues",
    "SheetLayout",
    "Sidecar",
    "SliceSource",
    "SourceSlices",
    "Step",
    "StepRecord",
    "StorageCommitment",
    "StoredFile",
    "StructureMask",
    "Study",
    "StudyIdentity",
    "Subject",
    "SubjectLevel",
    "SweepReport",
    "SweptSession",
    "TransferSyntax",
    "Verdict",
    "Volume",
    "Voxels",
    "WebAuth",
    "accepts",
    "dicom_series_to_nifti",
    "download_session_file",
    "entrypoint",
    "explain_session",
    "get_dicom_sender",
    "get_peer",
    "get_series_dicom",
    "get_series_nifti",
    "get_session_data",
    "get_session_file",
    "get_simplified_json",
    "has_session_data",
    "has_session_file",
    "list_sessions",
    "make_pdf_dicom",
    "make_series_dicom",
    "nifti_to_dicom",
    "opened",
    "remove_session_data",
    "remove_session_file",
    "retry_session",
    "run_post_services",
    "run_pre_services",
    "set_session_data",
    "sweep_sessions",
    "upload_session_file",
]

_PLACES = {
    "converters": "dicom_series_to_nifti get_series_dicom get_series_nifti",
    "db_manager": (
        "download_session_file get_dicom_sender get_peer get_session_data get_session_file has_session_data "
        "has_session_file remove_session_data remove_session_file set_session_data upload_session_file"
    ),
    "derived.objects.reports.finding": "Measured",
    "derived.objects.reports.region": "RegionKind",
    "derived.reading.structure_mask": "StructureMask",
    "derived": "Finding Marker Picture Region Segment Voxels make_pdf_dicom make_series_dicom nifti_to_dicom",
    "errors": "DcmProcessorError",
    "imaging.geometry": "FloatArray Frame",
    "imaging.nifti.sidecar": "get_simplified_json",
    "imaging.pictures.contact_sheet": "SheetLayout",
    "imaging.volumes.resampling": "Interpolation",
    "imaging.volumes.source_slices": "SourceSlices",
    "imaging.volumes.volume": "DisplayWindow Rescale SliceSource Volume",
    "models": (
        "AcceptedContext BasicAuth BearerToken CheckedInstance CleanupPolicy CleanupReport ClientCredentials "
        "Code DateRange DeathCause EchoResult Engine FetchMethod FetchOptions FetchOutcome FetchRecord "
        "FetchReport FindKeys FindLevel FindQuery FoundInstance FoundItem FoundSeries FoundStudy HeldBytes "
        "ImageKind Instance InstanceRecord Job JobDeath JobEvent JobOutput JobState LeftSession Limits "
        "MrAcquisition NiftiFiles NiftiVolume OrderCertificate Outcome Patient Peer PeerProposal PersonObserver "
        "Policy Problem Producer Recipe "
        "RecipeFields RemovedImages RetriedJob RetryReport SendCheck SendOptions SendReport SeriesFinding "
        "SeriesKind SeriesPart SeriesRecord SeriesReport SessionDiagnosis SessionState SessionSummary Sidecar "
        "StepRecord StorageCommitment StoredFile Study StudyIdentity Subject SubjectLevel SweepReport SweptSession "
        "TransferSyntax Verdict WebAuth "
    ),
    "operations.sessions": "explain_session list_sessions retry_session",
    "operations.sweeping": "sweep_sessions",
    "ports": "ABSENT Sendable Sentinel",
    "post_services": "run_post_services",
    "pre_services": "run_pre_services",
    "registry": "RegistryFunction accepts",
    "series_rules": "SeriesRules",
    "runtime.execution.callbacks": "CallbackFunction",
    "runtime.container": "AsyncContainer Container opened",
    "runtime.context": "AsyncRuntimeContext RuntimeContext",
    "runtime.logs.job_log": "JobLog",
    "runtime.progress": "AsyncProgress Progress",
    "runtime.settings": "RuntimeSettings SettingsValues",
    "runtime.steps.running": "AsyncStep Step",
    "runtime.execution.worker": "entrypoint",
    "session.network.commitments": "AsyncCommitments Commitments",
    "session.data": "AsyncData Data",
    "session.images.derive": "Derive",
    "session.images.derive_async": "AsyncDerive Like",
    "session.images.dicom": "Dicom SeriesChoice",
    "session.images.dicom_async": "AsyncDicom AsyncSeriesChoice",
    "session.network.fetching": "AsyncFetched Fetched",
    "session.file_content": "FileContent",
    "session.files": "AsyncFiles Files",
    "session.jobs": "AsyncCurrentJob CurrentJob",
    "session.network.peers": "AsyncPeers Peers",
    "session.images.selection": "Selection",
    "session.network.sending": "SendItem",
    "session.images.series": "DicomSeries",
    "session.images.series_async": "AsyncDicomSeries",
    "session.session": "AsyncSession Session",
}
"""The module of each public name."""

_HOME = {name: module for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
