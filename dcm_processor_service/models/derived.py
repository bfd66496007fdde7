"""Options for making a derived object, and descriptions of one that was made.

They are plain values without DICOM objects, so that this module is quickly imported. Names, ids and dates of a patient
never enter a ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ARTIFICIAL_INTELLIGENCE",
    "DIAGNOSTIC_REPORT",
    "MEASUREMENT_REPORT",
    "Code",
    "DocumentOptions",
    "ImageKind",
    "ImageOptions",
    "MapOptions",
    "OverlayOptions",
    "PresentationOptions",
    "Problem",
    "Producer",
    "Recipe",
    "RecipeFields",
    "SegmentationOptions",
    "SeveralSeries",
    "StructureSetOptions",
    "StudyIdentity",
    "ValueMapping",
]

ImageKind: TypeAlias = Literal["source", "ct", "mr", "pt", "sc"]
"""The class of an image; ``source`` means the class of the source if that is CT, MR or PET, else Secondary Capture."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.16, section 5; PS3.3, section 8).

    Example:
        >>> Code("10200004", "SCT", "Liver").meaning
        'Liver'
    """

    value: str
    """CodeValue (0008,0100), such as ``10200004``."""

    scheme: str
    """CodingSchemeDesignator (0008,0102), such as ``SCT``, ``DCM``, ``LN``, ``UCUM``, or ``99…`` for a private one."""

    meaning: str
    """CodeMeaning (0008,0104): the text that a person reads."""


DIAGNOSTIC_REPORT = Code("18748-4", "LN", "Diagnostic imaging report")
MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


@dataclass(frozen=True)
class Producer:
    """The service that makes derived objects; the equipment and algorithm identification of each object names it.

    Example:
        >>> Producer("liver-volume", "1.4.0").manufacturer
        'dcm-processor'
    """

    service_name: str
    version: str
    session_id: str = ""
    """Id of the platform's session. Every UID is computed from it, so that the objects of two sessions have different
    UIDs."""

    job_name: str = ""
    """Name of the job in the service's manifest. Every UID is computed from it, so that two jobs never make the same
    UID."""

    manufacturer: str = "dcm-processor"
    device_serial_number: str = "0"
    """SEG, parametric maps and structured reports must have one (PS3.3, section C.7.5.2)."""


@dataclass(frozen=True)
class Recipe:
    """How a derived object is made, as its header records it.

    Example:
        >>> recipe = Recipe(Producer("liver-volume", "1.4.0"), role="smoothed", series_description="Smoothed")
        >>> recipe.role
        'smoothed'
    """

    producer: Producer
    role: str
    """Name of the object within the job, such as ``smoothed`` or ``report``. Every UID is computed from it: the
    same session, sources, job, role and version of the service lead to the same UIDs on every run."""

    revision: int = 0
    """0 for the first result of a job. A corrected result has the next number and UIDs of its own; it refers to the
    result that it replaces."""

    object_kind: str = ""
    """The sort of object, such as ``SEG``. The UIDs are computed from it, so that two sorts of object with one role
    never have the same UIDs."""

    series_description: str = ""
    """SeriesDescription (0008,103E), at most 64 characters; the role when empty."""

    series_number: int | None = None
    """SeriesNumber (0020,0011); chosen from the source's number and the role when None."""

    derivation: str = ""
    """DerivationDescription (0008,2111), at most 1024 characters; the service, its version and the role when empty."""

    derivation_code: Code | str | None = None
    """DerivationCodeSequence (0008,9215): a concept of CID 7203 by name, such as ``"Smoothing"``, or any code."""

    created: datetime = field(default_factory=_now)
    """When the object was made; must have a time zone."""


class RecipeFields(TypedDict, total=False):
    """The fields of :class:`Recipe` that an author of a callback may set; the session sets the others.

    Example:
        >>> fields: RecipeFields = {"series_description": "Smoothed", "series_number": 901}
    """

    series_description: str
    series_number: int | None
    derivation: str
    derivation_code: Code | str | None
    created: datetime


