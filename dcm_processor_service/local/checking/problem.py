"""The problems that a check of a service reports."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServiceProblem"]


@dataclass(frozen=True)
class ServiceProblem:
    """A fault of a service, or a warning to its author."""

    code: str
    """The kind of problem, for programs."""

    message: str
    job: str = ""
    """Name of the job that has the problem; empty for a problem of the whole service."""

    blocking: bool = True
    """Whether the service fails in the platform; otherwise the problem is a warning."""
