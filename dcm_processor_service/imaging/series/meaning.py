"""Finds images whose frames are not slices of a scan, or whose meaning this package does not understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import RTDoseStorage

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import mark
from dcm_processor_service.imaging.frames.vendor import is_private_mosaic
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.headers.private_tags import GE_SEQUENCE_NAMES
from dcm_processor_service.imaging.headers.values import items, numbers, text
from dcm_processor_service.imaging.headers.vendor_elements import vendor_value
from dcm_processor_service.imaging.series.geometry_findings import about, distinct
from dcm_processor_service.models import SeriesFinding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["meaning_findings", "picture_finding", "pictures_among", "stack_meaning_findings"]

# Segmentation Storage and Label Map Segmentation Storage (PS3.4, section B.5)
_SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
_SEGMENTATION = (
    "is a segmentation, whose frames belong to segments that may overlap or lie in different slices: read it as "
    "segments by their numbers, not as a volume"
)
_MOSAIC_LAYOUT = (
    "is a mosaic without the private elements that say how many slices it has and where they lie: get the original "
    "file, which still has these elements"
)
_GE_KINDS = {
    "b0map": "a field map in Hz and its magnitude",
    "b0rf": "a field map in Hz and its magnitude",
    "pepolar": "images of two phase encoding polarities",
}
_PAIR = 2  # volumes
_RANGES = "EnergyWindowRangeSequence"
_ENDS = ("EnergyWindowLowerLimit", "EnergyWindowUpperLimit")
_CSA_GROUP = 0x0029
_CSA = "SIEMENS CSA HEADER"


def pictures_among(frames: Sequence[FrameInfo], placed: Sequence[FrameInfo]) -> list[FrameInfo]:
    """Returns the frames without a place that are of another kind than the slices, such as a screenshot.

    A slice that has lost its position is not returned: it has the SOP class of the other slices, and one sample a
    pixel.

    Args:
        frames: All frames of a series.
        placed: Those of the frames that have a place: the slices.
    """
    kinds = {(text(frame.places[-1], "SOPClassUID"), frame.pixel_format.number_format) for frame in placed}
    classes = {sop_class for sop_class, _ in kinds}
    return [
        frame
        for frame in frames
        if kinds
        and frame.orientation is None
        and frame.position is None
        and (frame.pixel_format.samples > 1 or text(frame.places[-1], "SOPClassUID") not in classes)
    ]


def picture_finding(pictures: Sequence[FrameInfo]) -> list[SeriesFinding]:
    """Returns PICTURE_AMONG_SLICES for images without a place in the patient, among images that have one."""
    if not pictures:
        return []
    message = (
        "has no place in the patient and is of another kind than the slices, like a screenshot: leave it out, or "
        "convert with policy split or largest, which leave it out"
    )
    return [about("PICTURE_AMONG_SLICES", distinct([frame.instance for frame in pictures]), message)]


def meaning_findings(frames: Sequence[FrameInfo]) -> list[SeriesFinding]:
    """Returns SEGMENTATION for segmentations, and MOSAIC_LAYOUT for mosaics that do not say where their slices lie."""
    instances = distinct([frame.instance for frame in frames])
    segmentations = [one for one in instances if text(one.header, "SOPClassUID") in _SEGMENTATIONS]
    mosaics = [one for one in _mosaics(frames) if not _says_its_layout(one)]
    messages = [("SEGMENTATION", segmentations, _SEGMENTATION), ("MOSAIC_LAYOUT", mosaics, _MOSAIC_LAYOUT)]
    return [about(code, found, message) for code, found, message in messages if found]


def _mosaics(frames: Sequence[FrameInfo]) -> list[InstanceFile]:
    return distinct([frame.instance for frame in frames if "MOSAIC" in (mark(frame, "ImageType") or ())])


def _says_its_layout(instance: InstanceFile) -> bool:
    if is_private_mosaic(instance.header):
        return True
    try:
        header = read_header(instance.path)
    except InvalidSeriesError:
        return False
    return any(
        tag.group == _CSA_GROUP and tag.is_private_creator and str(header[tag].value).strip().upper() == _CSA
        for tag in header.keys()  # noqa: SIM118 a dataset iterates over its elements
    )


def stack_meaning_findings(stack: Stack) -> list[SeriesFinding]:
    """Returns UNKNOWN_KIND for several volumes at one place whose meaning only the vendor knows."""
    header = stack.first.places[-1]
    if len(stack.grid) == 1 and not stack.duplicated:
        return []
    kinds = _kinds_at_one_place(stack)
    if kinds:
        message = f"{kinds} lie at one place and are not volumes in time: convert the files of each by themselves"
        return [SeriesFinding(code="UNKNOWN_KIND", message=message, count=len(stack.grid))]
    name = _ge_sequence(header)
    what = next((what for part, what in _GE_KINDS.items() if part in name), "")
    if not name.strip() and _is_pair_of_ge(stack):
        what = "two volumes, and its private name, which says whether one is a field map, is missing"
    if not what:
        return []
    message = (
        f"GE's sequence makes {what}, and no attribute that is understood here identifies the volumes: convert "
        "the files of each volume separately"
    )
    return [SeriesFinding(code="UNKNOWN_KIND", message=message, count=len(stack.grid))]


def _kinds_at_one_place(stack: Stack) -> str:
    """Says which images lie at one place that no time makes different: doses, or energy windows; empty for others."""
    headers = [line[0].places[-1] for line in stack.grid]
    if any(text(header, "SOPClassUID") == RTDoseStorage for header in headers):
        return "several doses, as of beams or plans,"
    return "tomograms of several energy windows" if len({_energy_windows(header) for header in headers}) > 1 else ""


def _energy_windows(header: Header) -> tuple[object, ...]:
    """Returns names and limits of the energy windows of nuclear medicine (PS3.3, section C.8.4.10)."""
    return tuple(
        (
            text(window, "EnergyWindowName"),
            *(numbers(ends, keyword) for ends in items(window, _RANGES) for keyword in _ENDS),
        )
        for window in items(header, "EnergyWindowInformationSequence")
    )


def _is_pair_of_ge(stack: Stack) -> bool:
    """Returns whether a stack of GE's MR has two volumes that are distinguished by nothing but InstanceNumber."""
    header = stack.first.places[-1]
    is_counted = stack.time_mark == "InstanceNumber" and len(stack.grid) == _PAIR
    return is_counted and text(header, "Manufacturer").upper().startswith("GE") and text(header, "Modality") == "MR"


def _ge_sequence(header: Header) -> str:
    """Returns the names of GE's pulse sequence, in lower case; empty for other makers."""
    if not text(header, "Manufacturer").upper().startswith("GE"):
        return ""
    found = [vendor_value(header, tag) for tag in GE_SEQUENCE_NAMES]
    return " ".join(one.decode("latin-1") if isinstance(one, bytes) else str(one or "") for one in found).lower()
