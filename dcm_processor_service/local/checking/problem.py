"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServiceProblem"]


@dataclass(frozen=True)
class ServiceProblem:
    """One thing that the author of a service should know."""

    code: str
    """The kind of problem, for programs."""

    message: str
    job: str = ""
    """The job that it is about."""

    blocking: bool = True
    """Whether the service fails in the platform; otherwise it is a warning."""
