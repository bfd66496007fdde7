"""The object makers of the 0.0.1 API, under their old address; loaded when they are asked for.

Part of the 0.0.1 API; stays until 2.0.

They are at home in :mod:`dcm_processor_service.derived`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.derived import make_pdf_dicom, make_series_dicom, nifti_to_dicom

__all__ = ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("dcm_processor_service.derived"), name)
