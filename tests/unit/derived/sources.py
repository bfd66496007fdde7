"""Sources made by hand, and an assembler that shares nothing with the package: it reads files as any viewer would."""

from __future__ import annotations

import io
from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage

from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.models.derived import Producer, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WHEN = datetime(2025, 3, 4, 10, 20, 30, 500000, tzinfo=timezone.utc)
PLAIN = np.diag([0.5, 0.75, 2.5, 1.0])


def make_recipe(role: str = "result", **changes: Any) -> Recipe:
    return Recipe(Producer("liver-volume", "1.4.0", "a" * 24), role=role, **{"created": WHEN, **changes})


def make_headers(
    affine: NDArray[np.float64] = PLAIN, shape: tuple[int, int, int] = (5, 4, 3), volumes: int = 1, **more: Any
) -> list[Dataset]:
    return [_header(affine, shape, k, t, **more) for t in range(volumes) for k in range(shape[2])]


def make_source(
    affine: NDArray[np.float64] = PLAIN, shape: tuple[int, int, int] = (5, 4, 3), volumes: int = 1, **more: Any
) -> SourceSeries:
    return SourceSeries.from_headers(make_headers(affine, shape, volumes, **more))


def _header(affine: NDArray[np.float64], shape: tuple[int, int, int], k: int, t: int, **more: Any) -> Dataset:
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = f"1.2.3.{t + 1}.{k + 1}"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3", "1.2.3.0"
    header.FrameOfReferenceUID = "1.2.3.9"
    header.Modality, header.SeriesNumber, header.InstanceNumber = "CT", 4, t * shape[2] + k + 1
    header.TemporalPositionIdentifier = t + 1
    header.PatientName, header.PatientID = "Test^Patient", "P-1"
    header.Manufacturer = "Scanners"
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    header.Columns, header.Rows = shape[:2]
    header.PixelSpacing = [float(lengths[1]), float(lengths[0])]
    header.ImageOrientationPatient = [*(affine[:3, 0] / lengths[0]), *(affine[:3, 1] / lengths[1])]
    header.ImagePositionPatient = list(affine[:3, 3] + k * affine[:3, 2])
    header.SliceThickness = float(lengths[2])
    for keyword, value in more.items():
        setattr(header, keyword, value)
    return header


def stored(dataset: Dataset) -> Dataset:
    """What an archive gives back: written as a file, read again."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def assemble(datasets: Iterable[Dataset]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Files to (columns, rows, slices, volumes) in their own unit, and the affine, LPS."""
    stacks: dict[float, list[Dataset]] = defaultdict(list)
    for dataset in map(stored, datasets):
        across = np.array(dataset.ImageOrientationPatient, float)
        normal = np.cross(across[:3], across[3:])
        stacks[round(float(normal @ np.array(dataset.ImagePositionPatient, float)), 3)].append(dataset)
    ordered = [sorted(stacks[key], key=lambda each: int(each.InstanceNumber)) for key in sorted(stacks)]
    array = np.stack([np.stack([_values(each) for each in stack], -1) for stack in ordered], 2)
    return array, _affine([stack[0] for stack in ordered])


def _values(dataset: Dataset) -> NDArray[Any]:
    raw = np.frombuffer(dataset.PixelData, _dtype(dataset), count=dataset.Rows * dataset.Columns)
    plane = raw.reshape(dataset.Rows, dataset.Columns).T
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    rescaled: NDArray[Any] = plane if (slope, intercept) == (1, 0) else plane * slope + intercept
    return rescaled


def _dtype(dataset: Dataset) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")


def _affine(slices: list[Dataset]) -> NDArray[np.float64]:
    first, last = slices[0], slices[-1]
    across = np.array(first.ImageOrientationPatient, float)
    affine = np.eye(4)
    affine[:3, 0] = across[:3] * float(first.PixelSpacing[1])
    affine[:3, 1] = across[3:] * float(first.PixelSpacing[0])
    origin, end = (np.array(each.ImagePositionPatient, float) for each in (first, last))
    single = np.cross(across[:3], across[3:]) * float(first.SliceThickness)
    affine[:3, 2] = (end - origin) / (len(slices) - 1) if len(slices) > 1 else single
    affine[:3, 3] = origin
    return affine
