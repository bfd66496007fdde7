"""Reads how an MR volume was acquired from the headers of its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.imaging.acquisition.ge import ge_readout
from dcm_processor_service.imaging.acquisition.mr_scan import MrScan, Readout, functional_groups
from dcm_processor_service.imaging.acquisition.philips import philips_readout
from dcm_processor_service.imaging.acquisition.siemens import siemens_readout
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models import MrAcquisition

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models.images.acquisition import Direction

__all__ = ["mr_acquisition"]

_READERS: dict[str, Callable[[MrScan], Readout]] = {
    "SIEMENS": siemens_readout,
    "GE ": ge_readout,
    "PHILIPS": philips_readout,
}
"""The reader for each beginning of the manufacturer's name."""


def mr_acquisition(
    header: Dataset, stack: Stack, shape: tuple[int, ...], affine_lps: FloatArray
) -> MrAcquisition | None:
    """Reads how a volume was acquired; None if it is not MR.

    Values that the headers do not state stay None or empty: nothing is guessed.

    Args:
        header: Whole header of the first slice's file, without pixels.
        stack: The frames of the volume; in a stack of mosaics, each frame is a whole volume.
        shape: (i, j, k[, t]) of the array.
        affine_lps: Affine of the array, shape (4, 4), to LPS mm.
    """
    with contained():
        if text(header, "Modality").upper() != "MR":
            return None
        scan = MrScan(header, functional_groups(header, stack.first.number), stack, shape)
        reader = next((read for name, read in _READERS.items() if scan.maker.startswith(name)), None)
        found = Readout() if reader is None else reader(scan)
        axis = scan.phase_axis
        if scan.is_3d and scan.echo_train_length <= 1:
            axis = None  # a 3D scan without echo trains encodes phase along two axes, so neither is "the" axis
    sign = -1.0 if found.is_positive is False else 1.0
    return MrAcquisition(
        phase_encoding_lps=None if axis is None else _direction(affine_lps, axis, sign),
        is_polarity_known=axis is not None and found.is_positive is not None,
        echo_spacing_s=found.echo_spacing_s,
        readout_s=found.readout_s,
        is_readout_estimated=found.is_estimated,
        slice_times_s=found.slice_times_s,
        slices_lps=_direction(affine_lps, 2, 1.0) if found.slice_times_s else None,
        multiband_factor=found.multiband_factor,
    )


def _direction(affine_lps: FloatArray, axis: int, sign: float) -> Direction:
    x, y, z = (sign * affine_lps[:3, axis] / np.linalg.norm(affine_lps[:3, axis]) + 0.0).tolist()
    return x, y, z
