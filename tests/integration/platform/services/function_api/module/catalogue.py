"""The cases: small functions that use the 0.0.1 API's names and assert what must come of them.

The same cases run with our package and with the 0.0.1 API. Plain cases hold with both. A case of a defect holds with
ours and fails with the 0.0.1 API, which shows that it tests the defect. A case of what became clearer has no meaning
for the 0.0.1 API.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo.database import Database

    CaseFunction = Callable[["Bench"], None]

__all__ = ["CASES", "Bench", "Case", "case", "clearer", "defect"]

F = TypeVar("F", bound="CaseFunction")


@dataclass(frozen=True)
class Bench:
    """What a case may use besides the functions under test."""

    headers: dict[str, Any]
    """The series of the job, as the worker passes it."""
    params: dict[str, Any]
    """Places and ports that the test has prepared."""
    folder: Path
    """Empty, and gone after the case."""
    database: Database[dict[str, Any]]
    """The platform's database, to look behind the functions."""

    @property
    def series_id(self) -> str:
        """The platform's id of the job's series."""
        return str(self.headers["_id"])


@dataclass(frozen=True)
class Case:
    """One function with what it means for the 0.0.1 API."""

    function: CaseFunction
    defect: int | None = None
    clearer: bool = False


CASES: dict[str, Case] = {}
JOB_ID_VARIABLE = "DCM-PROCESSOR-SERVICE-JOB-ID"


def _file(function: CaseFunction, made: Case) -> None:
    if function.__name__ in CASES and CASES[function.__name__].function.__module__ != function.__module__:
        raise ValueError(f"two cases are named {function.__name__}")
    CASES[function.__name__] = made


def case(function: F) -> F:
    """Files a case of what the 0.0.1 API does as well."""
    _file(function, Case(function))
    return function


def defect(number: int) -> Callable[[F], F]:
    """Files a case of a defect of the 0.0.1 API, by its number in the list of defects."""

    def file(function: F) -> F:
        _file(function, Case(function, defect=number))
        return function

    return file


def clearer(function: F) -> F:
    """Files a case of what the 0.0.1 API kept silent about."""
    _file(function, Case(function, clearer=True))
    return function


def job_id() -> str:
    """The id of the job of this process."""
    return os.environ[JOB_ID_VARIABLE]
