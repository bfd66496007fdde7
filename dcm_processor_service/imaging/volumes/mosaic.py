"""Reads Siemens mosaics, which hold the slices of a volume side by side in one image.

Only Siemens' CSA header, which nibabel reads, says how many slices there are, in which direction they follow each
other, and where the first one lies. A series without a CSA header is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.vendor import mosaic_count
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.series.policies import open_findings, refusal, with_findings
from dcm_processor_service.models import SeriesFinding

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.images.nifti import Policy

__all__ = ["MosaicLayout", "mosaic_layout", "mosaic_stack", "untiled"]

_RIGID = 1e-3


class MosaicLayout(NamedTuple):
    """The layout of a volume's slices in a mosaic, and the affine of the volume."""

    columns: int
    rows: int
    slices: int
    tiles_per_side: int
    affine_lps: FloatArray
    """Shape (4, 4): column, row and slice to mm."""


def mosaic_stack(inspection: Inspection, policy: Policy) -> Stack:
    """Returns the mosaics of a series as one stack, in order of time; each mosaic is one frame.

    Raises:
        InvalidSeriesError: The policy refuses the series, or its mosaics lie at several places.
    """
    unresolved = [finding for finding in open_findings(inspection, policy) if finding.code != "MOSAIC"]
    if unresolved or not inspection.stacks:
        raise refusal(inspection.report, unresolved)
    (first, *others) = inspection.stacks
    if others or len(first.grid[0]) > 1:
        raise InvalidSeriesError(
            f"series {inspection.report.series_instance_uid} is refused: MOSAIC: its images lie at several places, or "
            "are of several kinds, so they do not share one grid: convert each of them separately",
            inspection.report,
        )
    return first


def untiled(volume: Volume, label: str) -> Volume:
    """Cuts mosaics into slices.

    Args:
        volume: Mosaics as they are stored, shape (i, j, 1[, t]), with the header of the first one.
        label: Name of the first mosaic in error messages.

    Returns:
        The volume with shape (i, j, k[, t]) and the affine of its slices.

    Raises:
        InvalidSeriesError: The private elements do not say where the slices lie.
    """
    header = volume.header
    layout = mosaic_layout(header, label, volume.report) if header is not None else None
    if layout is None or volume.shape[:2] != (
        layout.columns * layout.tiles_per_side,
        layout.rows * layout.tiles_per_side,
    ):
        raise _unknown(label, volume.report)
    side = layout.tiles_per_side
    tiles = [
        volume.array[
            (k % side) * layout.columns : (k % side + 1) * layout.columns,
            (k // side) * layout.rows : (k // side + 1) * layout.rows,
            0,
        ]
        for k in range(layout.slices)
    ]
    array = np.stack(tiles, axis=2)
    sources = tuple(line * layout.slices for line in volume.sources)
    return replace(volume, array=np.asfortranarray(array), affine_lps=layout.affine_lps, sources=sources)


def mosaic_layout(header: Dataset, label: str, report: SeriesReport | None = None) -> MosaicLayout:
    """Reads from the header of a mosaic how its slices are arranged, and where they lie in the patient.

    Args:
        header: Header of one mosaic, with its private elements.
        label: Name of the mosaic in error messages.
        report: Report of its series, for the error.

    Raises:
        InvalidSeriesError: The private elements do not say so, or contradict each other. The error carries the report,
            if there is one, with the finding MOSAIC_LAYOUT.
    """
    try:
        with contained():
            # imported in this block, because the import of nibabel.nicom itself warns
            from nibabel.nicom.dicomwrappers import MosaicWrapper, wrapper_from_data

            wrapper = wrapper_from_data(header)
            rows, columns, slices = wrapper.image_shape
            # nibabel's first axis is the row, ours is the column
            affine = np.array(wrapper.affine)[:, [1, 0, 2, 3]]
    except Exception as error:
        raise _unknown(label, report) from error
    if not isinstance(wrapper, MosaicWrapper):
        raise _unknown(label, report)
    side = int(np.ceil(np.sqrt(slices)))
    counted = mosaic_count(header)
    with np.errstate(invalid="ignore", divide="ignore"):  # a step of 0 leads to NaN, which is refused below
        turn = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        is_rigid = np.isfinite(affine).all() and np.abs(turn.T @ turn - np.eye(3)).max() < _RIGID
    if counted not in {None, slices} or not is_rigid:
        raise _unknown(label, report)
    return MosaicLayout(int(columns), int(rows), int(slices), side, affine)


def _unknown(label: str, report: SeriesReport | None) -> InvalidSeriesError:
    message = (
        f"{label} is a mosaic whose private elements do not say where its slices lie: get the original file, "
        "which still has all private elements"
    )
    finding = SeriesFinding(code="MOSAIC_LAYOUT", message=message)
    return InvalidSeriesError(str(finding), None if report is None else with_findings(report, finding))
