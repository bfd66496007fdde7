"""The functions of the 0.0.1 API that make DICOM objects, under their old import path.

Part of the 0.0.1 API; stays until 2.0.

They are defined in :mod:`dcm_processor_service.derived`, and loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.derived import make_pdf_dicom, make_series_dicom, nifti_to_dicom

__all__ = ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]

__getattr__, __dir__ = loaded_on_use(globals(), dict.fromkeys(__all__, "derived"))
