"""Sending, finding and fetching: C-STORE, C-FIND, C-GET, C-MOVE, DICOMweb, C-ECHO, commitment; over TCP or TLS.

Import the module that you need: this package itself loads nothing. ``DicomSender``, and the functions of the 0.0.1 API
that make DICOM objects, are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.lazy_names import homes, loaded_on_use

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender
    from dcm_processor_service.dicom_network.utils import make_pdf_dicom, make_series_dicom, nifti_to_dicom

__all__ = ["DicomSender", "make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]

_PLACES = {
    "dicom_network.dicom_sender": "DicomSender",
    "dicom_network.utils": "make_pdf_dicom make_series_dicom nifti_to_dicom",
}

__getattr__, __dir__ = loaded_on_use(globals(), homes(_PLACES))
