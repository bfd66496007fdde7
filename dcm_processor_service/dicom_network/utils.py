"""The object makers of the 0.0.1 API, under their old import path; loaded at first use.

Part of the 0.0.1 API; stays until 2.0.

They are defined in :mod:`dcm_processor_service.derived`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.derived import make_pdf_dicom, make_series_dicom, nifti_to_dicom

__all__ = ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]

__getattr__, __dir__ = loaded_on_use(globals(), dict.fromkeys(__all__, "derived"))
