"""DICOM objects made from results: images, segmentations, parametric maps, reports, documents.

Each maker takes the result, the source, and a :class:`~dcm_processor_service.models.derived.Recipe`, and returns
pydicom datasets, which :func:`save` writes to files. Modules are imported when their names are first used (PEP 562).

==========================  ==========================================================================
:func:`derive_image`        an array as CT, MR, PET or Secondary Capture images
:func:`capture_pages`       pictures without a place in the patient
:func:`segmentation`        masks as SEG                                   (extra ``highdicom``)
:func:`structure_set`       masks as outlines, RTSTRUCT
:func:`overlay`             masks in colour over the images, as pictures
:func:`presentation`        outlines, markers and text over the images, as presentation states
:func:`parametric_map`      floating-point values as a parametric map      (extra ``highdicom``)
:func:`measurement_report`  measurements as a TID 1500 structured report   (extra ``highdicom``)
:func:`text_report`         text as a Basic Text structured report
:func:`encapsulated_pdf`    a PDF
:func:`validate`            the rules of the standard that an object breaks
:func:`save`                files, each written whole or not at all
==========================  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import homes, loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.derived.attributes.uids import keyed_uid
    from dcm_processor_service.derived.drawings.overlay import overlay
    from dcm_processor_service.derived.drawings.presentation import Marker, presentation
    from dcm_processor_service.derived.drawings.structure_set import structure_set
    from dcm_processor_service.derived.function_api import make_pdf_dicom, make_series_dicom, nifti_to_dicom
    from dcm_processor_service.derived.inputs import Voxels, source_of, voxels_of
    from dcm_processor_service.derived.objects.encapsulated_pdf import encapsulated_pdf
    from dcm_processor_service.derived.objects.image import DerivedImage, derive_image
    from dcm_processor_service.derived.objects.pages import Picture, capture_pages
    from dcm_processor_service.derived.objects.parametric_map import parametric_map
    from dcm_processor_service.derived.objects.reports.finding import Finding
    from dcm_processor_service.derived.objects.reports.measurement_report import measurement_report
    from dcm_processor_service.derived.objects.reports.region import Region
    from dcm_processor_service.derived.objects.reports.text_report import text_report
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment, masks_of, segmentation
    from dcm_processor_service.derived.saving import save
    from dcm_processor_service.derived.source import Source, SourceSeries
    from dcm_processor_service.derived.validation import validate
    from dcm_processor_service.models.derived import (
        Code,
        DocumentOptions,
        ImageOptions,
        MapOptions,
        OverlayOptions,
        PresentationOptions,
        Problem,
        Producer,
        Recipe,
        SegmentationOptions,
        StructureSetOptions,
        StudyIdentity,
        ValueMapping,
    )

__all__ = [
    "Code",
    "DerivedImage",
    "DocumentOptions",
    "Finding",
    "ImageOptions",
    "MapOptions",
    "Marker",
    "OverlayOptions",
    "Picture",
    "PresentationOptions",
    "Problem",
    "Producer",
    "Recipe",
    "Region",
    "Segment",
    "SegmentationOptions",
    "Source",
    "SourceSeries",
    "StructureSetOptions",
    "StudyIdentity",
    "ValueMapping",
    "Voxels",
    "capture_pages",
    "derive_image",
    "encapsulated_pdf",
    "keyed_uid",
    "make_pdf_dicom",
    "make_series_dicom",
    "masks_of",
    "measurement_report",
    "nifti_to_dicom",
    "overlay",
    "parametric_map",
    "presentation",
    "save",
    "segmentation",
    "source_of",
    "structure_set",
    "text_report",
    "validate",
    "voxels_of",
]

_PLACES = {
    "derived.attributes.uids": "keyed_uid",
    "derived.drawings.overlay": "overlay",
    "derived.drawings.presentation": "Marker presentation",
    "derived.drawings.structure_set": "structure_set",
    "derived.function_api": "make_pdf_dicom make_series_dicom nifti_to_dicom",
    "derived.inputs": "Voxels source_of voxels_of",
    "derived.objects.encapsulated_pdf": "encapsulated_pdf",
    "derived.objects.image": "DerivedImage derive_image",
    "derived.objects.reports.finding": "Finding",
    "derived.objects.reports.measurement_report": "measurement_report",
    "derived.objects.pages": "Picture capture_pages",
    "derived.objects.parametric_map": "parametric_map",
    "derived.objects.reports.region": "Region",
    "derived.objects.segmentations.segmentation": "Segment masks_of segmentation",
    "derived.objects.reports.text_report": "text_report",
    "derived.saving": "save",
    "derived.source": "Source SourceSeries",
    "derived.validation": "validate",
    "models.derived": (
        "Code DocumentOptions ImageOptions MapOptions OverlayOptions PresentationOptions Problem "
        "Producer Recipe SegmentationOptions StructureSetOptions StudyIdentity ValueMapping"
    ),
}
"""The names of each module."""

__getattr__, __dir__ = loaded_on_use(globals(), homes(_PLACES))
