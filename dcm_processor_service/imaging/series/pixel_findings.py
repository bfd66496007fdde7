"""Makes findings about the pixels of a series, and about how stored values become real values."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import mark
from dcm_processor_service.imaging.frames.pixel_format import is_whole
from dcm_processor_service.imaging.frames.rescale_from_header import are_mapped_otherwise, real_world_mapping
from dcm_processor_service.imaging.frames.vendor import is_private_mosaic
from dcm_processor_service.imaging.headers.instance_file import open_regular, read_header
from dcm_processor_service.imaging.headers.private_tags import MOSAIC_GROUPS
from dcm_processor_service.imaging.headers.values import ScannedHeader, integer, numbers, text
from dcm_processor_service.imaging.headers.vendor_elements import vendor_elements
from dcm_processor_service.imaging.series.geometry_findings import about, distinct
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.models import SeriesFinding

__all__ = ["pixel_findings"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
_INT32_MAX = np.iinfo(np.int32).max
_MOST_BITS = 64
_SURPLUS_PART = 0.05
_COLOUR = (
    "is in colour, but a volume has one number for each voxel: convert it to NIfTI, whose voxels can be colours, "
    "without verify and with policy strict, split or largest"
)
_COLOURED_VALUES = (
    "has grey values, and above them values that a supplemental palette shows in colours, which mean two different "
    "things: get the series without colours"
)
_RESCALE_FAULT = (
    "has a rescale that is not a number, incomplete, contradictory, all zero, beyond float32, or absent though it is a "
    "dose or a parametric map: correct it"
)
_TRAIT_KEYS = ("PhotometricInterpretation", "ImageType", "Manufacturer")


def pixel_findings(frames: Sequence[FrameInfo]) -> list[SeriesFinding]:
    """Returns TRUNCATED, COLOUR, MOSAIC, UNSUPPORTED_PIXELS, INVALID_RESCALE and other findings about pixels."""
    by_instance = {id(frame.instance): frame for frame in frames}.values()
    cut = [frame.instance for frame in by_instance if frame.instance.is_cut_off or _declares_too_much(frame)]
    surplus = [frame.instance for frame in by_instance if _holds_too_much(frame)]
    traits: dict[Hashable, tuple[str, ...]] = {}
    having: dict[str, list[InstanceFile]] = defaultdict(list)
    for frame in by_instance:
        key = _traits_key(frame)
        if key not in traits:
            traits[key] = _traits(frame)
        for trait in traits[key]:
            having[trait].append(frame.instance)
    usable = {scale: _is_usable(frame) for scale, frame in {_scale(frame): frame for frame in frames}.items()}
    scale = [frame.instance for frame in frames if frame.is_rescale_malformed or not usable[_scale(frame)]]
    messages = [
        ("TRUNCATED", cut, "holds fewer pixels than its header declares: get it again"),
        (
            "COLOUR",
            having["COLOUR"],
            _COLOUR,
        ),
        ("MOSAIC", having["MOSAIC"], "has the slices of a volume side by side in one image: use the engine dcm2niix"),
        ("EMPTY_IMAGE", having["EMPTY_IMAGE"], "has no rows or columns, so no pixels: get it again, or leave it out"),
        (
            "CONTRADICTING_BITS",
            having["CONTRADICTING_BITS"],
            "has BitsAllocated, BitsStored and HighBit that contradict each other (PS3.5, section 8.1.1): correct them",
        ),
        (
            "UNKNOWN_SIGN",
            having["UNKNOWN_SIGN"],
            "does not say whether its values are signed (PixelRepresentation is neither 0 nor 1): correct it",
        ),
        ("SURPLUS_PIXELS", surplus, "holds more pixels than its header declares: find out which of them count"),
        (
            "UNSUPPORTED_PIXELS",
            having["UNSUPPORTED_PIXELS"],
            "has pixels that are not one integer of 8, 16 or 32 bits or one floating point number: use them one by one",
        ),
        (
            "UNSUPPORTED_PIXELS",
            having["COLOURS_AMONG_VALUES"],
            _COLOURED_VALUES,
        ),
        (
            "INVALID_RESCALE",
            distinct(scale),
            _RESCALE_FAULT,
        ),
        ("INCONSISTENT_FRAMES", _miscounted(frames), "describes more or fewer frames than it declares: get it again"),
    ]
    found = [about(code, instances, message) for code, instances, message in messages if instances]
    return [*found, *_table_findings(list(by_instance)), *_mapping_findings(list(by_instance))]


def _traits(frame: FrameInfo) -> tuple[str, ...]:
    """Lists the codes of the findings that follow from how an image's pixels are stored."""
    pixels, header = frame.pixel_format, frame.instance.header
    photometric = text(header, "PhotometricInterpretation").upper()
    in_colour = pixels.samples > 1 or photometric.startswith(("RGB", "YBR", "PALETTE"))
    says_mosaic = "MOSAIC" in (value.upper() for value in _image_type(frame))
    found = {
        "COLOUR": in_colour,
        "EMPTY_IMAGE": pixels.is_empty,
        "CONTRADICTING_BITS": pixels.has_odd_bits,
        "UNKNOWN_SIGN": pixels.lacks_sign,
        "UNSUPPORTED_PIXELS": not in_colour
        and not (pixels.is_supported or pixels.is_empty or pixels.has_odd_bits or pixels.lacks_sign),
        "COLOURS_AMONG_VALUES": not in_colour and _has_colours_among_values(frame),
        "MOSAIC": says_mosaic or is_private_mosaic(header),
    }
    return tuple(code for code, is_so in found.items() if is_so)


