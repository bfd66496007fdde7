"""Rules for choosing series, and which rule a series fails first.

Rules are checked against two sources: the report of an inspection, where a job chooses among the series that it has,
and the header document that the scheduler hands to a registry function, which holds few values and no pixels. Both
become :class:`SeriesFacts`, so that one function evaluates and explains a rule. This module loads only the standard
library, because the scheduler waits for it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dcm_processor_service.models import SeriesReport

__all__ = ["SeriesFacts", "SeriesRules", "first_failure"]

Range = tuple[float | None, float | None]


@refuses_unknown_keywords
@dataclass(frozen=True)
class SeriesRules:
    """Conditions on a series; a rule that is None is not checked. Rules are checked in the order of these fields.

    Example:
        >>> rules = SeriesRules(modality="MR", description=r"t1.*mprage", min_slices=100, plane="sagittal")
        >>> rules.modality
        'MR'
    """

    modality: str | tuple[str, ...] | None = None
    """Modality, such as ``CT``; a tuple accepts any of its values."""

    kind: str | tuple[str, ...] | None = None
    """Kind, such as ``volume``, ``4D``, ``segmentation``, or ``image`` for any images: a value of
    :class:`~dcm_processor_service.SeriesKind`. A segmentation meets no rule about slices."""

    description: str | None = None
    """Regular expression that must be found in SeriesDescription; case does not matter."""

    not_description: str | None = None
    """Regular expression that must not be found in SeriesDescription; case does not matter."""

    body_part: str | None = None
    """Regular expression that must be found in BodyPartExamined; case does not matter."""

    kernel: str | None = None
    """Regular expression that must be found in ConvolutionKernel; case does not matter."""

    plane: str | None = None
    """``axial``, ``coronal`` or ``sagittal``; an oblique series counts as the plane that it is nearest to."""

    min_slices: int | None = None
    slice_step_mm: Range | None = None
    """Least and greatest distance between slices; None for no limit."""

    pixel_mm: Range | None = None
    """Least and greatest distance between pixels, in both directions."""

    volumes: Range | None = None
    """Least and greatest number of volumes; a series without a fourth axis has 1."""

    series_number: Range | None = None
    convertible: bool | None = None
    """Whether the policy ``strict`` can convert the series."""

    where: Callable[[SeriesReport], bool] | None = None
    """Any other condition, as a function of the inspection's report."""

    def __post_init__(self) -> None:
        for name in ("description", "not_description", "body_part", "kernel"):
            pattern = getattr(self, name)
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise UnsupportedValueError(f"{name} is not a regular expression ({error}): {pattern!r}") from error
        if self.plane not in {None, "axial", "coronal", "sagittal"}:
            raise UnsupportedValueError(f"a plane is axial, coronal or sagittal, not {self.plane!r}")
        if self.kind is not None:
            _check_kinds(self.kind)


def _check_kinds(wanted: str | tuple[str, ...]) -> None:
    from dcm_processor_service.models import SeriesKind  # loads pydantic, which the scheduler need not wait for

    known = {kind.value for kind in SeriesKind}
    unknown = [kind for kind in _several(wanted) if kind not in known]
    if unknown:
        raise UnsupportedValueError(f"kinds are {', '.join(sorted(known))}, not {unknown[0]!r}")


@dataclass(frozen=True)
class SeriesFacts:
    """The values that rules check; empty, or None, if they are not known."""

    modalities: tuple[str, ...] = ()
    """The modality of a series, or those of all series of a study or patient."""

    kind: str = ""
    description: str = ""
    body_part: str = ""
    kernel: str = ""
    plane: str = ""
    slice_count: int = 0
    slice_step_mm: Sequence[float] = ()
    """The distance between slices, as a sequence of one; empty if it is not known."""

    pixel_mm: Sequence[float] = ()
    """The distances between pixels, along i and along j."""

    volume_count: int | None = None
    series_number: int | None = None
    is_convertible: bool = False
    obstacles: tuple[str, ...] = ()
    """Codes of the findings that keep the series from being one clean volume."""

    report: SeriesReport | None = None
    """The report that the condition ``where`` gets."""


