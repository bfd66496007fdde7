"""Finds the real scans, awkward cases and terminologies that tests read: in ``../shared``, beside the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tests.missing import missing

_REPOSITORY = Path(__file__).parents[1]


def shared_folder(name: Literal["data", "cases", "terms"], beside: Path = _REPOSITORY) -> Path:
    """Returns the folder ``shared/name`` beside the repository; without it a test is skipped, and under CI it fails."""
    folder = beside.parent / "shared" / name
    if not folder.is_dir():
        reason = f"../shared/{name} is not beside the repository: put the folder there to run this test"
        missing(reason)
    return folder
