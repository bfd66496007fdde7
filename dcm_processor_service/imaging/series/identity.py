"""Checks that files of one SeriesInstanceUID share patient, study, frame of reference, modality and unit.

Bad de-identification and careless scripts put different files under one UID. Files of two patients or studies are never
converted together; files that differ in another of these attributes make separate parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.imaging.frames.frame import marks
from dcm_processor_service.imaging.headers.spelling import spelling
from dcm_processor_service.imaging.headers.values import ScannedElement, text
from dcm_processor_service.models import SeriesFinding
from dcm_processor_service.models.subjects import is_decoded, patient_uid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.headers.values import Header

__all__ = ["IDENTITY_MARKS", "identity_findings", "identity_values", "patient_of"]

IDENTITY_MARKS = {
    "FrameOfReferenceUID": (
        "MIXED_FRAME_OF_REFERENCE",
        "frames of reference, so their positions have no common origin",
    ),
    "Modality": ("MIXED_MODALITY", "modalities"),
    "SOPClassUID": ("MIXED_MODALITY", "kinds of image objects"),
    "PhotometricInterpretation": (
        "MIXED_PHOTOMETRIC",
        "photometric interpretations, such as high values shown bright and high values shown dark",
    ),
    "Units": ("MIXED_UNITS", "units"),
    "RescaleType": ("MIXED_UNITS", "rescale types"),
    "MeasurementUnitsCodeSequence": ("MIXED_UNITS", "units of real world mappings"),
}
"""For each attribute that must be equal in all frames of a volume: the code of the finding, and what its message calls
the differing values. Frames that lack the attribute count as equal to the others, if these have only one value."""

_WHOSE = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID")
_UNSPECIFIED = frozenset({"US", "", None})


def identity_values(frames: Sequence[FrameInfo], name: str) -> list[Any]:
    """Returns the value of an identity mark for each frame; if only one value is stated, it applies to all frames."""
    values = marks(frames, name)
    if name == "RescaleType":  # the value US means "unspecified" (PS3.3, section C.11.1.1.2)
        values = [None if value in _UNSPECIFIED else value for value in values]
    stated = set(values) - {None}
    return [next(iter(stated))] * len(values) if len(stated) == 1 else values


def identity_findings(instances: Sequence[InstanceFile], frames: Sequence[FrameInfo]) -> list[SeriesFinding]:
    """Returns MIXED_PATIENT, MIXED_STUDY and the findings of ``IDENTITY_MARKS``, such as MIXED_MODALITY."""
    found = []
    texts = {tuple(_stated(instance.header, keyword) for keyword in _WHOSE) for instance in instances}
    patients = {patient_uid(dict(zip(_WHOSE, values, strict=True))) for values in texts}
    if len(patients) > 1:
        message = (
            f"the files belong to {len(patients)} patients, by PatientID, or name, birth date and sex: files of two "
            "patients are never one volume, convert the files of each patient separately"
        )
        found.append(SeriesFinding(code="MIXED_PATIENT", message=message, count=len(patients)))
    elif keywords := _conflicting(texts):
        message = (
            f"the files have one PatientID, but several {' and '.join(keywords)}: files of two patients are never one "
            "volume, correct what is wrong, or convert the files of each patient separately"
        )
        found.append(SeriesFinding(code="MIXED_PATIENT", message=message, count=len(texts)))
    studies = {values[-1] for values in texts}
    if len(studies) > 1:
        message = f"the files belong to {len(studies)} studies: convert the files of each study separately"
        found.append(SeriesFinding(code="MIXED_STUDY", message=message, count=len(studies)))
    for name, (code, what) in IDENTITY_MARKS.items():
        distinct = len(set(identity_values(frames, name)) - {None})
        if distinct > 1:
            message = f"frames have {distinct} {what} ({name}): convert with policy split or largest"
            found.append(SeriesFinding(code=code, message=message, attribute=name, count=distinct))
    return found


def patient_of(header: Header) -> str:
    """Returns an identifier of the patient whom a header names."""
    return patient_uid({keyword: _stated(header, keyword) for keyword in _WHOSE})


def _stated(header: Header, keyword: str) -> str:
    """Returns a text; if it could not be decoded, its bytes as Latin-1.

    Two texts that could not be decoded may look equal although their bytes differ.
    """
    spelt = spelling(header, keyword)  # before pydicom decodes the element
    found = text(header, keyword)
    if is_decoded(found):
        return found
    content = spelt.content if isinstance(spelt, ScannedElement) else spelt[1] if isinstance(spelt, tuple) else b""
    return content.decode("latin-1").strip(" \0") or found


def _conflicting(texts: set[tuple[str, ...]]) -> list[str]:
    """Lists the attributes in which files of one PatientID contradict each other, ignoring absent values."""
    stated = {
        "names": {_spelled_alike(name) for _, _, name, *_ in texts},
        "birth dates": {born for _, _, _, born, *_ in texts},
        "sexes": {sex.upper() for *_, sex, _ in texts},
    }
    return [what for what, values in stated.items() if len(values - {""}) > 1]


def _spelled_alike(name: str) -> str:
    """Returns the alphabetic part of a name in a form in which case, spaces and empty components do not matter."""
    return " ".join(name.partition("=")[0].casefold().replace("^", " ").split())
