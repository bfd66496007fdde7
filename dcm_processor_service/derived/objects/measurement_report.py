"""Measurements and evaluations as a structured report after template TID 1500 (PS3.16), through highdicom."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from dcm_processor_service.derived.attributes.codes import find_code, find_unit, in_context
from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.uids import keyed_uid
from dcm_processor_service.derived.objects.highdicom_bridge import (
    code_of,
    equipment,
    finish,
    load_highdicom,
    require_series,
    shell,
)
from dcm_processor_service.derived.objects.text_report import write_report_header
from dcm_processor_service.derived.terminology.structures import find_structure
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import integer, items, text
from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.derived import MEASUREMENT_REPORT, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom import Dataset

    from dcm_processor_service.derived.source import Source, SourceSeries
    from dcm_processor_service.models.derived import Recipe

__all__ = ["QUANTITY_CONTEXTS", "Finding", "Measured", "measurement_report"]

_PROCEDURES = {
    "CT": Code("77477000", "SCT", "CT"),
    "MR": Code("113091000", "SCT", "MRI"),
    "PT": Code("82918005", "SCT", "PET"),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_MEASUREMENTS = "126010"
_DEVICE = Code("121007", "DCM", "Device")
_REASONS = 42
_SIDES = (244,)
_NOT_A_NUMBER = Code("114000", "DCM", "Not a number")
_INFINITE = (Code("114001", "DCM", "Negative Infinity"), Code("114002", "DCM", "Positive Infinity"))
_COMMENT = Code("121106", "DCM", "Comment")
_ANSWERS = (242,)
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

    quantity_codes: Mapping[str, Code] = field(default_factory=dict)
    """Codes for quantities and questions that no table knows, by their name above."""


Measured: TypeAlias = "Finding | Mapping[str, tuple[float | str, Code | str]]"
"""What was measured of one structure: a :class:`Finding`, or its measurements alone."""


def measurement_report(
    findings: Mapping[str, Measured],
    source: Source,
    recipe: Recipe,
    title: Code | str = MEASUREMENT_REPORT,
) -> Dataset:
    """Makes a TID 1500 measurement report, a Comprehensive 3D SR. Without findings it says so by having none.

    The report is complete and unverified: no person has signed it.

    Args:
        findings: By name, such as ``{"liver": {"Volume": (1520.5, "ml")}}``, or :class:`Finding` for more.
        source: The images that were measured.
        recipe: Who made it, as what, when.
        title: Of CID 7021.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: A name has no code, a segment does not exist, or the source is no image series.
    """
    highdicom = load_highdicom()
    series = require_series(source, "measurement report")
    composite = Composite(recipe, series)
    groups = []
    evidence = [*series.headers, *series.further]
    for name, given in findings.items():
        finding = given if isinstance(given, Finding) else Finding(given)
        groups.append(_group(highdicom, name, finding, series, composite))
        if finding.segment is not None and not any(each is finding.segment[0] for each in evidence):
            evidence.append(finding.segment[0])
    with contained():
        content = highdicom.sr.MeasurementReport(
            observation_context=_observer(highdicom, composite),
            procedure_reported=code_of(_PROCEDURES.get(series.modality, _ANY_PROCEDURE)),
            imaging_measurements=groups or [_group(highdicom, "liver", Finding(), series, composite)],
            title=code_of(find_code(title, (7021,))),
        )
        dataset: Dataset = highdicom.sr.Comprehensive3DSR(
            evidence=[shell(header) for header in evidence],
            content=content[0],
            is_complete=True,
            **equipment(composite),
        )
        if not groups:
            _empty_measurements(dataset)
        _take_out_missing_values(dataset)
        evidenced = dataset.get("CurrentRequestedProcedureEvidenceSequence")
        others = dataset.get("PertinentOtherEvidenceSequence")
        write_report_header(dataset, series)
        if evidenced or others:
            dataset.CurrentRequestedProcedureEvidenceSequence = [*(evidenced or ()), *(others or ())]
        dataset.pop("PertinentOtherEvidenceSequence", None)
        finish(dataset, composite)
    return dataset


def _empty_measurements(dataset: Dataset) -> None:
    """Takes out the stand-in that highdicom insists on: an empty container is allowed (PS3.16, TID 1500, row 6)."""
    for item in dataset.ContentSequence:
        if text(item.ConceptNameCodeSequence[0], "CodeValue") == _MEASUREMENTS:
            del item.ContentSequence


def _take_out_missing_values(dataset: Dataset) -> None:
    """Empties the value of each measurement that has a reason for having none; highdicom insists on a number."""
    for item in items(dataset, "ContentSequence"):
        if "NumericValueQualifierCodeSequence" in item:
            item.MeasuredValueSequence = []
        _take_out_missing_values(item)


def _observer(highdicom: Any, composite: Composite) -> Any:
    producer = composite.recipe.producer
    device = highdicom.sr.DeviceObserverIdentifyingAttributes(
        uid=keyed_uid("device", producer.service_name, producer.version, producer.device_serial_number),
        name=producer.service_name,
        manufacturer_name=producer.manufacturer,
        model_name=producer.service_name,
        serial_number=producer.device_serial_number,
    )
    context = highdicom.sr.ObserverContext(observer_type=code_of(_DEVICE), observer_identifying_attributes=device)
    return highdicom.sr.ObservationContext(observer_device_context=context)


def _group(highdicom: Any, name: str, finding: Finding, series: SourceSeries, composite: Composite) -> Any:
    producer = composite.recipe.producer
    algorithm = highdicom.sr.AlgorithmIdentification(name=producer.service_name, version=producer.version)
    found, side = _code_and_side(finding.finding or name)
    site = found if side is not None else None  # such as of a left kidney, which is a kidney on the left
    if finding.site is not None:
        site, side = _code_and_side(finding.site)
    if finding.laterality is not None:
        site, side = site or found, find_code(finding.laterality, _SIDES)
    shared: dict[str, Any] = {
        "finding_type": code_of(found),
        "algorithm_id": algorithm,
        "finding_sites": None if site is None else [_site(highdicom, site, side)],
        "measurements": [
            _measurement(highdicom, _concept(finding, quantity), value, find_unit(unit))
            for quantity, (value, unit) in finding.measurements.items()
        ],
        "qualitative_evaluations": [
            highdicom.sr.QualitativeEvaluation(name=code_of(question), value=code_of(answer))
            for question, answer in _coded_answers(finding).values()
        ],
    }
    if finding.segment is None:
        tracking = highdicom.sr.TrackingIdentifier(composite.uids.other(f"tracking {name}"), name)
        images = [
            highdicom.sr.SourceImageForMeasurementGroup(text(header, "SOPClassUID"), text(header, "SOPInstanceUID"))
            for header in series.headers
        ]
        group = highdicom.sr.MeasurementsAndQualitativeEvaluations(tracking, source_images=images, **shared)
        return _with_words(highdicom, group, finding)
    uid, segment = _segment(highdicom, name, finding.segment, series)
    tracking = highdicom.sr.TrackingIdentifier(uid or composite.uids.other(f"tracking {name}"), name)
    group = highdicom.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking, referenced_segment=segment, **shared
    )
    return _with_words(highdicom, group, finding)


def _code_and_side(name: Code | str) -> tuple[Code, Code | None]:
    """Returns the concept of a name; that of its structure and the side, where no concept has both."""
    try:
        return find_code(name), None
    except DerivedObjectError:
        structure = find_structure(name) if isinstance(name, str) else None
        if structure is None or structure.code is None:
            raise
        return structure.code, structure.side


def _site(highdicom: Any, site: Code, side: Code | None) -> Any:
    laterality = None if side is None else code_of(side)
    return highdicom.sr.FindingSite(anatomic_location=code_of(site), laterality=laterality)


def _measurement(highdicom: Any, quantity: Code, value: float | str, unit: Code) -> Any:
    """Returns a measurement, or one without value and with the reason (PS3.3, section C.18.1)."""
    if isinstance(value, str):
        reason = find_code(value, (_REASONS,))
        if not in_context(reason, _REASONS):
            raise DerivedObjectError(
                f"{value!r} is neither a number nor a reason for having none: give one of CID 42, such as "
                "'Measurement failure', 'Measurement not attempted' or 'Value unknown'"
            )
    elif math.isfinite(value):
        return highdicom.sr.Measurement(name=code_of(quantity), value=float(value), unit=code_of(unit))
    else:
        reason = _NOT_A_NUMBER if math.isnan(value) else _INFINITE[value > 0]
    return highdicom.sr.Measurement(name=code_of(quantity), value=0.0, unit=code_of(unit), qualifier=code_of(reason))


def _coded_answers(finding: Finding) -> dict[str, tuple[Code, Code]]:
    found = {}
    for question, answer in finding.evaluations.items():
        try:
            found[question] = (_concept(finding, question), _answer(question, answer))
        except DerivedObjectError:  # no code for one of them: it is written as words
            continue
    return found


def _answer(question: str, answer: Code | str) -> Code:
    """Returns the code of an answer, also where its name holds the question, as that of "Good image quality" does."""
    if isinstance(answer, Code):
        return answer
    try:
        return find_code(answer, _ANSWERS)
    except DerivedObjectError:
        return find_code(f"{answer} {question}")


def _with_words(highdicom: Any, group: Any, finding: Finding) -> Any:
    """Returns a group with the evaluations that have no code as comments (PS3.16, TID 1501)."""
    coded = _coded_answers(finding)
    for question, answer in finding.evaluations.items():
        if question not in coded:
            words = answer if isinstance(answer, str) else answer.meaning
            group[0].ContentSequence.append(
                highdicom.sr.TextContentItem(
                    name=code_of(_COMMENT),
                    value=f"{question}: {words}",
                    relationship_type=highdicom.sr.RelationshipTypeValues.CONTAINS,
                )
            )
    return group


def _concept(finding: Finding, name: str) -> Code:
    return finding.quantity_codes.get(name) or find_code(name, QUANTITY_CONTEXTS)


def _segment(highdicom: Any, name: str, given: tuple[Dataset, int], series: SourceSeries) -> tuple[str, Any]:
    """The reference to a segment, and the UID under which it is tracked."""
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
