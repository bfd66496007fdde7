"""The scheduler asks here which jobs a series gets: the one that its protocol names."""

from __future__ import annotations

from typing import Any


def named(job_name: str, headers: dict[str, Any], **_arguments: Any) -> bool:
    """Takes the series whose ProtocolName is the job's name."""
    return bool(headers["Metadata"].get("ProtocolName") == job_name)
