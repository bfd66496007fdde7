"""Structure sets made by hand, as a planning system writes them, which shares nothing with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Points = Sequence[tuple[float, float]]

__all__ = ["contour", "rectangle", "structure_set", "written_set"]


def rectangle(i0: float, j0: float, i1: float, j1: float) -> Points:
    """The outline of the pixels from (i0, j0) to (i1, j1), on their outer edges."""
    return [(i0 - 0.5, j0 - 0.5), (i1 + 0.5, j0 - 0.5), (i1 + 0.5, j1 + 0.5), (i0 - 0.5, j1 + 0.5)]


def contour(
    affine: NDArray[np.float64], k: float, points: Points, kind: str = "CLOSED_PLANAR", rise: float = 0.0
) -> Dataset:
    """One contour of slice ``k``, whose points are counted in voxels; it rises by so many slices along i."""
    made = Dataset()
    made.ContourGeometricType = kind
    made.NumberOfContourPoints = len(points)
    voxels = np.array([(i, j, k + rise * i, 1.0) for i, j in points])
    world = (voxels @ affine.T)[:, :3].ravel()
    made.ContourData = [format_number_as_ds(float(value)) for value in world]
    return made


def structure_set(
    regions: Mapping[str, Sequence[Dataset]], *, series: Sequence[str] = ("1.2.3.0",), space: str = "1.2.3.9"
) -> Dataset:
    """A structure set with these regions, numbered from 11."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, "1.2.3.55.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.55"
    made.Modality, made.PatientID, made.PatientName = "RTSTRUCT", "P-1", "Test^Patient"
    study, frame = Dataset(), Dataset()
    study.RTReferencedSeriesSequence = [_with(SeriesInstanceUID=uid) for uid in series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = space, [study]
    made.ReferencedFrameOfReferenceSequence = [frame]
    numbered = list(enumerate(regions.items(), start=11))
    made.StructureSetROISequence = [
        _with(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=space, ROIGenerationAlgorithm="MANUAL")
        for number, (name, _) in numbered
    ]
    made.ROIContourSequence = [
        _with(ReferencedROINumber=number, ROIDisplayColor=[255, 0, number], ContourSequence=list(contours))
        for number, (_, contours) in numbered
        if contours
    ]
    made.RTROIObservationsSequence = [
        _with(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="ORGAN")
        for number, _ in numbered
    ]
    return made


def written_set(regions: Mapping[str, Sequence[Dataset]], folder: Path, **more: Any) -> list[Path]:
    path = folder / "structures.dcm"
    structure_set(regions, **more).save_as(path, enforce_file_format=True)
    return [path]


def _with(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
