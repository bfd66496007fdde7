"""What was measured of one structure, as a caller says it and as reports are read."""

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
    """What was measured of one structure.

    Example:
        >>> from dcm_processor_service.models import Code
        >>> liver = Finding({"Volume": (1520.5, "ml")}, site=Code("10200004", "SCT", "Liver"))
        >>> liver.measurements["Volume"]
        (1520.5, 'ml')
    """

    measurements: Mapping[str, tuple[float | str, Code | str]] = field(default_factory=dict)
    """Value and unit by quantity, such as ``{"Volume": (1520.5, "ml")}``; quantities are coded concepts by name.

    NaN, or a reason in place of the value, says that there is none: ``"Measurement failure"``, ``"Measurement not
    attempted"``, ``"Value out of range"``, ``"Value unknown"`` and so on (CID 42)."""

    evaluations: Mapping[str, Code | str] = field(default_factory=dict)
    """Answers by question, such as ``{"Image Quality": "Good"}``: coded where both are coded concepts by name, and else
    written as words."""

    finding: Code | str | None = None
    """What it is, a coded concept; looked up by the finding's name when None."""

    site: Code | str | None = None
    """Where it is, a coded concept."""

    laterality: Code | str | None = None
    """On which side, such as ``"Left"``, where neither the site nor the finding's name says it."""

    segment: tuple[Dataset, int] | None = field(default=None, repr=False)
    """The SEG object and the number of the segment in it that was measured; of a finding that was read, what identifies
    the SEG alone."""

    region: Region | Sequence[Region] | None = None
    """Where it was measured: a point, an outline or a box; outlines in several slices, which are one finding; or one
    or several lines, along which its measurements were taken."""

    quantity_codes: Mapping[str, Code] = field(default_factory=dict)
    """Codes for quantities and questions that no table knows, by their name above."""


Measured: TypeAlias = "Finding | Mapping[str, tuple[float | str, Code | str]]"
"""What was measured of one structure: a :class:`Finding`, or its measurements alone."""
