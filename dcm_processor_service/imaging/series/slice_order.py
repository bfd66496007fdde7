"""The slice order of one series: along the normal of its planes, then by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.imaging.geometry import FloatArray, cluster_positions, slice_normal
from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_instance
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import Header, number, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

__all__ = ["order_files", "order_instances", "temporal_key"]


def order_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the files of one series in slice order.

    By orientation where there are several, then by position along the slices' normal, then by time, then by
    InstanceNumber, then by SOPInstanceUID. Files without a position come last.

    Raises:
        InvalidSeriesError: A file is no DICOM file or ends inside its header.
    """
    memory = SeriesMemory()
    with contained():
        return [instance.path for instance in order_instances([scan_instance(path, memory) for path in paths])]


def order_instances(instances: Sequence[InstanceFile]) -> list[InstanceFile]:
    """Orders instances as :func:`order_files` does."""
    groups: list[FloatArray] = []
    placed: list[tuple[int, float]] = []
    for instance in instances:
        group, position = _placement(instance.header, groups)
        placed.append((group, position))
    steps = _positions_as_steps(placed)
    keys = [
        (group, step, *temporal_key(instance.header), instance.sop_instance_uid, str(instance.path))
        for instance, (group, _), step in zip(instances, placed, steps, strict=True)
    ]
    return [instances[index] for index in sorted(range(len(instances)), key=keys.__getitem__)]


def _placement(header: Header, groups: list[FloatArray]) -> tuple[int, float]:
    """Returns the number of the orientation, which ``groups`` collects, and the position along its normal in mm."""
    orientation = numbers(header, "ImageOrientationPatient", count=6)
    position = numbers(header, "ImagePositionPatient", count=3)
    if orientation is None or position is None:
        return len(groups) + 1_000_000, 0.0
    normal = slice_normal(orientation)
    for index, known in enumerate(groups):
        if np.allclose(known, orientation, atol=1e-3):
            return index, float(slice_normal(known) @ np.asarray(position))
    groups.append(np.asarray(orientation))
    return len(groups) - 1, float(normal @ np.asarray(position))


def _positions_as_steps(placed: Sequence[tuple[int, float]]) -> list[int]:
    """Numbers the distinct positions of each group, so that rounding in the header does not decide about time."""
    steps = [0] * len(placed)
    for group in {group for group, _ in placed}:
        members = [index for index, (own, _) in enumerate(placed) if own == group]
        labels, _ = cluster_positions(np.array([placed[index][1] for index in members]))
        for index, label in zip(members, labels, strict=True):
            steps[index] = int(label)
    return steps


def temporal_key(header: Header) -> tuple[float, ...]:
    """What tells apart instances at one position, most telling attribute first; what is absent counts as first.

    TemporalPositionIdentifier (0020,0100), TriggerTime (0018,1060), EchoTime (0018,0081), AcquisitionNumber
    (0020,0012), InstanceNumber (0020,0013).
    """
    keywords = ("TemporalPositionIdentifier", "TriggerTime", "EchoTime", "AcquisitionNumber", "InstanceNumber")
    values = (number(header, keyword) for keyword in keywords)
    return tuple(float("-inf") if value is None else value for value in values)
