"""Corrects the times of volumes in the files that dcm2niix writes for a 4D series.

dcm2niix states RepetitionTime, or the mean time difference, as the time between volumes, and lists the durations of PET
frames in the order in which it found the files. NIfTI can state only one time between volumes. If volumes do not follow
each other evenly, or their times are unknown, this module sets that time to 0 with an unknown unit.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.volumes.volume_times import VolumeTimes, volume_times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dcm_processor_service.imaging.nifti.dcm2niix_image import Dcm2niixImage
    from dcm_processor_service.imaging.nifti.task import ConversionTask

__all__ = ["set_times"]

_STEP_AT, _UNITS_AT = 92, 123  # pixdim[4] and xyzt_units of a NIfTI-1 header
_MM, _MM_AND_S = 2, 10
_SAME_PART = 0.05
_HEADER_SIZE = struct.pack("<i", 348)


def set_times(image: Dcm2niixImage, task: ConversionTask) -> Mapping[str, Any]:
    """Corrects the time between volumes in an image's file, and returns its metadata with the times of its volumes.

    Args:
        image: The only image that dcm2niix made of a series; its file is uncompressed.
        task: Conversion of the series. If the series is not one 4D stack with as many volumes as the image, nothing is
            changed.
    """
    stacks = task.inspection.stacks
    volumes = image.shape[3] if len(image.shape) > 3 else 1  # noqa: PLR2004 the fourth axis
    if len(stacks) != 1 or volumes == 1 or len(stacks[0].grid) != volumes:
        return image.metadata
    times = volume_times(stacks[0])
    _set_step(image, times.step_s or 0.0)
    # dcm2niix may write volumes of a diffusion series in another order, so their times are unknown
    return _with_frame_times(image.metadata, VolumeTimes() if image.gradients else times)


def _set_step(image: Dcm2niixImage, step_s: float) -> None:
    with image.path.open("r+b") as file:
        if file.read(4) != _HEADER_SIZE:
            return  # the file is not little endian NIfTI-1; dcm2niix writes no such files here
        file.seek(_STEP_AT)
        (stated,) = struct.unpack("<f", file.read(4))
        if not math.isclose(stated, step_s, rel_tol=_SAME_PART):
            file.seek(_STEP_AT)
            file.write(struct.pack("<f", step_s))
        file.seek(_UNITS_AT)
        file.write(bytes([_MM_AND_S if step_s else _MM]))


def _with_frame_times(metadata: Mapping[str, Any], times: VolumeTimes) -> Mapping[str, Any]:
    """Returns metadata with start and duration of each volume, without dcm2niix's lists of times.

    The order of these lists is not certain.
    """
    stated = {"FrameTimesStart": times.starts_s, "FrameDuration": times.durations_s}
    kept = {
        key: value
        for key, value in metadata.items()
        if not (isinstance(value, list) and key in {*stated, "FrameReferenceTime", "DecayFactor"})
    }
    return kept | {key: list(seconds) for key, seconds in stated.items() if seconds}
