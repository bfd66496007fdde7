"""The series that an object is derived from: its headers, with the frames and stacks that the inspection finds.

The inspection (:mod:`dcm_processor_service.imaging.series`) finds the positions of frames, and groups and orders them;
this module has no rules of its own for geometry.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.instance_file import InstanceFile, PixelLocation, contained, read_header
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.series.grouping import group_frames, stacks_of
from dcm_processor_service.imaging.series.identity import patient_of
from dcm_processor_service.imaging.series.stack import uniform_runs
from dcm_processor_service.models.derived import SeveralSeries, StudyIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom import Dataset

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack

__all__ = ["Source", "SourceFiles", "SourceSeries", "frames_of_header", "source_series"]

_MOST_FRAMES = 1 << 20


@dataclass(frozen=True)
class SourceSeries:
    """The headers of the series that an object is derived from, and of further instances that were used.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> header = dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True)
        >>> source = SourceSeries.from_headers([header])
        >>> source.modality, source.stacks[0].shape
        ('CT', (128, 128, 1))
    """

    headers: tuple[Dataset, ...] = field(repr=False)
    further: tuple[Dataset, ...] = field(default=(), repr=False)

    @classmethod
    def from_headers(cls, headers: Iterable[Dataset], further: Iterable[Dataset] = ()) -> SourceSeries:
        """Makes a source from headers of a series, read without pixels, in any order; each instance counts once.

        Args:
            headers: Headers of the instances of the series whose patient, study and geometry the object takes.
            further: Headers of other instances that were used, such as those of a second MR sequence; the object refers
                to them as sources, too.

        Raises:
            DerivedObjectError: There is no header, a header lacks a UID, or the headers belong to several studies or
                series.
        """
        own, others = tuple(headers), tuple(further)
        if not own:
            raise DerivedObjectError("a source needs the header of one instance at least: none was given")
        for header in (*own, *others):
            if not text(header, "SOPInstanceUID") or not text(header, "SOPClassUID"):
                raise DerivedObjectError(
                    "a header of the source has no SOPInstanceUID or SOPClassUID, so nothing can refer to it: omit it"
                )
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            found = {text(header, keyword) for header in own}
            if not all(found):
                raise DerivedObjectError(
                    f"a header of the source has no {keyword}, by which archives file the object: write the right "
                    "one into the headers, and give these as like"
                )
            if len(found) > 1:
                raise DerivedObjectError(
                    f"the headers of the source have {len(found)} values of {keyword}: give those of one series, "
                    "and other instances that were used as 'further'"
                )
        patients = {patient_of(header) for header in own}
        if len(patients) > 1:
            raise DerivedObjectError(
                f"the headers of the source belong to {len(patients)} patients, by PatientID, or name, birth date and "
                "sex: give those of one patient"
            )
        _refuse_other_patients(own[0], others)
        return cls(tuple({text(header, "SOPInstanceUID"): header for header in own}.values()), others)

    @property
    def first(self) -> Dataset:
        """The header that patient and study are taken from."""
        return self.headers[0]

    @property
    def modality(self) -> str:
        """Modality (0008,0060)."""
        return text(self.first, "Modality")

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016) of the first instance."""
        return text(self.first, "SOPClassUID")

    @property
    def frame_of_reference_uid(self) -> str:
        """FrameOfReferenceUID (0020,0052); empty where the series has none or several."""
        found = {text(header, "FrameOfReferenceUID") for header in self.headers}
        return found.pop() if len(found) == 1 else ""

    @cached_property
    def uids(self) -> tuple[str, ...]:
        """SOPInstanceUIDs of all sources."""
        return tuple(text(header, "SOPInstanceUID") for header in (*self.headers, *self.further))

    @cached_property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The frames of the series, in the order of its headers; instances that are not images have none."""
        with contained():  # entered once, and not for each header
            return tuple(frame for header in self.headers for frame in frames_of_header(header))

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks that the inspection finds: frames in grids of volumes and slices, the largest first."""
        with contained():
            return tuple(stacks_of(group_frames([frame for frame in self.frames if frame.has_geometry])))

    @cached_property
    def grids(self) -> tuple[Stack, ...]:
        """The stacks, split where the distance of their slices changes; parts that no affine describes are left out."""
        runs = [run for stack in self.stacks for run in (uniform_runs(stack) if stack.is_uneven else [stack])]
        return tuple(run for run in runs if run.is_straight and not run.is_uneven)

    @cached_property
    def _columns(self) -> dict[tuple[str, int], tuple[FrameInfo, ...]]:
        """For each frame with a place, the frames of all volumes at that place, itself first."""
        found: dict[tuple[str, int], tuple[FrameInfo, ...]]
        found = {_key(frame): (frame,) for frame in self.frames if frame.has_geometry}
        for stack in self.stacks:
            for column in zip(*stack.grid, strict=True):
                found.update((_key(frame), (frame, *(one for one in column if one is not frame))) for frame in column)
        return found

    def frame(self, sop_instance_uid: str, number: int) -> FrameInfo | None:
        """Returns the frame of an instance by its number, from 1; None if the series has no such frame with a place."""
        found = self._columns.get((sop_instance_uid, number))
        return None if found is None else found[0]

    def in_all_volumes(self, frame: FrameInfo) -> tuple[FrameInfo, ...]:
        """Returns a frame and, in a 4D series, the frames of the other volumes at its place."""
        return self._columns[_key(frame)]

    def led_by(self, frame: FrameInfo) -> SourceSeries:
        """Returns the same source with the header of a frame first, from which patient, study and class are taken."""
        if frame.instance.header is self.first:
            return self
        return replace(self, headers=tuple(sorted(self.headers, key=lambda one: one is not frame.instance.header)))


