"""The class :class:`Finding`: the measurements and evaluations of one structure, in a report to write or to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from dcm_processor_service.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset

    from dcm_processor_service.derived.objects.reports.region import Region
    from dcm_processor_service.models.derived import Code

__all__ = ["QUANTITY_CONTEXTS", "Finding", "Measured"]

QUANTITY_CONTEXTS = (7469, 7180, 7470, 7461, 218)
"""Context groups (CID) in which the codes of quantities and questions are looked for first."""


@refuses_unknown_keywords
@dataclass(frozen=True)
class Finding:
    """Measurements and evaluations of one structure, for a measurement report.

    Example:
        >>> from dcm_processor_service.models import Code
        >>> liver = Finding({"Volume": (1520.5, "ml")}, site=Code("10200004", "SCT", "Liver"))
        >>> liver.measurements["Volume"]
        (1520.5, 'ml')
    """

    measurements: Mapping[str, tuple[float | str, Code | str]] = field(default_factory=dict)
    """Value and unit by quantity, such as ``{"Volume": (1520.5, "ml")}``; a quantity is the name of a coded concept.

    NaN, or a reason in place of the value, states that the value is missing: ``"Measurement failure"``, ``"Measurement
    not attempted"``, ``"Value out of range"``, ``"Value unknown"`` and so on (CID 42)."""

    evaluations: Mapping[str, Code | str] = field(default_factory=dict)
    """Answers by question, such as ``{"Image Quality": "Good"}``. Question and answer are written as codes if both are
    names of coded concepts, else as text."""

    finding: Code | str | None = None
    """The kind of finding: a coded concept or its name. None: the name under which the report lists the finding is
    looked up."""

    site: Code | str | None = None
    """The part of the body where it is: a coded concept or its name."""

    laterality: Code | str | None = None
    """The side, such as ``"Left"``, if neither the site nor the finding's name states it."""

    segment: tuple[Dataset, int] | None = field(default=None, repr=False)
    """The SEG object and the number of the segment in it that was measured. In a finding that was read from a report,
    the dataset only identifies the SEG."""

    region: Region | Sequence[Region] | None = None
    """The place of the measurement: a point, an outline or a box; or several outlines, in several slices; or one or
    several lines along which the measurements were taken."""

    quantity_codes: Mapping[str, Code] = field(default_factory=dict)
    """Codes for quantities and questions that no table has, by their names in ``measurements`` and ``evaluations``."""


Measured: TypeAlias = "Finding | Mapping[str, tuple[float | str, Code | str]]"
"""A :class:`Finding`, or only its measurements."""
