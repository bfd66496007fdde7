"""References to the sources, as viewers and archives look for them (PS3.3, sections C.7.6.1.1.4 and C.12.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.imaging.attributes import text
from dcm_processor_service.imaging.derived.codes import code_item
from dcm_processor_service.imaging.derived.source import SourceSeries
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.imaging.derived.source import Source, SourceFrame

__all__ = ["SOURCE_IMAGE", "instance_references", "referenced_series", "source_images", "write_instance_reference"]

SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def instance_references(headers: Iterable[Dataset]) -> list[Dataset]:
    """Gives one item for each instance: its class and its UID."""
    pairs = ((text(header, "SOPClassUID"), text(header, "SOPInstanceUID")) for header in headers)
    return [_reference(sop_class, sop_instance) for sop_class, sop_instance in pairs if sop_class and sop_instance]


def source_images(frames: Sequence[SourceFrame], further: Sequence[Dataset] = ()) -> list[Dataset]:
    """Gives the items of SourceImageSequence (0008,2112): one an instance, with the frames used of multi-frame ones."""
    by_instance: dict[tuple[str, str], list[int]] = {}
    for frame in frames:
        numbers = by_instance.setdefault((frame.sop_class_uid, frame.sop_instance_uid), [])
        if frame.frame_number is not None:
            numbers.append(frame.frame_number)
    for header in further:
        by_instance.setdefault((text(header, "SOPClassUID"), text(header, "SOPInstanceUID")), [])
    found = []
    for (sop_class, sop_instance), numbers in by_instance.items():
        if not (sop_class and sop_instance):  # a header made by hand: nothing to refer to
            continue
        item = _reference(sop_class, sop_instance)
        if numbers:
            item.ReferencedFrameNumber = numbers
        item.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
        found.append(item)
    return found


def referenced_series(headers: Iterable[Dataset]) -> list[Dataset]:
    """Gives the items of ReferencedSeriesSequence (0008,1115): the series, each with its instances."""
    by_series: dict[str, list[Dataset]] = {}
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


def write_instance_reference(dataset: Dataset, source: Source) -> None:
    """Writes the common instance reference module: what is of the same study, and what is of others."""
    if not isinstance(source, SourceSeries):
        return
    own_study = text(source.first, "StudyInstanceUID")
    same: list[Dataset] = []
    others: dict[str, list[Dataset]] = {}
    for header in (*source.headers, *source.further):
        study = text(header, "StudyInstanceUID")
        if study in {own_study, ""}:
            same.append(header)
        else:
            others.setdefault(study, []).append(header)
    own = referenced_series(same)
    if own:
        dataset.ReferencedSeriesSequence = own
    if others:
        found = []
        for study, members in others.items():
            item = Dataset()
            item.StudyInstanceUID = study
            item.ReferencedSeriesSequence = referenced_series(members)
            found.append(item)
        dataset.StudiesContainingOtherReferencedInstancesSequence = found
