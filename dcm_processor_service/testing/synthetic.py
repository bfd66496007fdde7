"""Synthetic series of no real person: the kinds that a service meets, with UIDs of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SyntheticKind", "synthetic_series"]

SyntheticKind: TypeAlias = Literal["ct", "mr", "pet", "4d", "enhanced", "dx", "localizer"]
"""The kinds of series that :func:`synthetic_series` makes."""

_ROOT = "1.2.826.0.1.3680043.8.498"
_MOST_SLICES = 31
_SERIES_NUMBERS = {"ct": 1, "mr": 11, "pet": 12, "4d": 13, "enhanced": 14, "dx": 15, "localizer": 16}
"""The SeriesNumber of the first series of each kind in its study."""
_FURTHER = 100
_SLICE_MM = 2
_VOLUMES = 3
_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "enhanced": "1.2.840.10008.5.1.4.1.1.4.1",
}
"""SOP classes, by modality."""


@dataclass(frozen=True)
class _Place:
    """The patient, study and series of an instance, and its size in pixels."""

    study_uid: str
    series_uid: str
    patient: int
    number: int
    rows: int
    columns: int


def synthetic_series(
    *,
    slices: int = 4,
    rows: int = 16,
    columns: int = 16,
    modality: str = "CT",
    kind: SyntheticKind | None = None,
    patient: int = 1,
    study: int = 1,
    series: int = 1,
) -> list[Dataset]:
    """Makes the instances of a series of no real person: axial, 1 mm pixels, 2 mm from slice to slice.

    The value of each pixel is 1000 times the number of its slice, plus its index in the slice modulo 1000, so that a
    wrong order of slices or pixels is noticed. For CT, the rescale slope is 1 and the intercept −1024, as scanners
    write them.

    Args:
        slices: The number of slices; ``dx`` always has one image, and ``localizer`` two.
        rows: The rows of an image.
        columns: The columns of an image.
        modality: CT or MR; used if no kind is given.
        kind: ``ct``, ``mr``; ``pet``, in which each slice has its own rescale slope; ``4d`` with three volumes in time;
            ``enhanced``, one instance of many frames; ``dx``, a radiograph; ``localizer``, a sagittal and a coronal
            image.
        patient: Number of the patient, each with a PatientID of its own.
        study: Number of the patient's study.
        series: Number of the series of this kind in its study.

    Raises:
        ValueError: More than 31 slices, whose values 16 bits cannot hold; or the kind is unknown.

    Example:
        >>> [int(dataset.InstanceNumber) for dataset in synthetic_series(slices=3)]
        [1, 2, 3]
        >>> made = [*synthetic_series(kind="pet"), *synthetic_series(kind="ct"), *synthetic_series(kind="ct", series=2)]
        >>> len({dataset.SeriesInstanceUID for dataset in made}), len({dataset.StudyInstanceUID for dataset in made})
        (3, 1)
    """
    chosen = kind or ("mr" if modality == "MR" else "ct")
    if chosen not in get_args(SyntheticKind):
        raise ValueError(f"a synthetic series is one of {', '.join(get_args(SyntheticKind))}, not {kind!r}")
    if slices > _MOST_SLICES:
        raise ValueError(
            f"a synthetic series has at most {_MOST_SLICES} slices, not {slices}: 16 bits hold no more distinct values"
        )
    study_uid = f"{_ROOT}.{study}" if patient == 1 else f"{_ROOT}.9{patient}.{study}"
    first = 1 if kind is None else _SERIES_NUMBERS[chosen]
    number = first + _FURTHER * (series - 1)
    place = _Place(study_uid, f"{study_uid}.{number}", patient, number, rows, columns)
    if chosen == "4d":
        return [_in_time(place, slices, volume, k) for volume in range(_VOLUMES) for k in range(slices)]
    if chosen == "enhanced":
        return [_enhanced(place, slices)]
    if chosen == "dx":
        return [_radiograph(place)]
    if chosen == "localizer":
        return [_localizer(place, index) for index in range(2)]
    if chosen == "pet":
        return [_pet(place, k, slices) for k in range(slices)]
    return [_slice(place, k, modality if kind is None else chosen.upper()) for k in range(slices)]


def _instance(place: _Place, number: int, modality: str, sop_class: str = "") -> Dataset:
    """Returns a dataset with the attributes that every instance has."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UID(_CLASSES.get(sop_class or modality, _CLASSES["CT"]))
    dataset.SOPInstanceUID = f"{place.series_uid}.{number}"
    dataset.StudyInstanceUID = place.study_uid
    dataset.SeriesInstanceUID = place.series_uid
    dataset.Modality = modality
    suffix = "" if place.patient == 1 else str(place.patient)
    dataset.PatientName = f"Synthetic^Series{suffix}"
    dataset.PatientID = f"SYNTHETIC{suffix}"
    dataset.SeriesNumber, dataset.InstanceNumber = place.number, number
    dataset.Rows, dataset.Columns = place.rows, place.columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    return dataset


