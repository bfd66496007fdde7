"""What became of every instance that was sent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["InstanceRecord", "SendReport"]


class InstanceRecord(BaseModel):
    """What became of one instance."""

    model_config = ConfigDict(frozen=True)

    sop_instance_uid: str = ""
    outcome: str = "not_attempted"


class SendReport(BaseModel):
    """One record an instance."""

    model_config = ConfigDict(frozen=True)

    records: tuple[InstanceRecord, ...] = ()
