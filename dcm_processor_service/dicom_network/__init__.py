"""Sending: C-STORE, STOW-RS, C-ECHO and storage commitment, over TCP or TLS.

Import the module that is needed: this package loads nothing by itself, ``DicomSender`` only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender

__all__ = ["DicomSender"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("dcm_processor_service.dicom_network.dicom_sender"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
