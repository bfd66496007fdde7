"""Puts the files of one series into slice order: by position along the normal of the slices, then by time."""

from __future__ import annotations

from collections import Counter, defaultdict
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


_ABSENT = float("-inf")
_NOWHERE = 1_000_000
"""The number of the group of instances without an orientation or a position; it comes after all other groups."""


def order_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the files of one series in slice order.

    Files are sorted by orientation if there are several, then by position along the slices' normal, then by the
    attributes that :func:`temporal_key` lists, then by SOPInstanceUID. Files without a position come last. If one of
    several files at one position lacks an attribute other than InstanceNumber, that attribute is not used for files of
    this orientation.

    Raises:
        InvalidSeriesError: A file is not a DICOM file or ends inside its header.
    """
    memory = SeriesMemory()
    with contained():
        return [instance.path for instance in order_instances([scan_instance(path, memory) for path in paths])]


def order_instances(instances: Sequence[InstanceFile]) -> list[InstanceFile]:
    """Orders instances as :func:`order_files` does."""
    groups = _Orientations()
    placed = [_placement(instance.header, groups) for instance in instances]
    steps = _positions_as_steps(placed)
    cells = [(group, step) for (group, _), step in zip(placed, steps, strict=True)]
    times = _stated_by_all(cells, [temporal_key(instance.header) for instance in instances])
    keys = [
        (cell, time, instance.sop_instance_uid, str(instance.path))
        for instance, cell, time in zip(instances, cells, times, strict=True)
    ]
    return [instances[index] for index in sorted(range(len(instances)), key=keys.__getitem__)]


def _stated_by_all(cells: Sequence[tuple[int, int]], times: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Returns the keys of time without those attributes that an instance lacks although its position has several.

    So all positions of an orientation are ordered by the same attributes. InstanceNumber always stays in the keys,
    because without it only the UID would order the instances.
    """
    several = {cell for cell, count in Counter(cells).items() if count > 1}
    lacking: defaultdict[int, set[int]] = defaultdict(set)
    for cell, time in zip(cells, times, strict=True):
        if cell in several:
            lacking[cell[0]].update(column for column, value in enumerate(time[:-1]) if value == _ABSENT)
    return [
        tuple(_ABSENT if column in lacking[group] else value for column, value in enumerate(time))
        for (group, _), time in zip(cells, times, strict=True)
    ]


class _Orientations:
    """The orientations of a series, numbered in the order of first occurrence; nearly equal ones count as one."""

    def __init__(self) -> None:
        self._known: list[tuple[FloatArray, FloatArray]] = []
        self._seen: dict[tuple[float, ...], tuple[int, FloatArray]] = {}

    def number(self, orientation: Sequence[float]) -> tuple[int, FloatArray]:
        """Returns the number of an orientation, and the normal of the first orientation with this number."""
        key = tuple(orientation)
        if key not in self._seen:  # a cache, because most files of a series have one orientation
            self._seen[key] = self._look_up(np.asarray(orientation))
        return self._seen[key]

    def _look_up(self, orientation: FloatArray) -> tuple[int, FloatArray]:
        for position, (known, normal) in enumerate(self._known):
            if np.allclose(known, orientation, atol=1e-3):
                return position, normal
        self._known.append((orientation, slice_normal(orientation)))
        return len(self._known) - 1, self._known[-1][1]


def _placement(header: Header, orientations: _Orientations) -> tuple[int, float]:
    """Returns the number of the orientation, and the position along its normal in mm."""
    orientation = numbers(header, "ImageOrientationPatient", count=6)
    position = numbers(header, "ImagePositionPatient", count=3)
    if orientation is None or position is None:
        return _NOWHERE, 0.0
    group, normal = orientations.number(orientation)
    return group, float(normal @ np.asarray(position))


def _positions_as_steps(placed: Sequence[tuple[int, float]]) -> list[int]:
    """Numbers the positions of each group in ascending order; positions that differ only by rounding share a number."""
    steps = [0] * len(placed)
    for group in {group for group, _ in placed}:
        members = [index for index, (own, _) in enumerate(placed) if own == group]
        labels, _ = cluster_positions(np.array([placed[index][1] for index in members]))
        for index, label in zip(members, labels, strict=True):
            steps[index] = int(label)
    return steps


def temporal_key(header: Header) -> tuple[float, ...]:
    """Returns the values that order instances at one position, most important first; an absent value is ``-inf``.

    They are those of TemporalPositionIdentifier (0020,0100), TriggerTime (0018,1060), EchoTime (0018,0081),
    AcquisitionNumber (0020,0012) and InstanceNumber (0020,0013).
    """
    keywords = ("TemporalPositionIdentifier", "TriggerTime", "EchoTime", "AcquisitionNumber", "InstanceNumber")
    values = (number(header, keyword) for keyword in keywords)
    return tuple(_ABSENT if value is None else value for value in values)
