"""Makes one record for each frame, in the same form for single-frame and multi-frame files.

A classic file states the place of its slice at the top level. An enhanced file states the place of each frame in
functional groups, which belong to one frame or to all (PS3.3, section C.7.6.16.2); an attribute that no group has may
be at the top level. :mod:`dcm_processor_service.imaging.frames.classic_multiframe` reads older multi-frame objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dcm_processor_service.imaging.frames.classic_multiframe import detector, offsets_mm
from dcm_processor_service.imaging.frames.modality_lut import modality_lut
from dcm_processor_service.imaging.frames.pixel_format import pixel_format
from dcm_processor_service.imaging.frames.rescale_from_header import (
    applied_unit,
    classic_rescale,
    frame_rescale,
    mapped_quantity,
)
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.private_tags import GE_COMPLEX_PART
from dcm_processor_service.imaging.headers.series_labels import LABELS, SETTINGS
from dcm_processor_service.imaging.headers.spelling import spelling
from dcm_processor_service.imaging.headers.values import (
    BINARY_FORMATS,
    Header,
    ScannedHeader,
    in_groups,
    integer,
    item,
    items,
    number,
    numbers,
    text,
    texts,
)
from dcm_processor_service.imaging.headers.vendor_elements import vendor_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dcm_processor_service.imaging.frames.modality_lut import ModalityLut
    from dcm_processor_service.imaging.frames.pixel_format import PixelFormat
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile

__all__ = ["FrameInfo", "dimensions_count_time", "frame_of_reference_uid", "frames_of", "mark", "marks"]


_OFFSET, _OFFSET_LENGTH = re.compile(r"[+-]\d{4}"), 5
_COSINE_NOISE = 0.01
_SMALLEST_ENCODED_FRAME_BYTES = 16
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}  # FloatPixelData and DoubleFloatPixelData


@dataclass(frozen=True)
class FrameInfo:
    """One frame: where it lies and how its stored values become real ones."""

    instance: InstanceFile = field(repr=False)
    number: int
    """Number of the frame in its instance, from 1."""

    places: tuple[Header, ...] = field(repr=False)
    """The datasets with the frame's attributes, in the order in which they are searched: its own functional groups, the
    shared functional groups, the header."""

    pixel_format: PixelFormat
    """How the pixels are stored; frames whose pixels are stored alike share one object."""

    orientation: tuple[float, ...] | None
    """ImageOrientationPatient: two directions, LPS, each scaled to length 1; None for a curved reformation."""

    position: tuple[float, ...] | None
    """ImagePositionPatient: LPS, mm; None for a curved reformation."""

    pixel_spacing: tuple[float, ...] | None
    """Distance between rows, then between columns, mm."""

    slope: float
    intercept: float

    is_rescale_malformed: bool = False
    """Whether the header has a slope or intercept that cannot be read (it then counts as absent), or an intercept
    without a slope."""

    lut: ModalityLut | None = None
    """The table that replaces slope and intercept; None if there is none."""

    @property
    def scaling(self) -> tuple[float, float, ModalityLut | None]:
        """Slope, intercept and table; frames with equal scaling have the same relation of stored to real values."""
        return self.slope, self.intercept, self.lut

    @property
    def has_geometry(self) -> bool:
        """Whether the header says where the frame lies."""
        return self.orientation is not None and self.position is not None and self.pixel_spacing is not None


def frames_of(instance: InstanceFile) -> list[FrameInfo]:
    """Lists the frames of an instance; empty if the instance has no pixels."""
    header = instance.header
    rows = integer(header, "Rows")
    if rows is None or instance.pixels is None:
        return []
    stored_as = pixel_format(header, float_bits=_FLOAT_BITS.get(instance.pixels.tag, 0))
    count = integer(header, "NumberOfFrames")
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")
    if not per_frame and count in {None, 1} and items(header, "SharedFunctionalGroupsSequence"):
        per_frame = (Dataset(),)  # the groups of a single frame may all be shared
    if per_frame:
        return _enhanced_frames(instance, stored_as, per_frame)
    count = max(count or 1, 1)
    frame = _classic_frame(instance, stored_as)
    if count == 1:
        return [frame]
    # a film or a stack of older kind; the limit prevents that a wrong NumberOfFrames fills the memory
    limit = min(count, _most_frames(instance, stored_as))
    offsets = None if frame.orientation is None else offsets_mm(header, slice_normal(frame.orientation), count)
    return [_film_frame(frame, index, offsets) for index in range(limit)]


def _most_frames(instance: InstanceFile, stored_as: PixelFormat) -> int:
    """Returns how many frames a file can hold at most: its size divided by the size of a frame.

    Encoded frames count with the smallest size that one can have.
    """
    is_plain = not instance.is_compressed and instance.transfer_syntax_uid != DeflatedExplicitVRLittleEndian
    least_bytes = max(stored_as.frame_bytes, 1) if is_plain else _SMALLEST_ENCODED_FRAME_BYTES
    return max(instance.file_size_bytes // least_bytes, 1)


def _classic_frame(instance: InstanceFile, stored_as: PixelFormat) -> FrameInfo:
    header = instance.header
    place = Dataset() if _is_curved((header,)) else detector(header) or header
    return FrameInfo(
        instance,
        1,
        (header,),
        stored_as,
        _orientation(place),
        numbers(place, "ImagePositionPatient", count=3),
        _spacing(header),
        *classic_rescale(header),
        modality_lut(header),
    )


def _spacing(dataset: Header) -> tuple[float, ...] | None:
    found = numbers(dataset, "PixelSpacing", count=2)
    return found if found is not None and min(found) > 0 else None


def _orientation(dataset: Header) -> tuple[float, ...] | None:
    found = numbers(dataset, "ImageOrientationPatient", count=6)
    return None if found is None else _directions(found)


@lru_cache(maxsize=256)
def _directions(cosines: tuple[float, ...]) -> tuple[float, ...] | None:
    """Scales two directions, which headers round, to length 1; None if they are not unit vectors at a right angle."""
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(length - 1) for length in lengths) > _COSINE_NOISE or abs(float(row @ column)) > _COSINE_NOISE:
        return None
    return tuple(float(value) for value in (*(row / lengths[0]), *(column / lengths[1])))


def _film_frame(frame: FrameInfo, index: int, offsets: tuple[float, ...] | None) -> FrameInfo:
    if offsets is None or frame.position is None or frame.orientation is None:
        return replace(frame, number=index + 1, orientation=None, position=None)
    normal = slice_normal(frame.orientation)
    position = tuple(float(p + offsets[index] * n) for p, n in zip(frame.position, normal, strict=True))
    return replace(frame, number=index + 1, position=position)


def _enhanced_frames(instance: InstanceFile, stored_as: PixelFormat, per_frame: Iterable[Dataset]) -> list[FrameInfo]:
    header = instance.header
    shared = item(header, "SharedFunctionalGroupsSequence")
    around = (header,) if shared is None else (shared, header)
    return [
        _enhanced_frame(instance, stored_as, index, (group, *around)) for index, group in enumerate(per_frame, start=1)
    ]


def _enhanced_frame(
    instance: InstanceFile, stored_as: PixelFormat, index: int, places: tuple[Header, ...]
) -> FrameInfo:
    orientation = position = None
    if not _is_curved(places):
        orientation = in_groups(
            places, "PlaneOrientationSequence", lambda ds, _: _orientation(ds), "ImageOrientationPatient"
        )
        position = in_groups(
            places, "PlanePositionSequence", lambda ds, key: numbers(ds, key, 3), "ImagePositionPatient"
        )
    return FrameInfo(
        instance,
        index,
        places,
        stored_as,
        orientation,
        position,
        in_groups(places, "PixelMeasuresSequence", lambda ds, _: _spacing(ds), "PixelSpacing"),
        *frame_rescale(places, is_float=stored_as.is_float),
    )


def _is_curved(places: tuple[Header, ...]) -> bool:
    """Returns whether an image is a curved reformation, whose pixels do not lie in the plane that its header states.

    VolumeBasedCalculationTechnique (0008,9207) says so (PS3.3, section C.8.16.2.1.3). VolumetricProperties does not:
    scanners write DISTORTED also into plain scans whose distortion by the gradients is not corrected.
    """
    for place in places[:-1]:
        for macro in (*_FRAME_TYPES, "USImageDescriptionSequence"):
            group = item(place, macro)
            if group is not None and (found := text(group, "VolumeBasedCalculationTechnique")):
                return found.upper() == "CURVED_MPR"
    return text(places[-1], "VolumeBasedCalculationTechnique").upper() == "CURVED_MPR"


def frame_of_reference_uid(frames: Iterable[FrameInfo]) -> str:
    """Returns the FrameOfReferenceUID (0020,0052) that all frames state; empty if they differ or a frame has none."""
    found = {text(frame.places[-1], "FrameOfReferenceUID") for frame in frames}
    return found.pop() if len(found) == 1 else ""


# name of a mark: (functional group, keyword in that group, keyword at the top level, function that reads the value)
_MARKS: dict[str, tuple[str, str, str, Callable[[Header, str], Any]]] = {
    "TemporalPositionIdentifier": (
        "FrameContentSequence",
        "TemporalPositionIndex",
        "TemporalPositionIdentifier",
        number,
    ),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime", "EchoTime", number),
    "EchoNumbers": ("MREchoSequence", "EchoNumbers", "EchoNumbers", number),
    "InversionTime": ("MRModifierSequence", "InversionTimes", "InversionTime", number),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle", number),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime", number),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber", number),
    "AcquisitionTime": ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionTime", text),
    "ContentTime": ("FrameContentSequence", "FrameReferenceDateTime", "ContentTime", text),
    "StackID": ("FrameContentSequence", "StackID", "StackID", text),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue", number),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime", number),
    "RescaleType": ("PixelValueTransformationSequence", "RescaleType", "RescaleType", text),
    "TemporalPositionTimeOffset": (
        "TemporalPositionSequence",
        "TemporalPositionTimeOffset",
        "TemporalPositionTimeOffset",
        number,
    ),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel", "ConvolutionKernel", text),
    "KVP": ("CTXRayDetailsSequence", "KVP", "KVP", number),
    "ASLContext": ("MRArterialSpinLabelingSequence", "ASLContext", "ASLContext", text),
    "FrameLabel": ("FrameContentSequence", "FrameLabel", "FrameLabel", text),
    "VelocityEncodingDirection": (
        "MRVelocityEncodingSequence",
        "VelocityEncodingDirection",
        "VelocityEncodingDirection",
        numbers,
    ),
}


def mark(frame: FrameInfo, name: str) -> Any:
    """Returns a mark: an attribute that may tell a frame apart from another at the same place.

    The mark is None if the header lacks it. A time of day is returned with its date in front. Names are the keys of
    ``_MARKS`` and ``_TOP_LEVEL``, and these: ``ImageType`` (or the frame's FrameType, if it has one),
    ``DimensionIndexValues`` (without the indices that count positions), ``DiffusionGradientOrientation``,
    ``InstanceNumber`` (with the frame number), ``ComplexPart`` (of GE), ``LUTLabel`` (of a parametric map, with its
    unit) and ``MeasurementUnitsCodeSequence`` (the unit of the real world mapping, if that is applied).
    """
    if name in _SPECIAL:
        return _SPECIAL[name](frame)
    if name in _TOP_LEVEL:
        return _TOP_LEVEL[name](frame.places[-1], name) or None
    macro, inner, outer, read = _MARKS[name]
    for place in frame.places[:-1]:
        group = item(place, macro)
        value = read(group, inner) if group is not None else None
        if value not in {None, ""}:
            return _with_zone(frame.places[-1], value) if outer in _DATES else value
    value = read(frame.places[-1], outer)
    if value and outer in _DATES:  # the date is needed because a scan may go on past midnight
        return _with_zone(frame.places[-1], text(frame.places[-1], _DATES[outer]) + value)
    if value in {None, ""} and outer in _OTHERWISE:
        value = read(frame.places[-1], _OTHERWISE[outer])
        value = _with_zone(frame.places[-1], value) if value and outer in _DATES else value
    return None if value == "" else value


def _with_zone(header: Header, when: str) -> str:
    """Appends the header's offset from UTC (0008,0201) to a time, because the offset changes with summer time."""
    offset = text(header, "TimezoneOffsetFromUTC")
    return when + offset if _OFFSET.fullmatch(offset) and not _OFFSET.search(when[-_OFFSET_LENGTH:]) else when


def marks(frames: Sequence[FrameInfo], name: str) -> list[Any]:
    """Returns :func:`mark` of each frame; if frames have equal bytes in an element, it is read only once."""
    shared = {"ImageType", *_TOP_LEVEL, *_MARKS} - {*_DATES, *_OTHERWISE}  # marks that come from one element each
    if name not in shared:
        return [mark(frame, name) for frame in frames]
    known: dict[object, Any] = {}
    found = []
    for frame in frames:
        spelt = spelling(frame.places[-1], name) if len(frame.places) == 1 else None
        if spelt is None:
            found.append(mark(frame, name))
            continue
        if spelt not in known:
            known[spelt] = mark(frame, name)
        found.append(known[spelt])
    return found


def _ge_complex_part(header: Header) -> float | None:
    """Returns the number with which GE marks magnitude, phase, real and imaginary images; None for other makers."""
    if not text(header, "Manufacturer").upper().startswith("GE"):
        return None
    value = vendor_value(header, GE_COMPLEX_PART)
    return float(value) if isinstance(value, int | float) else None


def _mapped_unit(frame: FrameInfo) -> str | None:
    """Returns the unit of the real world mapping, if that is applied.

    It is None for a parametric map, whose mark ``LUTLabel`` has the unit already.
    """
    if isinstance(frame.places[0], ScannedHeader) or mapped_quantity(frame.places) is not None:
        return None
    return applied_unit(frame.places, frame.slope, frame.intercept) or None


_DATES = {"AcquisitionTime": "AcquisitionDate", "ContentTime": "ContentDate"}
# attributes that some writers use at the top level instead of the usual ones
_OTHERWISE = {"AcquisitionTime": "AcquisitionDateTime", "TemporalPositionIdentifier": "TemporalPositionIndex"}


def _zero_or_number(header: Header, keyword: str) -> Any:
    found = number(header, keyword)
    return None if found is None else (found,)


def _by_type(keyword: str) -> Callable[[Header, str], Any]:
    """Returns the function that reads an attribute: :func:`numbers` for binary numbers, :func:`texts` for others.

    The fast scan of a header keeps binary numbers as bytes, so they cannot be read as text.
    """
    return numbers if dictionary_VR(keyword) in BINARY_FORMATS else texts


# marks that headers have only at the top level; numbers are in tuples, so that 0 does not count as absent
_TOP_LEVEL: dict[str, Callable[[Header, str], Any]] = {
    **{keyword: _by_type(keyword) for keyword in (*LABELS, *SETTINGS)},
    "FrameReferenceTime": _zero_or_number,
    "FrameOfReferenceUID": text,
    "Modality": text,
    "PhotometricInterpretation": text,
    "RectilinearPhaseEncodeReordering": text,
    "SOPClassUID": text,
    "Units": text,
}


_FRAME_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XRay3DFrameTypeSequence",
    "ParametricMapFrameTypeSequence",
)


