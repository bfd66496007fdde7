"""What readers are known not to read, by kind, reader and source."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Limit"]


@dataclass(frozen=True)
class Limit:
    """Why a reader does not read an object."""

    says: str
    """In the documentation."""

    match: str
    """In what the reader says itself; a regular expression."""


TILTED = "CT, GE, tilted gantry"
NOWHERE = ("CR", "US, colour")
MASKS = ("segmentation", "fractional segmentation")
IN_SPACE = (
    "CT, one slice", TILTED, "CT, enhanced", "MR, GE, 4D", "MR, Siemens XA, enhanced", "MR, Philips, enhanced",
    "RT dose",
)  # fmt: skip
ADAPTERS = "cornerstone adapters"

_FRAMES_ONLY = Limit(
    'highdicom reads a tilted-gantry stack as single frames, not as a volume: convert with `policy="resample"` first '
    "if such a reader will be used",
    "do not form a regularly",
)
_NO_PLACE = Limit(
    "highdicom returns frames, but no volume, of an object that has no place in the patient", "no such column"
)
_OUTSIDE = Limit("dcmqi refuses a tilted-gantry stack", "is outside image geometry")
_UNTILTED = Limit("dcmqi writes a volume without the tilt, so its voxels are in the wrong place", "misplaced")
_NO_DIRECTIONS = Limit("dcmqi refuses what has no place in the patient", "Failed to get image directions")
_NO_BODY_PART = Limit(
    "dcmqi crashes on a parametric map that names no body part. Maps made here name that of their source, if it gives "
    "one in AnatomicRegionSequence or BodyPartExamined",
    "ended with -11",
)
_DOSE_FOR_DCMQI = Limit(
    "dcmqi, which is built on DCMTK, does not count RT Dose as an image, and refuses a report that refers to one",
    "Measurements",
)
_DOSE_FOR_DCMTK = Limit(
    "DCMTK does not count RT Dose as an image, and refuses a report that refers to one", "unknown image SOP class"
)
_FRACTIONS = Limit(
    "the adapters read no fractional segmentation: make masks of 0 and 1 for these viewers", "not yet supported"
)
_NO_ORIENTATION = Limit(
    "the adapters fail on what has no place in the patient", "reading 'ImageOrientationPatient'|not yet supported"
)
LIMITS: dict[tuple[str, str, str], Limit] = {
    **{(kind, "highdicom", TILTED): _FRAMES_ONLY for kind in (*MASKS, "parametric map")},
    **{(kind, "highdicom", source): _NO_PLACE for kind in MASKS for source in NOWHERE},
    **{(kind, "dcmqi", TILTED): _OUTSIDE for kind in MASKS},
    **{(kind, "dcmqi", source): _NO_DIRECTIONS for kind in MASKS for source in NOWHERE},
    **{("parametric map", "dcmqi", source): _NO_BODY_PART for source in ("CT, one slice", "RT dose")},
    ("parametric map", "dcmqi", TILTED): _UNTILTED,
    ("measurement report", "dcmqi", "RT dose"): _DOSE_FOR_DCMQI,
    ("measurement report", "dsrdump", "RT dose"): _DOSE_FOR_DCMTK,
    ("text report", "dsrdump", "RT dose"): _DOSE_FOR_DCMTK,
    **{("fractional segmentation", ADAPTERS, source): _FRACTIONS for source in IN_SPACE},
    **{(kind, ADAPTERS, source): _NO_ORIENTATION for kind in MASKS for source in NOWHERE},
}  # fmt: skip
"""A limit that is none any more fails its test, and is taken from the list."""
