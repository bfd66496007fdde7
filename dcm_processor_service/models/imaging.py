"""What an inspection of a series found."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Finding", "SeriesReport"]


class Finding(BaseModel):
    """One thing that an inspection found, with a code that a program can test."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Such as MISSING_SLICES")
    message: str = Field(description="What, where and what to do; holds no patient attribute")


class SeriesReport(BaseModel):
    """What a series is, before anything is converted."""

    model_config = ConfigDict(frozen=True)

    series_instance_uid: str = ""
    findings: tuple[Finding, ...] = ()
