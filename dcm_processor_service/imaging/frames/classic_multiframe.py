"""Finds where each frame lies in multi-frame objects without functional groups, as distance from the header's position.

An RT dose grid has a vector of offsets (PS3.3, section C.8.8.3.2). Some programs also write this vector in secondary
captures, to which it does not belong, and point at it with FrameIncrementPointer. A reconstructed nuclear medicine
tomogram states the slice number of each frame, and the step between slices (PS3.3, sections C.8.4.11 and C.8.4.15).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from dcm_processor_service.imaging.frames.rescale_from_header import is_dose
from dcm_processor_service.imaging.headers.values import Header, integer, items, number, numbers, text, texts

if TYPE_CHECKING:
    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["detector", "offsets_mm"]

_UPRIGHT = 0.9999
_PLACE = ("ImageOrientationPatient", "ImagePositionPatient")
_SAME_PLACE_MM = 0.1
# a tomogram whose frames differ in one of these vectors (PS3.3, section C.8.4.8) holds several volumes, not one
_NM_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RotationVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "AngularViewVector",
    "TimeSliceVector",
)
# in a tomogram that is gated, these count what the vectors number
_COUNTS = {"TimeSlotVector": "NumberOfTimeSlots", "RRIntervalVector": "NumberOfRRIntervals"}


def detector(header: Header) -> Header | None:
    """Returns the item that says where a reconstructed nuclear medicine tomogram lies; None for any other object.

    The item is empty if several detectors state different places, and no vector says which of them counts.
    """
    if text(header, "Modality") not in {"NM", "PT"} or not _is_tomogram(header):
        return None
    detectors = items(header, "DetectorInformationSequence")
    named = set(numbers(header, "DetectorVector") or ())
    if len(named) == 1 and (number_of_detector := named.pop()) in range(1, len(detectors) + 1):
        return detectors[int(number_of_detector) - 1]
    placed = [one for one in detectors if any(keyword in one for keyword in _PLACE)]
    if len({tuple(numbers(one, keyword) for keyword in _PLACE) for one in placed}) > 1:
        return Dataset()
    return next(iter((*placed, *detectors)), None)


def offsets_mm(header: Header, normal: FloatArray, count: int) -> tuple[float, ...] | None:
    """Returns the distance of each frame along the normal from the header's position; None if it is not stated."""
    offsets = numbers(header, "GridFrameOffsetVector", count=count)
    if offsets is not None and is_dose(header):
        return _dose_offsets(offsets, normal, numbers(header, "ImagePositionPatient", count=3))
    if offsets is not None and tag_for_keyword("GridFrameOffsetVector") in _pointers(header):
        return offsets if offsets[0] == 0 else None
    slices, step = numbers(header, "SliceVector", count=count), number(header, "SpacingBetweenSlices")
    if slices is None or not step or not _is_tomogram(header) or not _is_one_volume(header, slices):
        return None
    return tuple((number_of_slice - 1) * step for number_of_slice in slices)  # a negative step stacks the other way


def _is_one_volume(header: Header, slices: tuple[float, ...]) -> bool:
    """Returns whether each frame of a tomogram is a slice of its own, and nothing says that it holds several volumes.

    Vectors number what they count from 1 (PS3.3, section C.8.4.8).
    """
    most = integer(header, "NumberOfSlices")
    if len(set(slices)) < len(slices) or min(slices) != 1 or (most is not None and max(slices) > most):
        return False
    pointers = _pointers(header)
    for keyword in _NM_VECTORS:
        values = numbers(header, keyword)
        is_counted = keyword in _COUNTS and (integer(header, _COUNTS[keyword]) or 1) > 1
        is_needed = is_counted or tag_for_keyword(keyword) in pointers
        if len(set(values or ())) > 1 or (values is None and is_needed):
            return False
    return True


def _pointers(header: Header) -> tuple[float, ...]:
    """Returns the tags of the attributes by which the frames of an object differ (PS3.3, section C.7.6.6)."""
    return numbers(header, "FrameIncrementPointer") or ()


def _dose_offsets(
    offsets: tuple[float, ...], normal: FloatArray, position: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    if offsets[0] == 0:
        return offsets
    # such offsets are absolute: z coordinates of transverse planes, the first equal to the z of ImagePositionPatient
    along = float(normal[2])
    if abs(along) < _UPRIGHT or position is None or abs(offsets[0] - position[2]) > _SAME_PLACE_MM:
        return None
    return tuple((offset - offsets[0]) / along for offset in offsets)


def _is_tomogram(header: Header) -> bool:
    return any(value.upper() in {"RECON TOMO", "RECON GATED TOMO"} for value in texts(header, "ImageType"))
