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
    from dcm_processor_service.container import AsyncContainer, Container, opened
    from dcm_processor_service.context import AsyncRuntimeContext, RuntimeContext
    from dcm_processor_service.env_vars import RuntimeSettings
    from dcm_processor_service.errors import DcmProcessorError
    from dcm_processor_service.models import Job, JobEvent, JobState, Patient, Peer, Series, StoredFile, Study
    from dcm_processor_service.ports import ABSENT
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
    "Series",
    "Session",
    "StoredFile",
    "Study",
    "opened",
]

_HOME = {
    "ABSENT": "ports",
    "AsyncContainer": "container",
    "AsyncRuntimeContext": "context",
    "AsyncSession": "session",
    "Container": "container",
    "DcmProcessorError": "errors",
    "Job": "models",
    "JobEvent": "models",
    "JobState": "models",
    "Patient": "models",
    "Peer": "models",
    "RuntimeContext": "context",
    "RuntimeSettings": "env_vars",
    "Series": "models",
    "Session": "session",
    "StoredFile": "models",
    "Study": "models",
    "opened": "container",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
