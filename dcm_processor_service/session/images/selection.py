"""Chooses series by rules, with the reason for every series that was not chosen.

Rules are checked against inspection reports, which have the real number, distance and plane of the slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.series_rules import SeriesFacts, first_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.series_rules import SeriesRules

__all__ = ["Selection", "select_series"]


@dataclass(frozen=True)
class Selection:
    """The series that meet all rules, and for each of the others the first rule that it does not meet.

    Example:
        >>> from dcm_processor_service import SeriesReport, SeriesRules
        >>> report = SeriesReport(series_instance_uid="1.2", modality="CT")
        >>> select_series([report], SeriesRules(modality="MR")).reasons
        {'1.2': 'modality is CT, not MR'}
    """

    chosen: tuple[SeriesReport, ...]
    """The chosen series, those that need the most memory first."""

    reasons: dict[str, str]
    """The reason why a series was not chosen, by SeriesInstanceUID."""

    def explain(self) -> str:
        """Returns for each series whether it was chosen, or which rule failed first; without patient attributes."""
        lines = [f"{report.series_instance_uid}: chosen" for report in self.chosen]
        lines += [f"{uid}: {reason}" for uid, reason in self.reasons.items()]
        return "\n".join(lines) or "there are no series to choose from"


def select_series(reports: Iterable[SeriesReport], rules: SeriesRules) -> Selection:
    """Chooses series by rules.

    Example:
        >>> from dcm_processor_service import SeriesReport, SeriesRules
        >>> reports = [SeriesReport(series_instance_uid="1.2", modality="CT"), SeriesReport(series_instance_uid="1.3")]
        >>> selection = select_series(reports, SeriesRules(modality="CT"))
        >>> print(selection.explain())
        1.2: chosen
        1.3: modality is not said, not CT
    """
    chosen, reasons = [], {}
    for report in reports:
        reason = first_failure(facts_of_report(report), rules)
        if reason is None:
            chosen.append(report)
        else:
            reasons[report.series_instance_uid] = reason
    chosen.sort(key=lambda report: (-report.memory_bytes, report.series_instance_uid))
    return Selection(tuple(chosen), reasons)


def facts_of_report(report: SeriesReport) -> SeriesFacts:
    """Returns the values that rules check, from an inspection's report."""
    shape, spacing = report.shape, report.spacing_mm
    return SeriesFacts(
        modalities=(report.modality,) if report.modality else (),
        kind=report.kind.value,
        description=report.description,
        body_part=report.body_part,
        kernel=report.kernel,
        plane=report.parts[0].nearest_plane if report.parts else "",
        slice_count=shape[2] if shape else 0,
        slice_step_mm=spacing[2:] if spacing else (),
        pixel_mm=spacing[:2] if spacing else (),
        volume_count=None if shape is None else shape[3] if len(shape) > 3 else 1,  # noqa: PLR2004  the fourth axis
        series_number=report.series_number,
        is_convertible=report.is_convertible,
        obstacles=tuple(sorted({finding.code for finding in report.findings if finding.blocking})),
        report=report,
    )
