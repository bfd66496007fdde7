"""Reads the measurements of a TID 1500 report (PS3.16) as findings, from which a report can be made again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom import Dataset

from dcm_processor_service.derived.objects.reports.finding import QUANTITY_CONTEXTS, Finding
from dcm_processor_service.derived.reading.content import children, concept, read_each, value_type, walk
from dcm_processor_service.derived.reading.names import code_in, side_in
from dcm_processor_service.derived.reading.regions import regions_in
from dcm_processor_service.derived.terminology.codes import find_code, unit_name
from dcm_processor_service.errors import DerivedObjectError, InvalidSeriesError
from dcm_processor_service.imaging.headers.values import integer, item, items, number, text
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.series_kinds import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dcm_processor_service.models.derived import Code

__all__ = ["read_measurements"]

_LIMITS = Limits()
_MEASUREMENTS = ("126010", "DCM")
_GROUP = ("125007", "DCM")
_EVALUATIONS = ("C0034375", "UMLS")
_TRACKING = ("112039", "DCM")
_TRACKING_UID = ("112040", "DCM")
_FINDING = ("121071", "DCM")
_COMMENT = ("121106", "DCM")
_SEGMENT = ("121191", "DCM")
_SITES = {("363698007", "SCT"), ("G-C0E3", "SRT")}
_NO_NUMBER = {"114000": math.nan, "114001": -math.inf, "114002": math.inf}
_UNKNOWN = "Value unknown"
_CONTAINS = "CONTAINS"


def read_measurements(paths: Sequence[Path], limits: Limits = _LIMITS) -> dict[str, Finding]:
    """Reads the findings of the measurement reports of a series, by name.

    Args:
        paths: The files of the series.
        limits: Limits, which say how far a deflated data set may expand.

    Raises:
        InvalidSeriesError: An object is not a structured report by TID 1500, or is damaged.
    """
    advice = "choose a series whose kind is structured report"
    found: dict[str, Finding] = {}
    for named in read_each(paths, SeriesKind.STRUCTURED_REPORT, advice, _findings, limits):
        for name, finding in named:
            found[_unused_name(name, found)] = finding
    return found


def _findings(dataset: Dataset) -> list[tuple[str, Finding]]:
    every = list(walk(dataset))
    containers = [each for each in every if value_type(each) == "CONTAINER"]
    groups = [each for each in containers if concept(each) == _GROUP]
    if not groups and not any(concept(each) == _MEASUREMENTS for each in containers):
        title = code_in(dataset, "ConceptNameCodeSequence")
        raise InvalidSeriesError(
            f"instance {text(dataset, 'SOPInstanceUID')} is not a measurement report of TID 1500 but "
            f"{title.meaning if title is not None else 'a report without a title'!r}: read it with series.text()"
        )
    evidence = _evidence(dataset)
    found = [_group(group, position, evidence, dataset) for position, group in enumerate(groups, start=1)]
    for container in containers:
        if concept(container) == _EVALUATIONS:
            own: dict[str, Code] = {}
            found.append((_meaning(container), Finding(evaluations=_evaluations(container, own), quantity_codes=own)))
    return found


def _group(group: Dataset, position: int, evidence: dict[str, tuple[str, str]], root: Dataset) -> tuple[str, Finding]:
    """Reads one measurement group: TID 1410, 1411 or 1501."""
    what = next((code_in(each, "ConceptCodeSequence") for each in children(group) if concept(each) == _FINDING), None)
    name = next((text(each, "TextValue") for each in children(group) if concept(each) == _TRACKING), "")
    place = next((each for each in children(group) if concept(each) in _SITES), None)
    own: dict[str, Code] = {}
    finding = Finding(
        measurements=_measurements(group, own),
        evaluations=_evaluations(group, own),
        finding=what,
        site=code_in(place, "ConceptCodeSequence"),
        laterality=_side(place),
        segment=_segment(group, evidence),
        region=regions_in(group, root),
        quantity_codes=own,
    )
    return name or (what.meaning if what is not None else f"finding {position}"), finding


def _measurements(group: Dataset, codes: dict[str, Code]) -> dict[str, tuple[float | str, Code | str]]:
    found: dict[str, tuple[float | str, Code | str]] = {}
    for each in children(group):
        if value_type(each) == "NUM":
            modifiers = [
                code.meaning
                for child in children(each)
                if text(child, "RelationshipType") == "HAS CONCEPT MOD"
                and (code := code_in(child, "ConceptCodeSequence")) is not None
            ]
            name = _unused_name(", ".join([_meaning(each), *modifiers]), found)
            _keep_code(name, each, codes)
            found[name] = _measured(each)
    return found


def _measured(found: Dataset) -> tuple[float | str, Code | str]:
    """Returns a value and its unit, or the reason for having no value."""
    measured = item(found, "MeasuredValueSequence")
    if measured is None:
        reason = code_in(found, "NumericValueQualifierCodeSequence")
        if reason is None:
            return _UNKNOWN, "1"
        return _NO_NUMBER.get(reason.value, reason.meaning), "1"
    value = number(measured, "FloatingPointValue")
    value = number(measured, "NumericValue") if value is None else value
    if value is None:
        raise InvalidSeriesError(f"a measurement of {_meaning(found)!r} has no number that can be read: get it again")
    unit = code_in(measured, "MeasurementUnitsCodeSequence")
    return value, "1" if unit is None else unit_name(unit)


def _evaluations(group: Dataset, codes: dict[str, Code]) -> dict[str, Code | str]:
    """Returns the answers by question, as codes or text; a comment "question: answer" is split into the two."""
    found: dict[str, Code | str] = {}
    for each in children(group):
        if text(each, "RelationshipType") not in {_CONTAINS, ""} or concept(each) in {_FINDING, *_SITES}:
            continue
        if value_type(each) == "CODE" and (answer := code_in(each, "ConceptCodeSequence")) is not None:
            name = _unused_name(_meaning(each), found)
            _keep_code(name, each, codes)
            found[name] = answer
        elif value_type(each) == "TEXT":
            words = text(each, "TextValue")
            question, colon, rest = words.partition(": ")
            if concept(each) == _COMMENT and colon:
                found[_unused_name(question, found)] = rest
            else:
                found[_unused_name(_meaning(each), found)] = words
    return found


def _keep_code(name: str, found: Dataset, codes: dict[str, Code]) -> None:
    """Keeps the code of a quantity or question if looking up the name would not find this code."""
    code = code_in(found, "ConceptNameCodeSequence")
    if code is None:
        return
    try:
        known = find_code(name, QUANTITY_CONTEXTS)
    except DerivedObjectError:
        known = None
    if known is None or (known.value, known.scheme) != (code.value, code.scheme):
        codes[name] = code


def _meaning(found: Dataset) -> str:
    code = code_in(found, "ConceptNameCodeSequence")
    return "unnamed" if code is None else code.meaning or code.value


def _unused_name(name: str, taken: Iterable[str]) -> str:
    """Returns a name that is not in use: the name itself, or the name with a number."""
    known = set(taken)
    if name not in known:
        return name
    return next(each for each in (f"{name} ({count})" for count in range(2, len(known) + 3)) if each not in known)


def _side(place: Dataset | None) -> Code | None:
    for child in () if place is None else children(place):
        side = side_in(child, "ConceptCodeSequence")
        if side is not None:
            return side
    return None


def _evidence(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Returns the study and the series of each object that the report lists as evidence, by SOPInstanceUID."""
    found: dict[str, tuple[str, str]] = {}
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in items(dataset, keyword):
            for series in items(study, "ReferencedSeriesSequence"):
                for instance in items(series, "ReferencedSOPSequence"):
                    uids = text(study, "StudyInstanceUID"), text(series, "SeriesInstanceUID")
                    found[text(instance, "ReferencedSOPInstanceUID")] = uids
    return found


def _segment(group: Dataset, evidence: dict[str, tuple[str, str]]) -> tuple[Dataset, int] | None:
    """Returns the identity of the SEG whose segment was measured, and the segment's number."""
    references: list[Any] = [
        reference
        for each in children(group)
        if concept(each) == _SEGMENT
        for reference in items(each, "ReferencedSOPSequence")
    ]
    found = integer(references[0], "ReferencedSegmentNumber") if references else None
    if found is None:
        return None
    tracking = next((text(each, "UID") for each in children(group) if concept(each) == _TRACKING_UID), "")
    identity, segment = Dataset(), Dataset()
    identity.SOPClassUID = text(references[0], "ReferencedSOPClassUID")
    identity.SOPInstanceUID = text(references[0], "ReferencedSOPInstanceUID")
    identity.StudyInstanceUID, identity.SeriesInstanceUID = evidence.get(identity.SOPInstanceUID, ("", ""))
    segment.SegmentNumber, segment.TrackingUID = found, tracking
    identity.SegmentSequence = [segment]
    return identity, found
