"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServiceProblem"]


@dataclass(frozen=True)
class ServiceProblem:
    """One thing that the author of a service should know."""

    code: str
    """What kind it is, for programs."""

    message: str
    job: str = ""
    """The job that it is about."""

    blocking: bool = True
    """Whether the service does not work in the platform; else it is worth a look."""