def first_failure(facts: SeriesFacts, rules: SeriesRules) -> str | None:
    """Returns a sentence about the first rule that a series does not meet; None if it meets all.

    The sentence holds no patient attribute.

    Example:
        >>> first_failure(SeriesFacts(modalities=("MR",)), SeriesRules(modality="CT"))
        'modality is MR, not CT'
    """
    for entry in fields(rules):
        wanted = getattr(rules, entry.name)
        if wanted is not None:
            reason = _CHECKS[entry.name](facts, wanted)
            if reason:
                return reason
    return None


def _several(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _one_of(name: str, get: Callable[[SeriesFacts], tuple[str, ...]], facts: SeriesFacts, wanted: Any) -> str:
    allowed, values = _several(wanted), get(facts)
    if set(values) & set(allowed):
        return ""
    return f"{name} is {' and '.join(values) or 'not said'}, not {' or '.join(allowed)}"


def _kind(facts: SeriesFacts, wanted: Any) -> str:
    from dcm_processor_service.models import SeriesKind  # loads pydantic, which the scheduler need not wait for

    allowed = _several(wanted)
    if facts.kind and any(SeriesKind(facts.kind).meets(one) for one in allowed):
        return ""
    return f"kind is {facts.kind or 'not said'}, not {' or '.join(allowed)}"


def _is_found(pattern: str, text: str) -> bool:
    # an umlaut may be written as one character, or as a letter and a combining mark
    wanted, given = (unicodedata.normalize("NFC", each) for each in (pattern, text))
    return re.search(wanted, given, re.IGNORECASE) is not None


def _found(name: str, get: Callable[[SeriesFacts], str], facts: SeriesFacts, pattern: Any) -> str:
    # the sentence does not quote the text, which may name the patient
    return "" if _is_found(pattern, get(facts)) else f"{name} does not match {pattern!r}"


def _not_found(name: str, get: Callable[[SeriesFacts], str], facts: SeriesFacts, pattern: Any) -> str:
    return f"{name} matches {pattern!r}" if _is_found(pattern, get(facts)) else ""


def _between(
    name: str, unit: str, get: Callable[[SeriesFacts], Sequence[float]], facts: SeriesFacts, wanted: Any
) -> str:
    least, most = wanted
    values = get(facts)
    if not values:
        return f"{name} is not known"
    inside = all((least is None or value >= least) and (most is None or value <= most) for value in values)
    limits = f"{'any' if least is None else f'{least:g}'} to {'any' if most is None else f'{most:g}'}"
    return "" if inside else f"{name} is {' x '.join(f'{value:g}' for value in values)}{unit}, not {limits}"


def _slices(facts: SeriesFacts, wanted: Any) -> str:
    count = facts.slice_count
    return "" if count >= wanted else f"it has {counted(count, 'slice')}, fewer than {wanted}"


def _plane(facts: SeriesFacts, wanted: Any) -> str:
    return "" if facts.plane == wanted else f"plane is {facts.plane or 'not known'}, not {wanted}"


def _convertible(facts: SeriesFacts, wanted: Any) -> str:
    if facts.is_convertible == wanted:
        return ""
    if not wanted:
        return "it is one clean volume"
    return f"it is not one clean volume: {', '.join(facts.obstacles) or 'no volume'}"


def _where(facts: SeriesFacts, condition: Callable[[SeriesReport], bool]) -> str:
    holds = facts.report is not None and condition(facts.report)
    return "" if holds else "the condition 'where' does not hold"


def _numbers(value: int | None) -> list[float]:
    return [] if value is None else [float(value)]


_CHECKS: dict[str, Callable[[SeriesFacts, Any], str]] = {
    "modality": partial(_one_of, "modality", lambda facts: facts.modalities),
    "kind": _kind,
    "description": partial(_found, "description", lambda facts: facts.description),
    "not_description": partial(_not_found, "description", lambda facts: facts.description),
    "body_part": partial(_found, "body part", lambda facts: facts.body_part),
    "kernel": partial(_found, "kernel", lambda facts: facts.kernel),
    "plane": _plane,
    "min_slices": _slices,
    "slice_step_mm": partial(_between, "slice step", " mm", lambda facts: facts.slice_step_mm),
    "pixel_mm": partial(_between, "pixel size", " mm", lambda facts: facts.pixel_mm),
    "volumes": partial(_between, "number of volumes", "", lambda facts: _numbers(facts.volume_count)),
    "series_number": partial(_between, "series number", "", lambda facts: _numbers(facts.series_number)),
    "convertible": _convertible,
    "where": _where,
}