def _refuse_other_patients(first: Dataset, others: Iterable[Dataset]) -> None:
    """Refuses further instances with another PatientID, unless another issuer gave it, such as another hospital."""
    own, issuer = text(first, "PatientID"), text(first, "IssuerOfPatientID")
    for other in others:
        stated, by = text(other, "PatientID"), text(other, "IssuerOfPatientID")
        if own and stated and own != stated and not (issuer and by and issuer != by):
            raise DerivedObjectError(
                "the instances that were used as sources belong to several patients, by PatientID: give those of one"
            )


Source: TypeAlias = SourceSeries | StudyIdentity
"""The series that an object is derived from, or the identity of patient and study if there is no DICOM source."""

SourceFiles: TypeAlias = "Sequence[Path] | Sequence[Dataset] | SeveralSeries | StudyIdentity"
"""The files of a series or their headers, in any order, or those of several series; or the identity of patient and
study if there is no DICOM source."""


def source_series(like: SourceFiles) -> Source:
    """Makes the source of an object from files or headers, in any order; an identity is returned unchanged.

    Raises:
        InvalidSeriesError: A file is not a DICOM file, or ends inside its header.
        DerivedObjectError: There is no instance, an instance lacks a UID, or they belong to several studies or series.
    """
    if isinstance(like, StudyIdentity):
        return like
    with contained():  # entered once, and not for each header
        if isinstance(like, SeveralSeries):
            return SourceSeries.from_headers(map(_header, like.first), map(_header, like.others))
        return SourceSeries.from_headers(map(_header, like))


def _header(each: Path | Dataset) -> Dataset:
    return read_header(each) if isinstance(each, Path) else each


def frames_of_header(header: Dataset) -> list[FrameInfo]:
    """Lists the frames of an instance as the inspection does, from the header alone; its pixels may be missing."""
    pixels = PixelLocation(0x7FE00010, "OW", 0, None)
    with contained():
        return frames_of(InstanceFile(Path(), header, _MOST_FRAMES, pixels, ExplicitVRLittleEndian))


def _key(frame: FrameInfo) -> tuple[str, int]:
    return frame.instance.sop_instance_uid, frame.number
