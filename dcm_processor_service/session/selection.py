"""Choosing series by rules, with the reason for every one that was not chosen.

Rules look at reports, so that they know the real number of slices, the real distance between them and the real plane.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.models import SeriesKind, SeriesReport
from dcm_processor_service.models.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Selection", "SeriesRules", "select_series"]

Range = tuple[float | None, float | None]


@refuses_unknown_keywords
@dataclass(frozen=True)
class SeriesRules:
    """What a series must be; what is None does not matter. Rules are tried in the order in which they stand here.

    Example:
        >>> rules = SeriesRules(modality="MR", description=r"t1.*mprage", min_slices=100, plane="sagittal")
        >>> rules.modality
        'MR'
    """

    modality: str | tuple[str, ...] | None = None
    """Such as ``CT``; one of several when a tuple."""

    kind: str | tuple[str, ...] | None = None
    """Such as ``volume``, ``4D``, ``segmentation``, or ``image`` for any images: a value of
    :class:`~dcm_processor_service.SeriesKind`. A segmentation meets no rule about slices."""

    description: str | None = None
    """Regular expression that is found in SeriesDescription, whatever the case."""

    not_description: str | None = None
    """Regular expression that is not found in it."""

    body_part: str | None = None
    """Regular expression that is found in BodyPartExamined, whatever the case."""

    kernel: str | None = None
    """Regular expression that is found in ConvolutionKernel, whatever the case."""

    plane: str | None = None
    """``axial``, ``coronal`` or ``sagittal``; an oblique series counts as the plane that it is nearest to."""

    min_slices: int | None = None
    slice_step_mm: Range | None = None
    """Least and greatest distance between slices; None for no limit."""

    pixel_mm: Range | None = None
    """Least and greatest distance between pixels, in both directions."""

    volumes: Range | None = None
    """Least and greatest number of volumes, 1 for what has no fourth axis."""

    series_number: Range | None = None
    convertible: bool | None = None
    """Whether the policy ``strict`` converts it."""

    where: Callable[[SeriesReport], bool] | None = None
    """Any other condition."""

    def __post_init__(self) -> None:
        for name in ("description", "not_description", "body_part", "kernel"):
            pattern = getattr(self, name)
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise UnsupportedValueError(f"{name} is no regular expression ({error}): {pattern!r}") from error
        if self.plane not in {None, "axial", "coronal", "sagittal"}:
            raise UnsupportedValueError(f"a plane is axial, coronal or sagittal, not {self.plane!r}")
        known = {kind.value for kind in SeriesKind}
        unknown = [kind for kind in _several(self.kind) if kind not in known]
        if unknown:
            raise UnsupportedValueError(f"kinds are {', '.join(sorted(known))}, not {unknown[0]!r}")


@dataclass(frozen=True)
class Selection:
    """The series that meet all rules, and for each of the others the first rule that it does not meet.

    Example:
        >>> report = SeriesReport(series_instance_uid="1.2", modality="CT")
        >>> select_series([report], SeriesRules(modality="MR")).reasons
        {'1.2': 'modality is CT, not MR'}
    """

    chosen: tuple[SeriesReport, ...]
    """Those with most voxels first."""

    reasons: dict[str, str]
    """By SeriesInstanceUID: why a series was not chosen."""

    def explain(self) -> str:
        """Says for each series whether it was chosen, or which rule failed first; holds no patient attribute."""
        lines = [f"{report.series_instance_uid}: chosen" for report in self.chosen]
        lines += [f"{uid}: {reason}" for uid, reason in self.reasons.items()]
        return "\n".join(lines) or "there are no series to choose from"


def select_series(reports: Iterable[SeriesReport], rules: SeriesRules) -> Selection:
    """Chooses series by rules.

    Example:
        >>> reports = [SeriesReport(series_instance_uid="1.2", modality="CT"), SeriesReport(series_instance_uid="1.3")]
        >>> selection = select_series(reports, SeriesRules(modality="CT"))
        >>> print(selection.explain())
        1.2: chosen
        1.3: modality is not said, not CT
    """
    chosen, reasons = [], {}
    for report in reports:
        reason = first_failure(report, rules)
        if reason is None:
            chosen.append(report)
        else:
            reasons[report.series_instance_uid] = reason
    chosen.sort(key=lambda report: (-report.memory_bytes, report.series_instance_uid))
    return Selection(tuple(chosen), reasons)


def first_failure(report: SeriesReport, rules: SeriesRules) -> str | None:
    """Returns the first rule that a series does not meet, as a sentence; None when it meets all."""
    for entry in fields(rules):
        wanted = getattr(rules, entry.name)
        if wanted is not None:
            reason = _CHECKS[entry.name](report, wanted)
            if reason:
                return reason
    return None


def _several(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _one_of(name: str, get: Callable[[SeriesReport], str], report: SeriesReport, wanted: Any) -> str:
    allowed, value = _several(wanted), get(report)
    return "" if value in allowed else f"{name} is {value or 'not said'}, not {' or '.join(allowed)}"


def _kind(report: SeriesReport, wanted: Any) -> str:
    allowed = _several(wanted)
    is_met = any(report.kind.meets(one) for one in allowed)
    return "" if is_met else f"kind is {report.kind.value}, not {' or '.join(allowed)}"


def _is_found(pattern: str, text: str) -> bool:
    # an umlaut may be one character, or a letter and a mark
    wanted, given = (unicodedata.normalize("NFC", each) for each in (pattern, text))
    return re.search(wanted, given, re.IGNORECASE) is not None


def _found(name: str, get: Callable[[SeriesReport], str], report: SeriesReport, pattern: Any) -> str:
    # the text itself stays out
    return "" if _is_found(pattern, get(report)) else f"{name} does not match {pattern!r}"


def _not_found(name: str, get: Callable[[SeriesReport], str], report: SeriesReport, pattern: Any) -> str:
    return f"{name} matches {pattern!r}" if _is_found(pattern, get(report)) else ""


def _between(
    name: str, unit: str, get: Callable[[SeriesReport], list[float]], report: SeriesReport, wanted: Any
) -> str:
    least, most = wanted
    values = get(report)
    if not values:
        return f"{name} is not known"
    inside = all((least is None or value >= least) and (most is None or value <= most) for value in values)
    limits = f"{'any' if least is None else f'{least:g}'} to {'any' if most is None else f'{most:g}'}"
    return "" if inside else f"{name} is {' x '.join(f'{value:g}' for value in values)}{unit}, not {limits}"


def _slices(report: SeriesReport, wanted: Any) -> str:
    count = report.shape[2] if report.shape else 0
    return "" if count >= wanted else f"it has {count} slices, fewer than {wanted}"


def _plane(report: SeriesReport, wanted: Any) -> str:
    plane = report.parts[0].nearest_plane if report.parts else "not known"
    return "" if plane == wanted else f"plane is {plane}, not {wanted}"


def _convertible(report: SeriesReport, wanted: Any) -> str:
    if report.is_convertible == wanted:
        return ""
    codes = sorted({finding.code for finding in report.findings if finding.blocking})
    return "it is one clean volume" if not wanted else f"it is not one clean volume: {', '.join(codes) or 'no volume'}"


def _spacing(report: SeriesReport, first: int, last: int) -> list[float]:
    return list(report.spacing_mm[first:last]) if report.spacing_mm else []


def _volumes(report: SeriesReport) -> list[float]:
    if report.shape is None:
        return []
    return [float(report.shape[3]) if len(report.shape) > 3 else 1.0]  # noqa: PLR2004 the fourth axis


def _series_number(report: SeriesReport) -> list[float]:
    return [] if report.series_number is None else [float(report.series_number)]


_CHECKS: dict[str, Callable[[SeriesReport, Any], str]] = {
    "modality": partial(_one_of, "modality", lambda report: report.modality),
    "kind": _kind,
    "description": partial(_found, "description", lambda report: report.description),
    "not_description": partial(_not_found, "description", lambda report: report.description),
    "body_part": partial(_found, "body part", lambda report: report.body_part),
    "kernel": partial(_found, "kernel", lambda report: report.kernel),
    "plane": _plane,
    "min_slices": _slices,
    "slice_step_mm": partial(_between, "slice step", " mm", lambda report: _spacing(report, 2, 3)),
    "pixel_mm": partial(_between, "pixel size", " mm", lambda report: _spacing(report, 0, 2)),
    "volumes": partial(_between, "number of volumes", "", _volumes),
    "series_number": partial(_between, "series number", "", _series_number),
    "convertible": _convertible,
    "where": lambda report, condition: "" if condition(report) else "the condition 'where' does not hold",
}
