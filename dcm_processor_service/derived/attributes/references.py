"""Writes references to the sources of an object (PS3.3, sections C.7.6.1.1.4 and C.12.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydicom import Dataset

from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.derived.terminology.codes import code_item
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.values import integer, text
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.values import Header

__all__ = [
    "MOST_REFERENCES",
    "SOURCE_IMAGE",
    "frames_crossed",
    "instance_references",
    "referenced_series",
    "source_images",
    "spread",
    "write_sources",
]

T = TypeVar("T")

MOST_REFERENCES = 16

SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def instance_references(headers: Iterable[Header]) -> list[Dataset]:
    """Returns one item for each instance: its class and its UID."""
    pairs = ((text(header, "SOPClassUID"), text(header, "SOPInstanceUID")) for header in headers)
    return [_reference(sop_class, sop_instance) for sop_class, sop_instance in pairs if sop_class and sop_instance]


def source_images(frames: Sequence[FrameInfo], further: Sequence[Dataset] = ()) -> list[Dataset]:
    """Returns the items of SourceImageSequence (0008,2112): one for each instance, with the frames that were used."""
    by_instance: dict[tuple[str, str], list[int]] = {}
    for frame in frames:
        header = frame.instance.header
        numbers = by_instance.setdefault((text(header, "SOPClassUID"), frame.instance.sop_instance_uid), [])
        if (integer(header, "NumberOfFrames") or 1) > 1:
            numbers.append(frame.number)
    for header in further:
        by_instance.setdefault((text(header, "SOPClassUID"), text(header, "SOPInstanceUID")), [])
    found = []
    for (sop_class, sop_instance), numbers in by_instance.items():
        if not (sop_class and sop_instance):  # a header made by hand has no UIDs to refer to
            continue
        item = _reference(sop_class, sop_instance)
        if numbers:
            item.ReferencedFrameNumber = numbers
        item.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
        found.append(item)
    return found


def referenced_series(headers: Iterable[Header]) -> list[Dataset]:
    """Returns the items of ReferencedSeriesSequence (0008,1115): one for each series, with its instances."""
    by_series: dict[str, list[Header]] = {}
    for header in headers:
        if text(header, "SeriesInstanceUID") and text(header, "SOPInstanceUID"):
            by_series.setdefault(text(header, "SeriesInstanceUID"), []).append(header)
    found = []
    for series_uid, members in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID = series_uid
        item.ReferencedInstanceSequence = instance_references(members)
        found.append(item)
    return found


def spread(things: Sequence[T], most: int = MOST_REFERENCES) -> list[T]:
    """Returns at most ``most`` of the things, evenly spread, with the first and the last.

    Example:
        >>> spread(range(100), most=4)
        [0, 33, 66, 99]
    """
    if len(things) <= most:
        return list(things)
    return [things[round(step * (len(things) - 1) / (most - 1))] for step in range(most)]


def write_sources(dataset: Dataset, source: Source, frames: Sequence[FrameInfo] | None = None) -> None:
    """Writes the source images of an image: SourceImageSequence, and the references to their series and studies.

    Args:
        dataset: Dataset to write to, which already has its StudyInstanceUID.
        source: Series of the source images. If it is an identity without images, nothing is written.
        frames: Source frames that were used; None for all frames of the source. Of more than :data:`MOST_REFERENCES`
            frames, that many are listed, evenly spread: listing hundreds in each of hundreds of slices takes minutes,
            and no viewer needs them.
    """
    if not isinstance(source, SourceSeries):
        return
    used = spread(source.frames if frames is None else frames)
    further = spread(source.further)
    references = source_images(used, further)
    if references:
        dataset.SourceImageSequence = references
    headers = {
        text(header, "SOPInstanceUID"): header for header in (*(frame.instance.header for frame in used), *further)
    }
    own_study = text(dataset, "StudyInstanceUID")
    by_study: dict[str, list[Header]] = {}
    for header in headers.values():
        by_study.setdefault(text(header, "StudyInstanceUID") or own_study, []).append(header)
    own = referenced_series(by_study.pop(own_study, ()))
    if own:
        dataset.ReferencedSeriesSequence = own
    others = []
    for study, members in by_study.items():
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = referenced_series(members)
        others.append(item)
    if others:
        dataset.StudiesContainingOtherReferencedInstancesSequence = others


def frames_crossed(source: SourceSeries, corners: NDArray[np.float64]) -> tuple[FrameInfo, ...]:
    """Returns the source frames whose planes a slice touches or lies next to; all frames if there are none.

    Args:
        source: Series whose stacks are searched, all of them.
        corners: Shape (4, 3): corners of the slice, LPS mm, in the frame of reference of the source.
    """
    found: list[FrameInfo] = []
    for stack in source.stacks:
        normal = slice_normal(stack.first.orientation or ())
        step = abs(float(stack.affine_lps()[:3, 2] @ normal))
        along, places = corners @ normal, stack.origins @ normal
        near = np.flatnonzero((places > along.min() - step) & (places < along.max() + step))
        found += [line[index] for index in near for line in stack.grid]
    return tuple(found) or source.frames
