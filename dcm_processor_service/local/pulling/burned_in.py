"""Finds pictures that may show text of the patient, because of their header or their kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dcm_processor_service.local.pulling.reading import PIXELS, said

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["burned_in_doubt"]

_DRAWN_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",  # ultrasound
        "1.2.840.10008.5.1.4.1.1.6.2",
        "1.2.840.10008.5.1.4.1.1.3.1",  # ultrasound, multi-frame
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.1",
        "1.2.840.10008.5.1.4.1.1.7.2",
        "1.2.840.10008.5.1.4.1.1.7.3",
        "1.2.840.10008.5.1.4.1.1.7.4",
        "1.2.840.10008.5.1.4.1.1.77.1.1",  # visible light: endoscopy and photographs
        "1.2.840.10008.5.1.4.1.1.77.1.1.1",
        "1.2.840.10008.5.1.4.1.1.77.1.4",
        "1.2.840.10008.5.1.4.1.1.77.1.4.1",
    }
)
_DRAWN_MODALITIES = frozenset({"US", "IVUS", "OT", "SC", "ES", "XC", "DOC", "CR", "DX", "RF", "XA", "MG", "OP"})
"""Modalities whose machines write names into pictures, or whose pictures are scans of film and paper."""
_CAPTURE = re.compile(r"(?<![A-Z])(?:PROT|PROTOCOL)(?![A-Z])|SAVE|REPORT|DOSE|SCREEN|CAPTURE")
"""Words in the ImageType of pages of text that a scanner stores among its images."""


def burned_in_doubt(dataset: Dataset) -> bool:
    """Returns whether a picture may show text of the patient.

    It may if BurnedInAnnotation is YES, or if its kind often shows text and BurnedInAnnotation is not NO.
    """
    values = said(dataset, "BurnedInAnnotation")
    drawn = (
        bool(said(dataset, "SOPClassUID") & _DRAWN_CLASSES)
        or bool(said(dataset, "Modality") & _DRAWN_MODALITIES)
        or any(_CAPTURE.search(value) for value in said(dataset, "ImageType"))
    )
    return any(name in dataset for name in PIXELS) and ("YES" in values or (drawn and values != {"NO"}))
