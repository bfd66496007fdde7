"""Makes DICOM objects from the results of a callback; ``session.dicom.derive`` and the command line call them.

Each function takes as ``like`` what :func:`~dcm_processor_service.derived.source.source_series` takes, and raises
DerivedObjectError if its object cannot be made from the result and the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.derived.objects.encapsulated_pdf import encapsulated_pdf
from dcm_processor_service.derived.objects.image import derive_image
from dcm_processor_service.derived.objects.pages import capture_pages
from dcm_processor_service.derived.objects.parametric_map import parametric_map
from dcm_processor_service.derived.objects.reports.measurement_report import measurement_report
from dcm_processor_service.derived.objects.reports.text_report import text_report
from dcm_processor_service.derived.objects.segmentations.segmentation import label_segmentation, segmentation
from dcm_processor_service.derived.source import source_series
from dcm_processor_service.disk import file_faults, open_to_read
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import ImageOptions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pydicom import Dataset

    from dcm_processor_service.derived.drawings.presentation import Marker
    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.pages import Picture
    from dcm_processor_service.derived.objects.reports.finding import Measured
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.derived.source import SourceFiles
    from dcm_processor_service.models.derived import (
        Code,
        DocumentOptions,
        MapOptions,
        OverlayOptions,
        PresentationOptions,
        Recipe,
        SegmentationOptions,
        StructureSetOptions,
    )
    from dcm_processor_service.models.reports import ReportOptions

__all__ = [
    "make_image",
    "make_measurement_report",
    "make_overlay",
    "make_parametric_map",
    "make_pdf",
    "make_presentation",
    "make_segmentation",
    "make_segmentations",
    "make_structure_set",
    "make_text_report",
]


def make_image(
    result: Voxels | Sequence[Picture],
    like: SourceFiles,
    recipe: Recipe,
    options: ImageOptions,
    affine_lps: ArrayLike | None = None,
) -> list[Dataset]:
    """Makes an image series, or pages of pictures where the result is a list of them."""
    source = source_series(like)
    if isinstance(result, Sequence) and not isinstance(result, str):
        of_pages = ImageOptions(multi_frame=options.multi_frame, shows_identity=options.shows_identity)
        if options != of_pages or affine_lps is not None:
            raise DerivedObjectError(
                "pages are pictures without a place: give them multi_frame and shows_identity only"
            )
        how = replace(recipe, object_kind="pages")
        return [
            *capture_pages(
                result, source, how, multi_frame=of_pages.multi_frame, shows_identity=of_pages.shows_identity
            )
        ]
    if not options.shows_identity:
        raise DerivedObjectError(
            "shows_identity is an option of pages, and this result is not a list of pages: leave it out"
        )
    affine = None if affine_lps is None else np.asarray(affine_lps, np.float64)
    how = replace(recipe, object_kind="image" if options.kind == "source" else options.kind)
    return [*derive_image(result, source, how, affine, options).datasets]


def make_segmentation(
    segments: Mapping[str, Segment | Voxels] | Voxels,
    like: SourceFiles,
    recipe: Recipe,
    options: SegmentationOptions,
    labels: Mapping[int, Code | str] | str | None = None,
) -> Dataset:
    """Makes a SEG from masks by name, or from a label map and the names of its labels."""
    how = replace(recipe, object_kind="SEG")
    if isinstance(segments, Mapping):
        if labels is not None:
            raise DerivedObjectError("labels are the names of a label map, and masks have names: leave labels out")
        return segmentation(segments, source_series(like), how, options=options)
    if labels is None:
        raise DerivedObjectError("a label map needs the names of its labels: labels={1: 'liver', 2: 'spleen'}")
    return label_segmentation(segments, labels, source_series(like), how, options=options)


def make_segmentations(
    segments: Mapping[str, Segment | Voxels] | Voxels,
    like: SourceFiles,
    recipe: Recipe,
    options: SegmentationOptions,
    labels: Mapping[int, Code | str] | str | None = None,
) -> list[Dataset]:
    """Makes a SEG for each time point of masks by name, or of a label map and the names of its labels."""
    from dcm_processor_service.derived.objects.segmentations.time_points import (
        segmentations,
    )  # needed only for masks of four axes

    return segmentations(segments, source_series(like), replace(recipe, object_kind="SEG"), labels, options)


def make_structure_set(
    structures: Mapping[str, Segment | Voxels] | Voxels,
    like: SourceFiles,
    recipe: Recipe,
    options: StructureSetOptions,
    labels: Mapping[int, Code | str] | str | None = None,
) -> Dataset:
    """Makes an RT Structure Set from masks by name, or from a label map and the names of its labels."""
    from dcm_processor_service.derived.drawings.structure_set import structure_set  # loads contourpy

    how = replace(recipe, object_kind="RTSTRUCT")
    return structure_set(structures, source_series(like), how, labels, options)


def make_overlay(
    volume: Voxels,
    structures: Mapping[str, Segment | Voxels] | Voxels,
    like: SourceFiles,
    recipe: Recipe,
    options: OverlayOptions,
    labels: Mapping[int, Code | str] | str | None = None,
) -> list[Dataset]:
    """Makes a series of fused pictures from a volume and masks by name, or a label map."""
    from dcm_processor_service.derived.drawings.overlay import overlay  # loads Pillow

    how = replace(recipe, object_kind="overlay")
    return [*overlay(volume, structures, source_series(like), how, labels, options)]


def make_presentation(
    structures: Mapping[str, Segment | Voxels] | Voxels | None,
    markers: Sequence[Marker],
    like: SourceFiles,
    recipe: Recipe,
    options: PresentationOptions,
    labels: Mapping[int, Code | str] | str | None = None,
) -> list[Dataset]:
    """Makes presentation states with outlines of masks, markers and text over the source."""
    from dcm_processor_service.derived.drawings.presentation import presentation  # loads contourpy

    how = replace(recipe, object_kind="presentation")
    return [*presentation(structures, markers, source_series(like), how, labels, options)]


def make_parametric_map(result: Voxels, like: SourceFiles, recipe: Recipe, options: MapOptions) -> Dataset:
    """Makes a parametric map."""
    return parametric_map(result, source_series(like), replace(recipe, object_kind="map"), options=options)


def make_measurement_report(
    findings: Mapping[str, Measured], like: SourceFiles, recipe: Recipe, options: ReportOptions
) -> Dataset:
    """Makes a TID 1500 report."""
    how = replace(recipe, object_kind="measurements")
    return measurement_report(findings, source_series(like), how, options.title, options.observer, options.language)


def make_text_report(
    sections: Mapping[str, str] | str, like: SourceFiles, recipe: Recipe, options: ReportOptions
) -> Dataset:
    """Makes a Basic Text SR."""
    how = replace(recipe, object_kind="text")
    return text_report(sections, source_series(like), how, options.title, options.observer, options.language)


def make_pdf(content: bytes | str | Path, like: SourceFiles, recipe: Recipe, options: DocumentOptions) -> Dataset:
    """Wraps a PDF, given as its bytes or its path."""
    if not isinstance(content, bytes | str | Path):
        raise DerivedObjectError("the content is not a PDF: give the bytes of the file, or its path")
    if not isinstance(content, bytes):
        with open_to_read(Path(content)) as file, file_faults(Path(content), "read"):
            content = file.read()
    return encapsulated_pdf(content, source_series(like), replace(recipe, object_kind="PDF"), options)
