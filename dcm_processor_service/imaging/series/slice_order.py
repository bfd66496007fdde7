"""The port that reads the files of a series: whose they are, headers, slice order, whole datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.geometry import FloatArray, cluster_positions, slice_normal
from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, glance, scan_instance
from dcm_processor_service.imaging.headers.instance_file import contained, read_header, read_instance
from dcm_processor_service.imaging.headers.values import Header, number, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.models.nifti import Glance

__all__ = ["PydicomReader", "order_instances", "temporal_key"]


class PydicomReader:
    """Reads DICOM files with pydicom; the package's :class:`~dcm_processor_service.ports.DicomReader`."""

    def header(self, path: Path) -> Dataset:
        """Reads a file up to its pixel data.

        Raises:
            InvalidSeriesError: The file is no DICOM file or ends inside its header.

        Example:
            >>> from pathlib import Path
            >>> from pydicom.data import get_testdata_file
            >>> header = PydicomReader().header(Path(get_testdata_file("CT_small.dcm")))
            >>> header.Modality, "PixelData" in header
            ('CT', False)
        """
        return read_header(path)

    def glance(self, path: Path) -> Glance | None:
        """Says whose a file is, in a fraction of the time that :meth:`header` takes; None where only that tells."""
        return glance(path)

    def order(self, paths: Sequence[Path]) -> list[Path]:
        """Gives the files of one series in slice order.

        By orientation where there are several, then by position along the slices' normal, then by time, then by
        InstanceNumber, then by SOPInstanceUID. Files without a position come last.

        Raises:
            InvalidSeriesError: A file is no DICOM file or ends inside its header.
        """
        memory = SeriesMemory()
        with contained():
            return [instance.path for instance in order_instances([scan_instance(path, memory) for path in paths])]

    def datasets(self, paths: Sequence[Path]) -> Iterator[Dataset]:
        """Reads whole files, pixel data included, one at a time and in the given order.

        Raises:
            InvalidSeriesError: A file is no DICOM file, or is cut off.
        """
        for path in paths:
            instance = read_instance(path)
            if instance.is_cut_off:
                raise InvalidSeriesError(f"{instance.label} ends inside its pixel data, it was cut off: get it again")
            with contained():
                dataset = dcmread(path, force=True)
                dataset.file_meta.TransferSyntaxUID = instance.transfer_syntax_uid
            yield dataset


def order_instances(instances: Sequence[InstanceFile]) -> list[InstanceFile]:
    """Orders instances as :meth:`PydicomReader.order` does."""
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
    """Gives the number of the orientation, which ``groups`` collects, and the position along its normal in mm."""
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
