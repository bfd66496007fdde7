"""Writes one finding as a measurement group (PS3.16, TID 1410, 1411 and 1501), through highdicom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, SupportsFloat

from dcm_processor_service.derived.attributes.wording import require_line, require_lines
from dcm_processor_service.derived.objects.highdicom_bridge import code_of
from dcm_processor_service.derived.objects.reports.finding import QUANTITY_CONTEXTS
from dcm_processor_service.derived.objects.reports.regions import Located, locate
from dcm_processor_service.derived.terminology.codes import checked_code, find_code, find_unit, in_context
from dcm_processor_service.derived.terminology.structures import find_structure
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import integer, items, text
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.derived.attributes.composite import Composite
    from dcm_processor_service.derived.objects.reports.finding import Finding
    from dcm_processor_service.derived.source import SourceSeries

__all__ = ["measurement_group"]

_REASONS = 42
_SIDES = (244,)
_NOT_A_NUMBER = Code("114000", "DCM", "Not a number")
_INFINITE = (Code("114001", "DCM", "Negative Infinity"), Code("114002", "DCM", "Positive Infinity"))
_COMMENT = Code("121106", "DCM", "Comment")
_ANSWERS = (242,)


def measurement_group(highdicom: Any, name: str, finding: Finding, series: SourceSeries, composite: Composite) -> Any:
    """Returns the measurement group of a finding.

    Raises:
        DerivedObjectError: A name has no code, a segment does not exist, or a region is not in the images.
    """
    require_line("the name of a finding", name)
    _require_codes(finding)
    located = _located(highdicom, name, finding, series)
    shared = _shared(highdicom, name, finding, composite, located)
    uid, place = "", located.volumetric
    if finding.segment is not None:
        uid, segment = _segment(highdicom, name, finding.segment, series)
        place = {"referenced_segment": segment}
    tracking = highdicom.sr.TrackingIdentifier(uid or composite.uids.other(f"tracking {name}"), name)
    if place is not None:
        group = highdicom.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(tracking, **place, **shared)
    elif located.planar is not None:
        group = highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations(tracking, located.planar, **shared)
    else:
        images = [
            highdicom.sr.SourceImageForMeasurementGroup(text(header, "SOPClassUID"), text(header, "SOPInstanceUID"))
            for header in series.headers
        ]
        group = highdicom.sr.MeasurementsAndQualitativeEvaluations(tracking, source_images=images, **shared)
    return _with_words(highdicom, group, finding)


def _require_codes(finding: Finding) -> None:
    """Checks that the caller's codes can be written, and that answers are text or codes.

    Raises:
        DerivedObjectError: A code cannot be written, or an answer is neither text nor a code.
    """
    answers = finding.evaluations.values()
    if not all(isinstance(answer, (str, Code)) for answer in answers):
        raise DerivedObjectError("an answer is neither words nor a code: give one, such as {'Image Quality': 'Good'}")
    for code in (*finding.quantity_codes.values(), *answers):
        if isinstance(code, Code):
            checked_code(code)


def _shared(highdicom: Any, name: str, finding: Finding, composite: Composite, located: Located) -> dict[str, Any]:
    """Returns the arguments that all templates of groups take."""
    producer = composite.recipe.producer
    found, side, organ = _code_and_side(finding.finding or name)
    site = organ or (found if side is not None else None)  # "left kidney" is the site kidney with the side left
    if finding.site is not None:
        site, side, _ = _code_and_side(finding.site)
    if finding.laterality is not None:
        site, side = site or found, find_code(finding.laterality, _SIDES)
    return {
        "finding_type": code_of(found),
        "algorithm_id": highdicom.sr.AlgorithmIdentification(producer.service_name, producer.version),
        "finding_sites": None if site is None else [_site(highdicom, site, side)],
        "measurements": [
            _measurement(highdicom, _concept(finding, quantity), value, find_unit(unit), located)
            for quantity, (value, unit) in map(_pair, finding.measurements.items())
        ],
        "qualitative_evaluations": [
            highdicom.sr.QualitativeEvaluation(name=code_of(question), value=code_of(answer))
            for question, answer in _coded_answers(finding).values()
        ],
    }


def _pair(item: tuple[str, object]) -> tuple[str, tuple[float | str, Code | str]]:
    """Returns a quantity with its value and its unit.

    Raises:
        DerivedObjectError: The measurement has no unit, or its value is neither a number nor a reason.
    """
    quantity, given = item
    if not isinstance(given, (tuple, list)) or len(given) != 2 or not isinstance(given[0], (SupportsFloat, str)):  # noqa: PLR2004 value, unit
        raise DerivedObjectError(
            f"the measurement {quantity!r} is not a value with its unit: give both, such as (12.5, 'mm'), or a reason "
            "for having no value in its place"
        )
    value = given[0] if isinstance(given[0], str) else float(given[0])
    return quantity, (value, given[1])


def _located(highdicom: Any, name: str, finding: Finding, series: SourceSeries) -> Located:
    """Returns the regions in which a finding was measured.

    Raises:
        DerivedObjectError: The finding also has a segment, or has a line but no measurement along it.
    """
    if finding.region is None:
        return Located()
    if finding.segment is not None:
        raise DerivedObjectError(f"{name!r} has a region and a segment, and was measured in one: omit the other")
    located = locate(highdicom, name, finding.region, series)
    if located.along and not finding.measurements:
        raise DerivedObjectError(
            f"{name!r} has a line and no measurement along it: give one, such as {{'Length': (12.5, 'mm')}}"
        )
    return located


def _code_and_side(name: Code | str) -> tuple[Code, Code | None, Code | None]:
    """Returns the concept of a name; if none has that name, the concepts of its structure, side and organ."""
    try:
        return find_code(name), None, None
    except DerivedObjectError:
        structure = find_structure(name) if isinstance(name, str) else None
        if structure is None or structure.code is None:
            raise
        return structure.code, structure.side, structure.region


def _site(highdicom: Any, site: Code, side: Code | None) -> Any:
    laterality = None if side is None else code_of(side)
    return highdicom.sr.FindingSite(anatomic_location=code_of(site), laterality=laterality)


def _measurement(highdicom: Any, quantity: Code, value: float | str, unit: Code, located: Located) -> Any:
    """Returns a measurement with its value, or with the reason for having none (PS3.3, section C.18.1)."""
    reason = _reason_for_none(value)
    return highdicom.sr.Measurement(
        name=code_of(quantity),
        value=float(value) if reason is None else 0.0,
        unit=code_of(unit),
        qualifier=None if reason is None else code_of(reason),
        referenced_coordinates=list(located.along) or None,
    )


def _reason_for_none(value: float | str) -> Code | None:
    """Returns the code of the reason why a measurement has no value; None if it has one."""
    if isinstance(value, str):
        reason = find_code(value, (_REASONS,))
        if not in_context(reason, _REASONS):
            raise DerivedObjectError(
                f"{value!r} is neither a number nor a reason for having none: give one of CID 42, such as "
                "'Measurement failure', 'Measurement not attempted' or 'Value unknown'"
            )
        return reason
    if math.isfinite(value):
        return None
    return _NOT_A_NUMBER if math.isnan(value) else _INFINITE[value > 0]


def _coded_answers(finding: Finding) -> dict[str, tuple[Code, Code]]:
    found = {}
    for question, answer in finding.evaluations.items():
        try:
            found[question] = (_concept(finding, question), _answer(question, answer))
        except DerivedObjectError:  # one of them has no code, so both are written as text
            continue
    return found


def _answer(question: str, answer: Code | str) -> Code:
    """Returns the code of an answer; its name may include the question, as in "Good image quality"."""
    if isinstance(answer, Code):
        return answer
    try:
        return find_code(answer, _ANSWERS)
    except DerivedObjectError:
        return find_code(f"{answer} {question}")


def _with_words(highdicom: Any, group: Any, finding: Finding) -> Any:
    """Adds the evaluations without codes to a group, as comments (PS3.16, TID 1501)."""
    coded = _coded_answers(finding)
    for question, answer in finding.evaluations.items():
        if question not in coded:
            words = answer if isinstance(answer, str) else answer.meaning
            group[0].ContentSequence.append(
                highdicom.sr.TextContentItem(
                    name=code_of(_COMMENT),
                    value=require_lines("an evaluation", f"{question}: {words}"),
                    relationship_type=highdicom.sr.RelationshipTypeValues.CONTAINS,
                )
            )
    return group


def _concept(finding: Finding, name: str) -> Code:
    return finding.quantity_codes.get(name) or find_code(name, QUANTITY_CONTEXTS)


def _segment(highdicom: Any, name: str, given: tuple[Dataset, int], series: SourceSeries) -> tuple[str, Any]:
    """Returns the tracking UID of a segment, and the reference to it."""
    dataset, number = given
    described = {integer(item, "SegmentNumber"): item for item in items(dataset, "SegmentSequence")}
    if number not in described:
        raise DerivedObjectError(
            f"{name!r} refers to segment {number}, the SEG object has {sorted(map(str, described))}"
        )
    reference = highdicom.sr.ReferencedSegment(
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        segment_number=number,
        source_series=highdicom.sr.SourceSeriesForSegmentation(text(series.first, "SeriesInstanceUID")),
    )
    return text(described[number], "TrackingUID"), reference