def _pixels(place: _Place, number: int) -> Any:
    import numpy as np

    return (np.arange(place.rows * place.columns) % 1000 + 1000 * number).astype("<i2")


def _slice(place: _Place, k: int, modality: str) -> Dataset:
    """Returns an axial slice."""
    dataset = _instance(place, k + 1, modality)
    dataset.FrameOfReferenceUID = f"{place.study_uid}.2"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, _SLICE_MM * k]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], _SLICE_MM
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.PixelData = _pixels(place, k + 1).tobytes()
    return dataset


def _pet(place: _Place, k: int, slices: int) -> Dataset:
    """Returns an axial slice of activity, with a rescale slope of its own (PS3.3, section C.8.9.1)."""
    dataset = _slice(place, k, "PT")
    dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + k / 4, 0
    dataset.Units, dataset.CountsSource, dataset.DecayCorrection = "BQML", "EMISSION", "START"
    dataset.SeriesType, dataset.CorrectedImage = ["STATIC", "IMAGE"], ["DECY", "ATTN"]
    dataset.NumberOfSlices, dataset.ImageIndex = slices, k + 1
    dataset.FrameReferenceTime, dataset.ActualFrameDuration = 0, 120_000
    return dataset


def _in_time(place: _Place, slices: int, volume: int, k: int) -> Dataset:
    """Returns an axial slice of one of several volumes, five seconds apart."""
    dataset = _slice(place, k, "MR")
    number = volume * slices + k + 1
    dataset.InstanceNumber, dataset.SOPInstanceUID = number, f"{place.series_uid}.{number}"
    dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = volume + 1, _VOLUMES
    dataset.AcquisitionNumber, dataset.AcquisitionTime = volume + 1, f"1000{5 * volume:02}"
    dataset.PixelData = (_pixels(place, k + 1) + volume).astype("<i2").tobytes()
    return dataset


def _radiograph(place: _Place) -> Dataset:
    """Returns a projection, which has no position in the patient."""
    dataset = _instance(place, 1, "DX")
    dataset.ImageType, dataset.PresentationIntentType = ["ORIGINAL", "PRIMARY"], "FOR PRESENTATION"
    dataset.ImagerPixelSpacing, dataset.BodyPartExamined, dataset.ViewPosition = [0.5, 0.5], "CHEST", "PA"
    dataset.PixelIntensityRelationship, dataset.PixelRepresentation = "LOG", 0
    dataset.PixelData = _pixels(place, 1).tobytes()
    return dataset


def _localizer(place: _Place, index: int) -> Dataset:
    """Returns a sagittal or a coronal image through the middle."""
    dataset = _slice(place, index, "CT")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]][index]
    dataset.ImagePositionPatient = [[8, 0, 8], [0, 8, 8]][index]
    return dataset


def _enhanced(place: _Place, slices: int) -> Dataset:
    """Returns one instance whose frames are axial slices (Enhanced MR, PS3.3, section A.36)."""
    import numpy as np
    from pydicom import Dataset

    dataset = _instance(place, 1, "MR", "enhanced")
    dataset.FrameOfReferenceUID, dataset.NumberOfFrames = f"{place.study_uid}.2", slices
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared = Dataset()
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [1, 1], _SLICE_MM, _SLICE_MM
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in range(slices):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, _SLICE_MM * k]
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", k + 1, [1, k + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = np.concatenate([_pixels(place, k + 1) for k in range(slices)]).tobytes()
    return dataset
