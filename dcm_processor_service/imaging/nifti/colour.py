"""Colour maps that lie in a patient, as RGB images: a colour a voxel, which no volume holds.

NIfTI-1 has a type for them (``RGB24``, code 128: red, green and blue of 8 bits). Only uncompressed RGB is converted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.series.policies import largest_stack, open_findings, refusal, split_stacks
from dcm_processor_service.imaging.volumes.interop import RGB24
from dcm_processor_service.imaging.volumes.read import read_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
    from dcm_processor_service.models.images.limits import Limits
    from dcm_processor_service.models.images.nifti import Policy

__all__ = ["colour_images"]

_RGB_SAMPLES, _RGB_BITS = 3, 8


def colour_images(task: ConversionTask) -> list[VoxelGrid]:
    """Reads the images of a colour series that the policy asks for; each voxel is of type ``RGB24``.

    Raises:
        InvalidSeriesError: The policy refuses the series, or its pixels are not uncompressed RGB; carries the report.
    """
    stacks = _chosen(task.inspection, task.policy)
    report = task.inspection.report
    told = f"series {report.series_instance_uid} cannot be read: a file of it is damaged, or it needs too much memory"
    with foreign_errors_as(lambda: InvalidSeriesError(told, report)):
        return [read_stack(stack, report, task.limits, _assemble) for stack in stacks]


def _chosen(inspection: Inspection, policy: Policy) -> list[Stack]:
    found = open_findings(inspection, policy)
    others = [finding for finding in found if finding.code != "COLOUR"]
    if others or not inspection.stacks:
        raise refusal(inspection.report, others or found)
    stacks = split_stacks(inspection) if policy in {"split", "largest"} else list(inspection.stacks)
    frames = [frame for stack in stacks for line in stack.grid for frame in line]
    if policy == "resample" or not all(map(_is_plain_rgb, frames)):
        raise refusal(inspection.report, found)  # colours are not interpolated, and palettes are no colours yet
    return [largest_stack(stacks)] if policy == "largest" else stacks


def _is_plain_rgb(frame: FrameInfo) -> bool:
    pixels = frame.pixel_format
    is_rgb = text(frame.places[-1], "PhotometricInterpretation").upper() == "RGB"
    fits = (pixels.samples, pixels.bits_allocated, pixels.bits_stored) == (_RGB_SAMPLES, _RGB_BITS, _RGB_BITS)
    return is_rgb and fits and not frame.instance.is_compressed


def _assemble(
    frames: Sequence[FrameInfo], volumes: int, slices: int, _limits: Limits
) -> tuple[NDArray[Any], list[FrameInfo]]:
    """Returns the colours of frames in the order (t, k), as an array (i, j, k) or (i, j, k, t) of ``RGB24``."""
    pixels = frames[0].pixel_format
    colours = np.empty((len(frames), pixels.rows, pixels.columns, _RGB_SAMPLES), np.uint8)
    by_file: dict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        by_file[id(frame.instance)].append(index)
    for indices in by_file.values():
        instance = frames[indices[0]].instance
        with contained():
            dataset = dcmread(instance.path, force=True)
            dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
            decoder = get_decoder(instance.transfer_syntax_uid)
            for index in indices:
                colours[index], _ = decoder.as_array(dataset, index=frames[index].number - 1)
    array = colours.view(RGB24)[..., 0].reshape(volumes, slices, pixels.rows, pixels.columns).transpose(3, 2, 1, 0)
    return array[..., 0] if volumes == 1 else array, []