@dataclass(frozen=True)
class ImageOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.__call__`."""

    kind: ImageKind = "source"
    units: str | None = None
    window: tuple[float, float] | None = None
    same_frame: bool | None = None
    multi_frame: bool = False
    shows_identity: bool = True


@dataclass(frozen=True)
class SegmentationOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.segmentation`."""

    kind: Literal["binary", "fractional", "labelmap"] | None = None
    algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC"
    algorithm_name: str = ""
    algorithm_family: Code | str = ARTIFICIAL_INTELLIGENCE
    content_label: str = "SEGMENTATION"


@dataclass(frozen=True)
class StructureSetOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.rtstruct`."""

    algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC"
    algorithm_name: str = ""
    algorithm_family: Code | str = ARTIFICIAL_INTELLIGENCE
    label: str = ""


@dataclass(frozen=True)
class OverlayOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.overlay`."""

    style: Literal["outline", "fill"] = "outline"
    window: tuple[float, float] | None = None
    text: str = ""
    slices: Sequence[int] | None = None
    shows_identity: bool = False


@dataclass(frozen=True)
class PresentationOptions:
    """Arguments of ``derive.presentation``, which explains them."""

    window: tuple[float, float] | None = None
    text: str = ""
    content_label: str = "ANNOTATIONS"


@dataclass(frozen=True)
class MapOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.parametric_map`."""

    units: Code | str = "1"
    quantity: Code | str | None = None
    label: str = ""
    window: tuple[float, float] | None = None
    recognizable_face: bool = False


@dataclass(frozen=True)
class DocumentOptions:
    """Arguments of :meth:`~dcm_processor_service.session.images.derive.Derive.pdf`."""

    title: str = ""
    concept: Code | str = DIAGNOSTIC_REPORT
    shows_identity: bool = True
    modality: str = "DOC"


@refuses_unknown_keywords
@dataclass(frozen=True)
class StudyIdentity:
    """Patient and study of an object without a DICOM source. An empty value is written as empty, as type 2 allows.

    Example:
        >>> StudyIdentity(patient_id="17", study_instance_uid="2.25.7")
        StudyIdentity(study_instance_uid='2.25.7')
    """

    patient_id: str = field(repr=False)
    study_instance_uid: str
    """StudyInstanceUID (0020,000D) of the study that the object joins, or a new one."""

    patient_name: str = field(default="", repr=False)
    """``family^given^middle^prefix^suffix`` (PS3.5, section 6.2.1)."""

    patient_birth_date: str = field(default="", repr=False)
    """``YYYYMMDD``."""

    patient_sex: str = field(default="", repr=False)
    """``M``, ``F``, ``O`` or empty."""

    study_date: str = field(default="", repr=False)
    study_time: str = field(default="", repr=False)
    study_id: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    referring_physician_name: str = field(default="", repr=False)
    study_description: str = field(default="", repr=False)


@dataclass(frozen=True)
class SeveralSeries:
    """The files of several series from which one result was computed; the argument ``like=[t1, t2]`` is turned into it.

    Example:
        >>> both = SeveralSeries(first=["t1/1.dcm", "t1/2.dcm"], others=["t2/1.dcm"])
        >>> len(both.first), both
        (2, SeveralSeries())
    """

    first: Sequence[Any] = field(repr=False)
    """Paths or headers of the series whose geometry, patient and study the object has."""

    others: Sequence[Any] = field(repr=False)
    """Paths or headers of the other series; the object refers to them."""


@dataclass(frozen=True)
class ValueMapping:
    """The mapping from stored integers to the given values: value = stored * slope + intercept.

    Example:
        >>> ValueMapping(slope=0.5, intercept=0, error_bound=0.25, stored_type="int16").is_exact
        False
    """

    slope: float
    intercept: float
    error_bound: float
    """The largest difference between a given value and the value that is read back, in their unit; 0 if there is
    none."""

    stored_type: str
    """``int16``, ``uint16`` or ``uint8``."""

    @property
    def is_exact(self) -> bool:
        """Whether every value is read back as it was given."""
        return self.error_bound == 0


@dataclass(frozen=True)
class Problem:
    """One fault of an object against the DICOM standard.

    Example:
        >>> Problem("(0010,0020)", "PatientID", "type 2 (PS3.3, C.7.1.1)", "add it, empty when unknown").keyword
        'PatientID'
    """

    tag: str
    """Tag, such as ``(0010,0020)``; inside sequences the path, such as ``(0040,A043)[0].(0008,0100)``."""

    keyword: str
    rule: str
    """The requirement of the standard, with part and section; holds no value of the object."""

    remedy: str

    about: Literal["object", "source"] = "object"
    """``source`` if the object only repeats a value of its source, such as an identifier that is too long."""
