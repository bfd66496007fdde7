"""Converts DICOM to NIfTI with this package's own reader, which is fast, and exact in places and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.nifti.colour import colour_images
from dcm_processor_service.imaging.nifti.gradients import gradient_table, write_gradients
from dcm_processor_service.imaging.nifti.sidecar import write_with_sidecar
from dcm_processor_service.imaging.series.policies import chosen_stacks, with_findings
from dcm_processor_service.imaging.volumes.interop import to_nifti_image
from dcm_processor_service.imaging.volumes.read import volumes_of
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.images.nifti import NiftiFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.nifti.gradients import GradientTable
    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
    from dcm_processor_service.models import SeriesReport

__all__ = ["convert"]


def convert(task: ConversionTask, reason: str) -> NiftiFiles:
    """Writes each volume that the policy chooses.

    Raises:
        InvalidSeriesError: The policy refuses the series; the error has the report.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
    """
    is_colour = task.inspection.report.kind is SeriesKind.COLOUR
    tables = [] if is_colour else _gradient_tables(task)
    volumes = colour_images(task) if is_colour else _volumes(task)
    several = len(volumes) > 1
    written = [
        write_with_sidecar(
            volume,
            to_nifti_image(volume),
            task.named_destination(volume.name) if several else task.destination,
            task.sidecar,
            volume.name if several else "",
        )
        for volume in volumes
    ]
    gradients: list[Path] = []
    for volume, files, table in zip(volumes, written, tables, strict=False):
        if table is not None:
            gradients += write_gradients(table, volume.affine_lps, files.paths[0])
    return NiftiFiles(
        tuple(path for files in written for path in files.paths),
        "native",
        reason,
        (*(path for files in written for path in files.sidecars), *gradients),
        tuple(volume for files in written for volume in files.volumes),
        _report(task, [volume.report for volume in volumes]),
    )


def _volumes(task: ConversionTask) -> list[VoxelGrid]:
    return [*volumes_of(task.inspection, task.policy, max_gap_mm=task.max_gap_mm, limits=task.limits)]


def _gradient_tables(task: ConversionTask) -> list[GradientTable | None]:
    """Returns the gradient table of each stack that the policy chooses; None for stacks that are not 4D.

    The list is empty if the series is not a diffusion series.

    Raises:
        InvalidSeriesError: The headers of a diffusion series lack b-values or directions, or state them only in private
            elements.
    """
    report = task.inspection.report
    if not report.is_diffusion:
        return []
    is_mosaic = report.kind is SeriesKind.MOSAIC
    stacks = list(task.inspection.stacks) if is_mosaic else chosen_stacks(task.inspection, task.policy)
    tables = [gradient_table(stack) if len(stack.grid) > 1 else None for stack in stacks]
    if any(table is None and len(stack.grid) > 1 for table, stack in zip(tables, stacks, strict=True)):
        raise InvalidSeriesError(
            f"series {report.series_instance_uid} is refused: its b-values or gradient directions are in private "
            "elements, or are missing, and without them its volumes mean nothing: use the engine dcm2niix, or read its "
            "voxels with series.volume()",
            report,
        )
    return tables


def _report(task: ConversionTask, reports: Sequence[SeriesReport | None]) -> SeriesReport:
    """Returns the inspection's report together with the findings that were added when the volumes were read."""
    own = task.inspection.report
    added = [finding for report in reports if report for finding in report.findings[len(own.findings) :]]
    return with_findings(own, *added) if added else own
