"""The functions of the imaging rooms that the facades call, as the container hands them on.

They have one implementation, so they are no ports. The container makes each group at its first use: who stores a value
loads no imaging library.
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
    """Values to files and back, by the extension of the name."""

    read: Callable[[Path], Any]
    write: Callable[[object, Path], None]


@dataclass(frozen=True)
class ImagingFunctions:
    """DICOM files to headers, reports, volumes and pictures; several files are always those of one series."""

    files_below: Callable[[Path, Path | None], Iterator[Path | LeftOutFile]]
    """Lists the files of a folder at any depth, in order, and what is left out; a second folder is passed over."""

    glance: Callable[[Path], Glance]
    """Reads whose a file is, in a fraction of the time that ``header`` takes where it is an ordinary image."""

    is_same_instance: Callable[[Path, Path], bool]
    """Compares two files of one SOPInstanceUID."""

    attributes: Callable[[Path, Iterable[str]], dict[str, str]]
    """Reads some attributes of a file as text, without those that are absent or malformed."""

    headers: Callable[[Sequence[Path]], Sequence[Dataset]]
    """Reads the headers of a series, in slice order."""

    heads: Callable[[bool], SeriesHeads]
    """Begins to read a series from the beginnings of its files; keeps datasets where headers will be asked for."""

    dataset: Callable[[Path], Dataset]
    order: Callable[[Sequence[Path]], list[Path]]
    inspect: Callable[[Sequence[Path]], SeriesReport]
    volumes: Callable[[Sequence[Path], Policy, float | None], tuple[Volume, ...]]
    """Reads the volumes that a policy finds; ``resample`` fills gaps up to so many mm, or None for two median steps."""

    verify: Callable[[Sequence[Path], Policy, Path], None]
    """Compares the volumes that a policy finds with what dcm2niix makes of the files, in a folder for temporary files;
    raises where they differ."""

    to_source: Callable[[Voxels, Sequence[Path]], SourceSlices]
    """Brings voxels of another grid to the slices of a series."""

    preview: Callable[[Sequence[Path]], bytes]
    """Draws a contact sheet as PNG."""

    picture_of_scan: Callable[[Sequence[Path], int], ResultPicture]
    """Draws a small contact sheet of some of a series' files; the number is how many it has."""

    picture_of_segmentation: Callable[[Dataset, Sequence[Path]], ResultPicture | None]
    """Draws a SEG over the files of the series that it refers to; None where it does not lie on its slices."""

    pictures_of_results: Callable[
        [Mapping[str, tuple[Path, Mapping[int, str]]], Sequence[Path]], Iterator[ResultPicture | None]
    ]
    """Draws one of each file (with its labels' names), labels over the series that they were made from."""


@dataclass(frozen=True)
class DerivedFunctions:
    """Results to DICOM objects: what :mod:`dcm_processor_service.derived` makes, checks and writes."""

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
    """Returns a digest of all that an object holds but the time of its making."""
    save: Callable[[Iterable[Dataset], Path, bool], list[Path]]
    """Writes files; the last argument tells whether those of an earlier run may be replaced."""


@dataclass(frozen=True)
class ReadingFunctions:
    """Derived objects as values again: the files of one series to masks, findings, words and documents."""

    images_needed: Callable[[Sequence[Path]], str]
    """Returns the SeriesInstanceUID of the images that contours need to become masks; empty if none are needed."""

    segments: Callable[[Sequence[Path], Volume | Sequence[Path] | None, Sequence[Path]], tuple[StructureMask, ...]]
    """Reads SEG and RTSTRUCT onto given images, or their own grid; contours onto the images of the last argument."""

    measurements: Callable[[Sequence[Path]], dict[str, Finding]]
    text: Callable[[Sequence[Path]], str]
    documents: Callable[[Sequence[Path]], tuple[bytes, ...]]
