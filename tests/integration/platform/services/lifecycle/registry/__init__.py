"""Which jobs of the lifecycle service a series, study or patient gets; called by the scheduler in its own process."""

from __future__ import annotations

from typing import Any


def every(*, job_name: str, headers: dict[str, Any], **_others: Any) -> tuple[bool, dict[str, Any]]:
    """Takes everything, and tells the jobs of the same object something."""
    return True, {"told_by_registry": f"{job_name} of {headers['_id']}"}


def only_the_larger(*, headers: dict[str, Any], **_others: Any) -> bool:
    """Takes only one of the two series."""
    return len(headers["Instances"]) > 2
