"""The functions of the imaging packages that the facades call; the container supplies them.

Each function has one implementation, so none needs a port. The container makes each group of functions when it is first
used, so that a job that only stores a value loads no imaging library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike
    from pydicom import Dataset

    from dcm_processor_service.derived.drawings.presentation import Marker
    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.pages import Picture
    from dcm_processor_service.derived.objects.reports.finding import Finding, Measured
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.derived.reading.structure_mask import StructureMask
    from dcm_processor_service.derived.source import SourceFiles
    from dcm_processor_service.imaging.series.heads import SeriesHeads
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models import LeftOutFile, SeriesReport
    from dcm_processor_service.models.derived import (
        Code,
        DocumentOptions,
        ImageOptions,
        MapOptions,
        OverlayOptions,
        PresentationOptions,
        Problem,
        Recipe,
        SegmentationOptions,
        StructureSetOptions,
    )
    from dcm_processor_service.models.images.nifti import Glance, Policy
    from dcm_processor_service.models.images.pictures import ResultPicture
    from dcm_processor_service.models.reports import ReportOptions

__all__ = ["DerivedFunctions", "FileFormats", "ImagingFunctions", "ReadingFunctions"]


@dataclass(frozen=True)
class FileFormats:
    """Writes a value to a file and reads it back, in the format that the file's extension names."""

    read: Callable[[Path], Any]
    write: Callable[[object, Path], None]


@dataclass(frozen=True)
class ImagingFunctions:
    """Turns DICOM files into headers, reports, volumes and pictures; a sequence of files is one series."""

    files_below: Callable[[Path, Path | None], Iterator[Path | LeftOutFile]]
    """Lists the files at any depth of the first folder, in order, and those left out; does not enter the second one."""

    glance: Callable[[Path], Glance]
    """Reads which instance a file holds, and its series; for most images this is much faster than ``attributes``."""

    is_same_instance: Callable[[Path, Path], bool]
    """Compares two files of one SOPInstanceUID."""

    attributes: Callable[[Path, Iterable[str]], dict[str, str]]
    """Reads the named attributes of a file as text; leaves out those that are absent or malformed."""

    headers: Callable[[Sequence[Path]], Sequence[Dataset]]
    """Reads the headers of a series, in slice order."""

    heads: Callable[[bool], SeriesHeads]
    """Makes a reader of a series from the first bytes of its files; True if its ``headers()`` will be called."""

    dataset: Callable[[Path], Dataset]
    order: Callable[[Sequence[Path]], list[Path]]
    inspect: Callable[[Sequence[Path]], SeriesReport]
    volumes: Callable[[Sequence[Path], Policy, float | None], tuple[Volume, ...]]
    """Reads the volumes that a policy finds; ``resample`` fills gaps up to the given mm (None: twice the median step).
    """

    verify: Callable[[Sequence[Path], Policy, Path], None]
    """Compares the volumes that a policy finds with the result of dcm2niix, and raises if they differ. dcm2niix writes
    into the given folder."""

    to_source: Callable[[Voxels, Sequence[Path]], SourceSlices]
    """Moves voxels of another grid onto the slices of a series."""

    preview: Callable[[Sequence[Path]], bytes]
    """Draws a contact sheet as PNG."""

    picture_of_scan: Callable[[Sequence[Path], int], ResultPicture]
    """Draws a small contact sheet of some of a series' files; the number says how many files the series has."""

    picture_of_segmentation: Callable[[Dataset, Sequence[Path]], ResultPicture | None]
    """Draws a SEG over the files of the series that it refers to; None if its frames do not lie on the slices."""

    pictures_of_results: Callable[
        [Mapping[str, tuple[Path, Mapping[int, str]]], Sequence[Path]], Iterator[ResultPicture | None]
    ]
    """Draws a picture of each file; a label map is drawn over the images of the series. The mapping has, by file name,
    the path of each file and the names of its labels."""


@dataclass(frozen=True)
class DerivedFunctions:
    """Turns results into DICOM objects, checks and writes them, with :mod:`dcm_processor_service.derived`."""

    image: Callable[[Voxels | Sequence[Picture], SourceFiles, Recipe, ImageOptions, ArrayLike | None], list[Dataset]]
    segmentation: Callable[
        [
            Mapping[str, Segment | Voxels] | Voxels,
            SourceFiles,
            Recipe,
            SegmentationOptions,
            Mapping[int, Code | str] | str | None,
        ],
        Dataset,
    ]
    segmentations: Callable[
        [
            Mapping[str, Segment | Voxels] | Voxels,
            SourceFiles,
            Recipe,
            SegmentationOptions,
            Mapping[int, Code | str] | str | None,
        ],
        list[Dataset],
    ]
    structure_set: Callable[
        [
            Mapping[str, Segment | Voxels] | Voxels,
            SourceFiles,
            Recipe,
            StructureSetOptions,
            Mapping[int, Code | str] | str | None,
        ],
        Dataset,
    ]
    overlay: Callable[
        [
            Voxels,
            Mapping[str, Segment | Voxels] | Voxels,
            SourceFiles,
            Recipe,
            OverlayOptions,
            Mapping[int, Code | str] | str | None,
        ],
        list[Dataset],
    ]
    presentation: Callable[
        [
            Mapping[str, Segment | Voxels] | Voxels | None,
            Sequence[Marker],
            SourceFiles,
            Recipe,
            PresentationOptions,
            Mapping[int, Code | str] | str | None,
        ],
        list[Dataset],
    ]
    parametric_map: Callable[[Voxels, SourceFiles, Recipe, MapOptions], Dataset]
    measurement_report: Callable[[Mapping[str, Measured], SourceFiles, Recipe, ReportOptions], Dataset]
    text_report: Callable[[Mapping[str, str] | str, SourceFiles, Recipe, ReportOptions], Dataset]
    pdf: Callable[[bytes | str | Path, SourceFiles, Recipe, DocumentOptions], Dataset]
    validate: Callable[[Dataset], tuple[Problem, ...]]
    fingerprint: Callable[[Dataset], str]
    """Returns a digest of an object's whole content except the time when it was made."""
    save: Callable[[Iterable[Dataset], Path, bool], list[Path]]
    """Writes files; the last argument says whether files of an earlier run may be replaced."""


@dataclass(frozen=True)
class ReadingFunctions:
    """Reads the derived objects of one series as values: masks, findings, text and documents."""

    images_needed: Callable[[Sequence[Path]], str]
    """Returns the SeriesInstanceUID of the images that contours need to become masks; empty if none are needed."""

    segments: Callable[[Sequence[Path], Volume | Sequence[Path] | None, Sequence[Path]], tuple[StructureMask, ...]]
    """Reads SEG and RTSTRUCT as masks on the grid of the second argument. If it is None, contours become masks on the
    grid of the images in the last argument."""

    measurements: Callable[[Sequence[Path]], dict[str, Finding]]
    text: Callable[[Sequence[Path]], str]
    documents: Callable[[Sequence[Path]], tuple[bytes, ...]]
