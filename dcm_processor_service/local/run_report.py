"""Writes ``report.html`` and ``run.json`` of a local run into its workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.disk import write_whole
from dcm_processor_service.models.run_report import RunReport
from dcm_processor_service.reporting.run_page import run_page
from dcm_processor_service.reporting.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.local.workspace import LocalRun
    from dcm_processor_service.models.images.pictures import ResultPicture

__all__ = ["PAGE_NAME", "RECORD_NAME", "write_run_report"]

_MOST_PICTURE_BYTES = 48 << 20
"""The most bytes of pictures on a page, so that a browser opens it at once; further pictures are left out of it."""

PAGE_NAME, RECORD_NAME = "report.html", "run.json"


def write_run_report(folder: Path, runs: Sequence[LocalRun], *, show_patient: bool = False) -> Path:
    """Writes the page and the record of a run, in place of an earlier run's; returns the path of the page.

    Only the user who runs this can read them. ``run.json`` never holds a value of the patient.

    Args:
        folder: The workspace.
        runs: The jobs of this run, in the order in which the record and the page list them.
        show_patient: Whether the page shows name, id, birth date and sex of the patient.

    Raises:
        LocalFileError: The folder cannot be written.
    """
    report = RunReport(versions=versions(), jobs=tuple(one.report for one in runs))
    page = run_page(report, _fitting(runs), show_patient=show_patient)
    for name, text in ((PAGE_NAME, page), (RECORD_NAME, report.model_dump_json(indent=2) + "\n")):
        with write_whole(folder / name, private=True) as file:
            file.write(text.encode("utf-8", "replace"))
    return folder / PAGE_NAME


def _fitting(runs: Sequence[LocalRun]) -> dict[str, Sequence[ResultPicture]]:
    """Returns the pictures of each job, up to the page's limit."""
    kept: dict[str, Sequence[ResultPicture]] = {}
    spare_bytes = _MOST_PICTURE_BYTES
    for one in runs:
        spare_bytes -= sum(len(picture.png) for picture in one.pictures)
        if spare_bytes < 0:
            break
        kept[one.job.id] = one.pictures
    return kept