def _image_type(places: tuple[Header, ...]) -> tuple[str, ...]:
    for place in places[:-1]:
        for macro in _FRAME_TYPES:
            group = item(place, macro)
            if group is not None:
                component = text(group, "ComplexImageComponent")
                return (*texts(group, "FrameType"), *((component,) if component else ()))
    return texts(places[-1], "ImageType")


def _dimension_indices(places: tuple[Header, ...]) -> tuple[float, ...] | None:
    content = item(places[0], "FrameContentSequence") if len(places) > 1 else None
    values = numbers(content, "DimensionIndexValues") if content is not None else None
    if values is None:
        return None
    pointers = [integer_tag(dimension) for dimension in items(places[-1], "DimensionIndexSequence")]
    if len(pointers) != len(values):
        return None
    return tuple(value for value, pointer in zip(values, pointers, strict=True) if pointer not in _POSITION_POINTERS)


def dimensions_count_time(frame: FrameInfo) -> bool:
    """Returns whether one of the frame's DimensionIndexValues counts points in time, and all others places."""
    pointers = {integer_tag(dimension) for dimension in items(frame.places[-1], "DimensionIndexSequence")}
    counted = pointers - _POSITION_POINTERS - _STACK_POINTERS
    return len(counted) == 1 and counted <= _TIME_POINTERS


