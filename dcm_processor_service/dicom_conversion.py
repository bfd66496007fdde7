"""The conversions of the 0.0.1 API, under their old import path.

Part of the 0.0.1 API; stays until 2.0.

:mod:`dcm_processor_service.imaging.nifti.sidecar` defines ``get_simplified_json``, and
:mod:`dcm_processor_service.converters` defines ``dicom_series_to_nifti``; both are loaded at their first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.converters import dicom_series_to_nifti
    from dcm_processor_service.imaging.nifti.sidecar import get_simplified_json

__all__ = ["dicom_series_to_nifti", "get_simplified_json"]

_HOME = {"dicom_series_to_nifti": "converters", "get_simplified_json": "imaging.nifti.sidecar"}

__getattr__, __dir__ = loaded_on_use(globals(), _HOME)
