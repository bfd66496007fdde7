"""DICOM objects made from results: images, segmentations, parametric maps, reports, documents.

Each maker takes the result, the source, and a :class:`~dcm_processor_service.models.derived.Recipe`, and gives pydicom
datasets that :func:`save` writes and any sender sends. Names are loaded when they are used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.imaging.derived.document import DocumentOptions, encapsulated_pdf
    from dcm_processor_service.imaging.derived.image import DerivedImage, ImageOptions, derive_image
    from dcm_processor_service.imaging.derived.predecessor import make_pdf_dicom, make_series_dicom, nifti_to_dicom
    from dcm_processor_service.imaging.derived.source import Source, SourceSeries
    from dcm_processor_service.models.derived import Code, Problem, Producer, Recipe, StudyIdentity, ValueMapping

__all__ = [
    "Code",
    "DerivedImage",
    "DocumentOptions",
    "ImageOptions",
    "Problem",
    "Producer",
    "Recipe",
    "Source",
    "SourceSeries",
    "StudyIdentity",
    "ValueMapping",
    "derive_image",
    "encapsulated_pdf",
    "make_pdf_dicom",
    "make_series_dicom",
    "nifti_to_dicom",
]

_MODELS = "dcm_processor_service.models.derived"
_HOME = {
    "Code": _MODELS,
    "DerivedImage": f"{__name__}.image",
    "DocumentOptions": f"{__name__}.document",
    "ImageOptions": f"{__name__}.image",
    "Problem": _MODELS,
    "Producer": _MODELS,
    "Recipe": _MODELS,
    "Source": f"{__name__}.source",
    "SourceSeries": f"{__name__}.source",
    "StudyIdentity": _MODELS,
    "ValueMapping": _MODELS,
    "derive_image": f"{__name__}.image",
    "encapsulated_pdf": f"{__name__}.document",
    "make_pdf_dicom": f"{__name__}.predecessor",
    "make_series_dicom": f"{__name__}.predecessor",
    "nifti_to_dicom": f"{__name__}.predecessor",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
