"""Writes the gradient table of a diffusion series in FSL's format: b-values, and directions along the image's axes.

The directions in the header are relative to the patient (PS3.3, section C.8.13.5.9). FSL's are relative to the voxel
axes, and their first component has the opposite sign if the affine (RAS) has a positive determinant (FDT User Guide,
"bvecs and bvals").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dcm_processor_service.disk import write_whole
from dcm_processor_service.errors import NiftiConversionError
from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.frames.vendor import b_values
from dcm_processor_service.imaging.nifti.write import sidecar_path

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["GradientTable", "gradient_table", "write_gradients"]


class GradientTable(NamedTuple):
    """The diffusion weighting of each volume of a series."""

    b_values: tuple[float, ...]
    """The b-value of each volume, s/mm2."""

    directions_lps: tuple[tuple[float, float, float], ...]
    """The gradient direction of each volume: a unit vector in LPS, or zeros if the volume has no gradient. Empty if no
    volume has a direction, as in trace-weighted images."""


def gradient_table(stack: Stack) -> GradientTable | None:
    """Reads the diffusion weighting of each volume from the headers; None if they do not state it completely."""
    weights: list[float] = []
    directions: list[tuple[float, float, float]] = []
    for line in stack.grid:
        found = b_values(line)
        stated = {tuple(one) if one else (0.0, 0.0, 0.0) for one in marks(line, "DiffusionGradientOrientation")}
        if len(found) != 1 or len(stated) != 1:
            return None
        (weight,), (direction,) = found, stated
        weights.append(weight)
        directions.append(direction if weight > 0 else (0.0, 0.0, 0.0))
    if not any(map(any, directions)):
        return GradientTable(tuple(weights), ()) if len(set(weights)) == len(weights) else None
    known = all(weight == 0 or any(direction) for weight, direction in zip(weights, directions, strict=True))
    return GradientTable(tuple(weights), tuple(directions)) if known else None


def write_gradients(table: GradientTable, affine_lps: FloatArray, target: Path) -> list[Path]:
    """Writes ``.bval`` beside an image, and ``.bvec`` if there are directions; returns the paths of both files.

    Args:
        table: Table with one entry for each volume.
        affine_lps: Affine of the image, shape (4, 4), voxel to mm.
        target: Path of the image.

    Raises:
        NiftiConversionError: A file cannot be written.
    """
    written = {sidecar_path(target, ".bval"): [table.b_values]}
    if table.directions_lps:
        written[sidecar_path(target, ".bvec")] = _along_axes(table, affine_lps)
    for path, rows in written.items():
        text = "".join(" ".join(f"{value:.6g}" for value in row) + "\n" for row in rows)
        with write_whole(path, error=NiftiConversionError) as file:
            file.write(text.encode("ascii"))
    return list(written)


def _along_axes(table: GradientTable, affine_lps: FloatArray) -> list[tuple[float, ...]]:
    axes = affine_lps[:3, :3] / np.linalg.norm(affine_lps[:3, :3], axis=0)
    along = np.linalg.solve(axes, np.array(table.directions_lps).T)
    if np.linalg.det(axes) > 0:
        along[0] *= -1
    along += 0.0  # turns -0.0 into 0.0
    return [tuple(row) for row in along.tolist()]
