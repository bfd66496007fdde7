"""Tells which parts of the body are paired, so that an image of one has a side (PS3.16, annex L, table L-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["may_have_side"]

_PAIRED = frozenset({
    "ACJOINT", "ADRENAL", "ANKLE", "ARM", "AXILLA", "BREAST", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CLAVICLE",
    "EAR", "ELBOW", "EXTREMITY", "EYE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "HAND", "HIP", "HUMERUS",
    "IAC", "KIDNEY", "KNEE", "LEG", "LUNG", "MAXILLA", "ORBIT", "OVARY", "PATELLA", "RADIUS", "RADIUSULNA", "RIB",
    "SCAPULA", "SHOULDER", "SIJOINT", "TESTIS", "THIGH", "THUMB", "TIBIA", "TIBIAFIBULA", "TOE", "ULNA", "WRIST",
    "ZYGOMA",
})  # fmt: skip


def may_have_side(dataset: Dataset) -> bool:
    """Tells whether BodyPartExamined (0018,0015) names a paired part, or nothing names the part.

    Example:
        >>> from pydicom import Dataset
        >>> knee, head = Dataset(), Dataset()
        >>> knee.BodyPartExamined, head.BodyPartExamined = "KNEE", "HEAD"
        >>> may_have_side(knee), may_have_side(head)
        (True, False)
    """
    part = text(dataset, "BodyPartExamined").upper()
    return not part or part in _PAIRED
