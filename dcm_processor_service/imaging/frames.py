"""One record a frame, alike for files of one frame and of many.

A classic file says at its top level where its slice lies. An enhanced one says it for each frame in functional
groups: per frame, or shared by all (PS3.3, section C.7.6.16.2); what neither has may stand at the top level. An RT dose
grid has offsets along its normal (PS3.3, section C.8.8.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.attributes import Header, integer, item, items, number, numbers, text, texts
from dcm_processor_service.imaging.geometry import slice_normal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydicom import Dataset

    from dcm_processor_service.imaging.reading import InstanceFile

__all__ = ["PIXEL_KEYWORDS", "FrameInfo", "frames_of", "mark"]

PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
)


@dataclass(frozen=True)
class FrameInfo:
    """One frame: where it lies and how its stored values become real ones."""

    instance: InstanceFile
    number: int
    """From 1."""

    places: tuple[Header, ...]
    """Where its attributes stand, nearest first: its functional groups, the shared ones, the header."""

    pixel_format: tuple[int | None, ...]
    """The values of ``PIXEL_KEYWORDS``."""

    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    """ImagePositionPatient: LPS, mm."""

    pixel_spacing: tuple[float, ...] | None
    """Distance between rows, then between columns, mm."""

    slope: float
    intercept: float

    @property
    def has_geometry(self) -> bool:
        """Whether the header says where the frame lies."""
        return self.orientation is not None and self.position is not None and self.pixel_spacing is not None


def frames_of(instance: InstanceFile) -> list[FrameInfo]:
    """Lists the frames of an image; none of an object that is no image."""
    header = instance.header
    rows = integer(header, "Rows")
    if rows is None or instance.pixels is None:
        return []
    pixel_format = tuple(integer(header, keyword) for keyword in PIXEL_KEYWORDS)
    count = integer(header, "NumberOfFrames")
    per_frame = items(header, "PerFrameFunctionalGroupsSequence") if count is not None else ()
    if per_frame:
        return _enhanced_frames(instance, pixel_format, per_frame)
    count = max(count or 1, 1)
    offsets = _dose_offsets(header, count) if count > 1 else None
    frame = _classic_frame(instance, pixel_format)
    if count == 1:
        return [frame]
    # a film, or a stack whose place is unknown; a bogus count must not fill memory
    limit = min(count, max(instance.file_size_bytes, 1))
    return [_film_frame(frame, index, offsets) for index in range(limit)]


def _classic_frame(instance: InstanceFile, pixel_format: tuple[int | None, ...]) -> FrameInfo:
    header = instance.header
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None and text(header, "Modality") == "RTDOSE":
        slope = number(header, "DoseGridScaling")
    return FrameInfo(
        instance,
        1,
        (header,),
        pixel_format,
        numbers(header, "ImageOrientationPatient", count=6),
        numbers(header, "ImagePositionPatient", count=3),
        _spacing(header),
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
    )


def _spacing(dataset: Header) -> tuple[float, ...] | None:
    found = numbers(dataset, "PixelSpacing", count=2)
    return found if found is not None and min(found) > 0 else None


def _dose_offsets(header: Header, count: int) -> tuple[float, ...] | None:
    offsets = numbers(header, "GridFrameOffsetVector", count=count)
    if offsets is None:
        return None
    # relative offsets start with 0; absolute ones are z coordinates, of which the first is the grid's own
    return tuple(offset - offsets[0] for offset in offsets)


def _film_frame(frame: FrameInfo, index: int, offsets: tuple[float, ...] | None) -> FrameInfo:
    position = None
    if offsets is not None and frame.position is not None and frame.orientation is not None:
        normal = slice_normal(frame.orientation)
        position = tuple(float(p + offsets[index] * n) for p, n in zip(frame.position, normal, strict=True))
    return FrameInfo(
        frame.instance,
        index + 1,
        frame.places,
        frame.pixel_format,
        frame.orientation if position else None,
        position,
        frame.pixel_spacing,
        frame.slope,
        frame.intercept,
    )


def _enhanced_frames(
    instance: InstanceFile, pixel_format: tuple[int | None, ...], per_frame: Iterable[Dataset]
) -> list[FrameInfo]:
    header = instance.header
    shared = item(header, "SharedFunctionalGroupsSequence")
    around = (header,) if shared is None else (shared, header)
    return [
        _enhanced_frame(instance, pixel_format, index, (group, *around))
        for index, group in enumerate(per_frame, start=1)
    ]


def _enhanced_frame(
    instance: InstanceFile, pixel_format: tuple[int | None, ...], index: int, places: tuple[Header, ...]
) -> FrameInfo:
    slope = _in_groups(places, "PixelValueTransformationSequence", number, "RescaleSlope")
    intercept = _in_groups(places, "PixelValueTransformationSequence", number, "RescaleIntercept")
    return FrameInfo(
        instance,
        index,
        places,
        pixel_format,
        _in_groups(places, "PlaneOrientationSequence", lambda ds, key: numbers(ds, key, 6), "ImageOrientationPatient"),
        _in_groups(places, "PlanePositionSequence", lambda ds, key: numbers(ds, key, 3), "ImagePositionPatient"),
        _in_groups(places, "PixelMeasuresSequence", lambda ds, _: _spacing(ds), "PixelSpacing"),
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
    )


def _in_groups(places: tuple[Header, ...], macro: str, read: Callable[[Header, str], Any], keyword: str) -> Any:
    """Reads an attribute from a functional group, nearest first, then from the top level."""
    for place in places[:-1]:
        group = item(place, macro)
        value = read(group, keyword) if group is not None else None
        if value is not None:
            return value
    return read(places[-1], keyword)


# name: (functional group, keyword inside it, keyword at the top level, how to read)
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
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel", "ConvolutionKernel", text),
    "KVP": ("CTXRayDetailsSequence", "KVP", "KVP", number),
}


def mark(frame: FrameInfo, name: str) -> Any:
    """Gives what may tell a frame apart from another at the same place; None when the header does not say.

    Besides the attributes above: ``ImageType`` (the frame's own where it has one), ``DimensionIndexValues`` without
    those that count positions, ``DiffusionGradientOrientation``, and ``InstanceNumber`` with the frame number.
    """
    if name == "ImageType":
        return _image_type(frame.places) or None
    if name == "DimensionIndexValues":
        return _dimension_indices(frame.places)
    if name == "DiffusionGradientOrientation":
        return _gradient(frame.places)
    if name == "InstanceNumber":
        return (number(frame.places[-1], "InstanceNumber") or 0.0, float(frame.number))
    macro, inner, outer, read = _MARKS[name]
    for place in frame.places[:-1]:
        group = item(place, macro)
        value = read(group, inner) if group is not None else None
        if value not in {None, ""}:
            return value
    value = read(frame.places[-1], outer)
    return None if value == "" else value


def _image_type(places: tuple[Header, ...]) -> tuple[str, ...]:
    for place in places[:-1]:
        for macro in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
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


# InStackPositionNumber, ImagePositionPatient, SliceLocation: they count slices, not volumes
_POSITION_POINTERS = frozenset({0x00209057, 0x00200032, 0x00201041})


def integer_tag(dimension: Dataset) -> int | None:
    """Gives the attribute that a dimension counts (0020,9165)."""
    pointer = dimension.get("DimensionIndexPointer")
    return None if pointer is None else int(pointer)


def _gradient(places: tuple[Header, ...]) -> tuple[float, ...] | None:
    for place in places[:-1]:
        diffusion = item(place, "MRDiffusionSequence")
        direction = item(diffusion, "DiffusionGradientDirectionSequence") if diffusion is not None else None
        if direction is not None:
            return numbers(direction, "DiffusionGradientOrientation", count=3)
    return numbers(places[-1], "DiffusionGradientOrientation", count=3)
