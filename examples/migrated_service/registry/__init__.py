"""Decides which series get a job. The function is written as for 0.0.1."""

from typing import Any


def callback(headers: dict[str, Any], **_others: Any) -> tuple[bool, dict[str, Any]]:
    """Accepts CT."""
    return headers["Metadata"].get("Modality") == "CT", {}