def _has_colours_among_values(frame: FrameInfo) -> bool:
    """Returns whether only the stored values from a certain one on have colours (PS3.3, section C.7.6.19).

    A palette for all values shows measurements in colours.
    """
    header, pixels = frame.places[-1], frame.pixel_format
    if text(header, "PixelPresentation").upper() not in {"COLOR", "MIXED"}:
        return False
    table = numbers(header, "RedPaletteColorLookupTableDescriptor", count=3)
    return table is not None and 0 < table[1] < 1 << (pixels.bits_stored - bool(pixels.is_signed))


def _traits_key(frame: FrameInfo) -> Hashable:
    """Returns a key; frames with equal keys have equal traits, so that traits are found only once for most files."""
    header = frame.instance.header
    if not isinstance(header, ScannedHeader):
        return id(frame)
    return header.shared(_TRAIT_KEYS), vendor_elements(header, MOSAIC_GROUPS), frame.pixel_format


def _table_findings(frames: Sequence[FrameInfo]) -> list[SeriesFinding]:
    mapped = [frame for frame in frames if "ModalityLUTSequence" in frame.instance.header]
    unclear = [frame.instance for frame in mapped if not _is_table_alone(frame)]
    if unclear:
        message = "has a table for its values that cannot be read, or both a table and a rescale: correct it"
        return [about("INVALID_MODALITY_LUT", unclear, message)]
    if not mapped:
        return []
    message = "maps its values through a table, which the engine native applies"
    applied = about("MODALITY_LUT", [frame.instance for frame in mapped], message)
    return [applied.model_copy(update={"blocking": False})]


def _mapping_findings(frames: Sequence[FrameInfo]) -> list[SeriesFinding]:
    applied: list[InstanceFile] = []
    left: list[InstanceFile] = []
    for frame in frames:
        if isinstance(frame.instance.header, ScannedHeader):
            continue
        is_applied = real_world_mapping(frame.places) == (frame.slope, frame.intercept, False)
        if is_applied or are_mapped_otherwise(frame.places, frame.slope, frame.intercept):
            (applied if is_applied else left).append(frame.instance)
    # The fast scan skips the mapping unless the modality is NM or PET. Only one file is read again, on behalf of all.
    skipped = [frame for frame in frames if isinstance(frame.instance.header, ScannedHeader) and _has_mapping(frame)]
    skipped.sort(key=lambda frame: frame.instance.whole_header is None)
    if skipped and are_mapped_otherwise((_whole_header(skipped[0]),), skipped[0].slope, skipped[0].intercept):
        left += [frame.instance for frame in skipped]
    messages = [
        ("REAL_WORLD_VALUES", applied, "has its values in a real world mapping, which the engine native applies"),
        (
            "REAL_WORLD_VALUES_LEFT",
            left,
            "also has a mapping to other values (RealWorldValueMappingSequence), which is not applied",
        ),
    ]
    found = [about(code, instances, message) for code, instances, message in messages if instances]
    return [finding.model_copy(update={"blocking": False}) for finding in found]


def _has_mapping(frame: FrameInfo) -> bool:
    return "RealWorldValueMappingSequence" in frame.instance.header


