"""DICOM to NIfTI by this package's own reading of volumes: fast, and exact about place and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.nifti.sidecar import write_with_sidecar
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.models.nifti import NiftiFiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.models import SeriesReport

__all__ = ["convert"]


def convert(task: ConversionTask, reason: str) -> NiftiFiles:
    """Writes each volume that the policy finds.

    Raises:
        InvalidSeriesError: The policy refuses the series; carries the report.
        UnsupportedTransferSyntaxError: Its pixels cannot be decoded here.
    """
    volumes = volumes_of(task.inspection, task.policy, max_gap_mm=task.max_gap_mm, limits=task.limits)
    several = len(volumes) > 1
    written = [
        write_with_sidecar(
            volume,
            volume.to_nifti(),
            task.named_destination(volume.name) if several else task.destination,
            task.sidecar,
            volume.name if several else "",
        )
        for volume in volumes
    ]
    return NiftiFiles(
        tuple(path for files in written for path in files.paths),
        "native",
        reason,
        tuple(path for files in written for path in files.sidecars),
        tuple(volume for files in written for volume in files.volumes),
        _report(task, [volume.report for volume in volumes]),
    )


def _report(task: ConversionTask, reports: Sequence[SeriesReport | None]) -> SeriesReport:
    """Returns the inspection's report with what the reading of each volume added to it."""
    own = task.inspection.report
    added = [finding for report in reports if report for finding in report.findings[len(own.findings) :]]
    return own.model_copy(update={"findings": (*own.findings, *added)}) if added else own
