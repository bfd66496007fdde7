"""Sending, finding and fetching: C-STORE, C-FIND, C-GET, C-MOVE, DICOMweb, C-ECHO, commitment; over TCP or TLS.

Import the module that is needed: this package loads nothing by itself. ``DicomSender``, and the object makers that the
0.0.1 API has here, are loaded when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender
    from dcm_processor_service.dicom_network.utils import make_pdf_dicom, make_series_dicom, nifti_to_dicom

__all__ = ["DicomSender", "make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "dicom_sender" if name == "DicomSender" else "utils"
    return getattr(import_module(f"dcm_processor_service.dicom_network.{home}"), name)