def _whole_header(frame: FrameInfo) -> Header:
    """Returns the whole header of a frame's file, or the scanned header if the file cannot be read again."""
    instance = frame.instance
    if instance.whole_header is not None or not instance.is_there:
        return instance.whole_header or instance.header
    try:
        return read_header(instance.path)
    except InvalidSeriesError:
        return instance.header


def _is_table_alone(frame: FrameInfo) -> bool:
    """Returns whether the table can be read and nothing else changes the values, as a rescale of 1 and 0 does not."""
    return frame.scaling == (1.0, 0.0, frame.lut) and frame.lut is not None and not frame.pixel_format.is_float


def _scale(frame: FrameInfo) -> Hashable:
    return frame.slope, frame.intercept, frame.pixel_format


def _is_usable(frame: FrameInfo) -> bool:
    """Returns whether all rescaled values fit into float32, and different stored values stay different."""
    greatest = 2.0 ** min(frame.pixel_format.bits_stored, _MOST_BITS) * abs(frame.slope) + abs(frame.intercept)
    if abs(frame.slope) < _FLOAT32_TINY or greatest > _FLOAT32_MAX:
        return False
    if greatest <= _INT32_MAX and is_whole(frame.slope, frame.intercept):
        return True
    # a very large intercept is not usable: neighbouring stored values would become the same float32
    return float(np.spacing(np.float32(abs(frame.intercept)))) <= abs(frame.slope)


def _miscounted(frames: Sequence[FrameInfo]) -> list[InstanceFile]:
    """Lists instances with more or fewer frames than NumberOfFrames says; an absent NumberOfFrames counts as 1."""
    described = Counter(id(frame.instance) for frame in frames)
    found = []
    for instance in distinct([frame.instance for frame in frames]):
        declared = integer(instance.header, "NumberOfFrames")
        if described[id(instance)] != (1 if declared is None else declared):
            found.append(instance)
    return found


def _image_type(frame: FrameInfo) -> tuple[str, ...]:
    return tuple(mark(frame, "ImageType") or ())


def _declares_too_much(frame: FrameInfo) -> bool:
    """Returns whether the header declares more pixels than the file holds, or could hold if they are compressed."""
    declared = _declared_bytes(frame)
    if declared is None:
        return not Limits().allow_expansion(
            frame.instance.file_size_bytes, _frames(frame) * frame.pixel_format.frame_bytes
        )
    where = frame.instance.pixels
    return where is not None and where.size_bytes is not None and declared > where.size_bytes


def _holds_too_much(frame: FrameInfo) -> bool:
    """Returns whether the file holds pixels that the header does not declare.

    They may be a second image, or somebody may have changed the size in the header.
    A few bytes more are padding, unless they are whole rows or columns that hold something.
    """
    declared = _declared_bytes(frame)
    where = frame.instance.pixels
    if declared is None or where is None or where.size_bytes is None:
        return False
    surplus, pixels = where.size_bytes - declared, frame.pixel_format
    if surplus > max(1, _SURPLUS_PART * declared):
        return True
    voxel_bytes = pixels.samples * pixels.bits_allocated // 8
    lines = (pixels.columns * voxel_bytes, pixels.rows * voxel_bytes * _frames(frame))
    is_of_lines = surplus > 1 and any(line and surplus % line == 0 for line in lines)
    return is_of_lines and _holds_something(frame.instance, where.offset_bytes + declared, surplus)


def _holds_something(instance: InstanceFile, begin: int, size_bytes: int) -> bool:
    """Returns whether a part of a file is not all zeros."""
    if not instance.is_there:
        return False
    try:
        with open_regular(instance.path) as file:
            file.seek(begin)
            return any(file.read(size_bytes))
    except (OSError, InvalidSeriesError):
        return False


def _declared_bytes(frame: FrameInfo) -> int | None:
    """Returns how many bytes of pixel data the header declares (PS3.5, section 8.1.1); None for compressed data."""
    instance, pixels = frame.instance, frame.pixel_format
    where = instance.pixels
    if where is None or where.size_bytes is None or instance.is_compressed:
        return None
    if instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return None
    samples = pixels.rows * pixels.columns * pixels.samples * _frames(frame)
    if text(instance.header, "PhotometricInterpretation") == "YBR_FULL_422":
        samples = samples * 2 // 3
    return (samples * pixels.bits_allocated + 7) // 8


def _frames(frame: FrameInfo) -> int:
    return max(integer(frame.instance.header, "NumberOfFrames") or 1, 1)
