"""Makes the BIDS fields of an MR acquisition, along the axes of the image that is written.

BIDS 1.10, "Magnetic Resonance Imaging", gives directions as axes of the image (i, j or k), whichever way these axes run
in the patient, and lists slice times in the order of the array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
    from dcm_processor_service.models import MrAcquisition
    from dcm_processor_service.models.images.acquisition import Direction

__all__ = ["acquisition_fields"]

_PARALLEL = 0.999
_SIGNIFICANT = 6


def acquisition_fields(volume: VoxelGrid) -> dict[str, Any]:
    """Returns the fields for phase encoding, readout and slice times of a volume, as far as these are known.

    If the volume was resampled, its lines and slices are no longer those that were acquired, and only the direction and
    the multiband factor are returned.
    """
    acquisition = volume.acquisition
    if acquisition is None:
        return {}
    fields: dict[str, Any] = {}
    if acquisition.multiband_factor:
        fields["MultibandAccelerationFactor"] = acquisition.multiband_factor
    along = _axis(volume, acquisition.phase_encoding_lps)
    if along and acquisition.is_polarity_known:
        fields["PhaseEncodingDirection"] = along
    elif along:
        fields["PhaseEncodingAxis"] = along[0]
    return fields | (_of_the_grid(volume, acquisition) if volume.sources else {})


def _of_the_grid(volume: VoxelGrid, acquisition: MrAcquisition) -> dict[str, Any]:
    """Returns the fields that are true only on the grid on which the scanner acquired: readout and slice times."""
    kind = "Estimated" if acquisition.is_readout_estimated else ""
    readout = {"EffectiveEchoSpacing": acquisition.echo_spacing_s, "TotalReadoutTime": acquisition.readout_s}
    fields: dict[str, Any] = {f"{kind}{name}": _rounded(value) for name, value in readout.items() if value}
    along = _axis(volume, acquisition.slices_lps)
    times = acquisition.slice_times_s
    if not along or along[0] != "ijk"[volume.slice_axis] or len(times) != volume.shape[volume.slice_axis]:
        return fields
    if along[0] != "k":
        fields["SliceEncodingDirection"] = along[0]  # BIDS takes k if the field is absent
    return fields | {"SliceTiming": [*(times[::-1] if along.endswith("-") else times)]}


def _axis(volume: VoxelGrid, direction: Direction | None) -> str:
    """Returns the image axis that is parallel to a direction, such as ``j-``; empty if no axis is."""
    if direction is None:
        return ""
    axes = volume.affine_lps[:3, :3] / np.linalg.norm(volume.affine_lps[:3, :3], axis=0)
    along = np.asarray(direction) @ axes
    best = int(np.argmax(np.abs(along)))
    if abs(along[best]) < _PARALLEL:
        return ""
    return "ijk"[best] + ("-" if along[best] < 0 else "")


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT}g}")
