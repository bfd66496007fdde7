"""Service-side SDK of the dcm-processor platform: the standard library for code that processes medical images.

A service is a function that takes a :class:`RuntimeContext`::

    from dcm_processor_service import RuntimeContext

    def run(ctx: RuntimeContext) -> None:
        series = ctx.session.dicom.get_series()
        ctx.session.data["instance_count"] = series.instance_count()

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
    from dcm_processor_service.derived import make_pdf_dicom, make_series_dicom, nifti_to_dicom
    from dcm_processor_service.errors import DcmProcessorError
    from dcm_processor_service.imaging.nifti.sidecar import get_simplified_json
    from dcm_processor_service.models import Job, JobEvent, JobState, Patient, Peer, SeriesRecord, StoredFile, Study
    from dcm_processor_service.ports import ABSENT
    from dcm_processor_service.post_services import run_post_services
    from dcm_processor_service.pre_services import run_pre_services
    from dcm_processor_service.runtime.container import AsyncContainer, Container, opened
    from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
    from dcm_processor_service.runtime.settings import RuntimeSettings
    from dcm_processor_service.runtime.worker import entrypoint
    from dcm_processor_service.session import AsyncSession, Session

__all__ = [
    "ABSENT",
    "AsyncContainer",
    "AsyncRuntimeContext",
    "AsyncSession",
    "Container",
    "DcmProcessorError",
    "Job",
    "JobEvent",
    "JobState",
    "Patient",
    "Peer",
    "RuntimeContext",
    "RuntimeSettings",
    "SeriesRecord",
    "Session",
    "StoredFile",
    "Study",
    "dicom_series_to_nifti",
    "download_session_file",
    "entrypoint",
    "get_dicom_sender",
    "get_peer",
    "get_series_dicom",
    "get_series_nifti",
    "get_session_data",
    "get_session_file",
    "get_simplified_json",
    "has_session_data",
    "has_session_file",
    "make_pdf_dicom",
    "make_series_dicom",
    "nifti_to_dicom",
    "opened",
    "remove_session_data",
    "remove_session_file",
    "run_post_services",
    "run_pre_services",
    "set_session_data",
    "upload_session_file",
]

_HOME = {
    "ABSENT": "ports",
    "AsyncContainer": "runtime.container",
    "AsyncRuntimeContext": "runtime.context",
    "AsyncSession": "session",
    "Container": "runtime.container",
    "DcmProcessorError": "errors",
    "Job": "models",
    "JobEvent": "models",
    "JobState": "models",
    "Patient": "models",
    "Peer": "models",
    "RuntimeContext": "runtime.context",
    "RuntimeSettings": "runtime.settings",
    "SeriesRecord": "models",
    "Session": "session",
    "StoredFile": "models",
    "Study": "models",
    "dicom_series_to_nifti": "converters",
    "download_session_file": "db_manager",
    "entrypoint": "runtime.worker",
    "get_dicom_sender": "db_manager",
    "get_peer": "db_manager",
    "get_series_dicom": "converters",
    "get_series_nifti": "converters",
    "get_session_data": "db_manager",
    "get_session_file": "db_manager",
    "get_simplified_json": "imaging.nifti.sidecar",
    "has_session_data": "db_manager",
    "has_session_file": "db_manager",
    "make_pdf_dicom": "derived",
    "make_series_dicom": "derived",
    "nifti_to_dicom": "derived",
    "opened": "runtime.container",
    "remove_session_data": "db_manager",
    "remove_session_file": "db_manager",
    "run_post_services": "post_services",
    "run_pre_services": "pre_services",
    "set_session_data": "db_manager",
    "upload_session_file": "db_manager",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