# tags of InStackPositionNumber, ImagePositionPatient and SliceLocation: dimensions that count slices, not volumes
_POSITION_POINTERS = frozenset({0x00209057, 0x00200032, 0x00201041})
# tag of StackID
_STACK_POINTERS = frozenset({0x00209056})
# tags of TemporalPositionIndex, TemporalPositionTimeOffset, FrameAcquisitionDateTime, FrameReferenceDateTime,
# NominalCardiacTriggerDelayTime
_TIME_POINTERS = frozenset({0x00209128, 0x0020930D, 0x00189074, 0x00189151, 0x00209153})


def integer_tag(dimension: Dataset) -> int | None:
    """Returns the tag of the attribute whose values a dimension counts (0020,9165); None if it is not stated."""
    pointer = dimension.get("DimensionIndexPointer")
    return None if pointer is None else int(pointer)


def _gradient(places: tuple[Header, ...]) -> tuple[float, ...] | None:
    for place in places[:-1]:
        diffusion = item(place, "MRDiffusionSequence")
        direction = item(diffusion, "DiffusionGradientDirectionSequence") if diffusion is not None else None
        if direction is not None:
            return numbers(direction, "DiffusionGradientOrientation", count=3)
    return numbers(places[-1], "DiffusionGradientOrientation", count=3)


# marks that need functions of their own
_SPECIAL: dict[str, Callable[[FrameInfo], Any]] = {
    "ComplexPart": lambda frame: _ge_complex_part(frame.places[-1]),
    "DiffusionGradientOrientation": lambda frame: _gradient(frame.places),
    "DimensionIndexValues": lambda frame: _dimension_indices(frame.places),
    "ImageType": lambda frame: _image_type(frame.places) or None,
    "LUTLabel": lambda frame: mapped_quantity(frame.places),
    "MeasurementUnitsCodeSequence": _mapped_unit,
    "InstanceNumber": lambda frame: (number(frame.places[-1], "InstanceNumber") or 0.0, float(frame.number)),
}
