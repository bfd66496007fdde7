"""Sessions of the platform, and reports of what a clean-up removed."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CleanupPolicy", "CleanupReport", "RemovedImages", "SessionPart", "SessionRecord"]

CleanupPolicy: TypeAlias = Literal["keep", "session", "all"]
"""What a clean-up removes: nothing (``keep``), data and files (``session``), the patient's images too (``all``)."""

SessionPart: TypeAlias = Literal["data", "files", "session"]
"""A part of a session that is removed at once: all its data, all its files, or its own document."""


class SessionRecord(BaseModel):
    """One session that is not closed yet.

    Example:
        >>> from datetime import timezone
        >>> SessionRecord(id="5" * 24, created_at=datetime(2024, 2, 29, tzinfo=timezone.utc)).patient_id
        ''
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str
    patient_id: str = ""
    peer_id: str = ""
    created_at: datetime = Field(description="UTC; the session covers the images that arrived before")


class RemovedImages(BaseModel):
    """How much of a patient's images was removed, and how much stayed.

    Example:
        >>> RemovedImages(instances=300, series=2).kept_instances
        0
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    instances: int = 0
    series: int = 0
    studies: int = 0
    patients: int = 0
    kept_instances: int = Field(default=0, description="They arrived later, or another session needs them")


class CleanupReport(BaseModel):
    """The result of a clean-up: how much of a session's data, files and images was removed.

    Example:
        >>> CleanupReport(session_id="5" * 24, policy="session", data=3, files=1, sessions=1).images.instances
        0
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    session_id: str
    policy: CleanupPolicy
    data: int = 0
    files: int = 0
    images: RemovedImages = RemovedImages()
    sessions: int = 0
