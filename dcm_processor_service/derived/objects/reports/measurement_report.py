"""Makes structured reports of measurements and evaluations by template TID 1500 (PS3.16), through highdicom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.objects.highdicom_bridge import (
    code_of,
    equipment,
    finish,
    load_highdicom,
    require_series,
    shell,
)
from dcm_processor_service.derived.objects.reports.context import language_item, observer_items
from dcm_processor_service.derived.objects.reports.finding import Finding
from dcm_processor_service.derived.objects.reports.groups import measurement_group
from dcm_processor_service.derived.objects.reports.text_report import write_report_header
from dcm_processor_service.derived.terminology.codes import find_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import items, text
from dcm_processor_service.models.derived import MEASUREMENT_REPORT, Code
from dcm_processor_service.models.reports import ENGLISH

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.derived.objects.reports.finding import Measured
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Producer, Recipe
    from dcm_processor_service.models.reports import PersonObserver

__all__ = ["measurement_report"]

_PROCEDURES = {
    "CT": Code("77477000", "SCT", "CT"),
    "MR": Code("113091000", "SCT", "MRI"),
    "PT": Code("82918005", "SCT", "PET"),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
_MEASUREMENTS = "126010"
_LANGUAGE = "121049"


def measurement_report(
    findings: Mapping[str, Measured],
    source: Source,
    recipe: Recipe,
    title: Code | str = MEASUREMENT_REPORT,
    observer: PersonObserver | None = None,
    language: Code | str = ENGLISH,
) -> Dataset:
    """Makes a TID 1500 measurement report, a Comprehensive 3D SR. Without findings, its list of measurements is empty.

    The report is complete and unverified: no person has signed it.

    Args:
        findings: Measurements by name, such as ``{"liver": {"Volume": (1520.5, "ml")}}``; or a :class:`Finding` by
            name, which can say more.
        source: The images that were measured.
        recipe: Producer, role and time of making.
        title: Title of the report, a concept of CID 7021 or its name.
        observer: The person who observed; None for the service, as a device.
        language: Language of the texts, as a tag of RFC 5646 such as ``de``; names of codes stay English.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: A name has no code, a segment or language does not exist, a region is not in the images, or
            the source is not an image series.
    """
    if not isinstance(findings, Mapping):
        raise DerivedObjectError("findings have no names: give them by name, such as {'liver': {'Volume': (9, 'ml')}}")
    highdicom = load_highdicom()
    series = require_series(source, "measurement report")
    composite = Composite(recipe, series)
    groups = []
    evidence = [*series.headers, *series.further]
    for name, given in findings.items():
        finding = given if isinstance(given, Finding) else Finding(given)
        groups.append(measurement_group(highdicom, name, finding, series, composite))
        if finding.segment is not None and not any(each is finding.segment[0] for each in evidence):
            evidence.append(finding.segment[0])
    with contained():
        content = highdicom.sr.MeasurementReport(
            observation_context=highdicom.sr.ObservationContext(),
            procedure_reported=code_of(_PROCEDURES.get(series.modality, _ANY_PROCEDURE)),
            imaging_measurements=groups or [measurement_group(highdicom, "liver", Finding(), series, composite)],
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
        _write_context(dataset, recipe.producer, observer, language)
        _remove_missing_values(dataset)
        evidenced = dataset.get("CurrentRequestedProcedureEvidenceSequence")
        others = dataset.get("PertinentOtherEvidenceSequence")
        write_report_header(dataset, series)
        if evidenced or others:
            dataset.CurrentRequestedProcedureEvidenceSequence = [*(evidenced or ()), *(others or ())]
        dataset.pop("PertinentOtherEvidenceSequence", None)
        finish(dataset, composite)
        dataset.pop("Laterality", None)  # an attribute of images, not of reports
    return dataset


def _write_context(dataset: Dataset, producer: Producer, observer: PersonObserver | None, language: Code | str) -> None:
    """Writes language and observer; replaces highdicom's language item, which is always the same."""
    others = [
        item for item in dataset.ContentSequence if text(item.ConceptNameCodeSequence[0], "CodeValue") != _LANGUAGE
    ]
    dataset.ContentSequence = [language_item(language), *observer_items(producer, observer), *others]


def _empty_measurements(dataset: Dataset) -> None:
    """Removes the placeholder, which highdicom requires although the container may be empty (TID 1500, row 6)."""
    for item in dataset.ContentSequence:
        if text(item.ConceptNameCodeSequence[0], "CodeValue") == _MEASUREMENTS:
            del item.ContentSequence


def _remove_missing_values(dataset: Dataset) -> None:
    """Removes the value of each measurement that has a reason for having none; highdicom requires a number."""
    for item in items(dataset, "ContentSequence"):
        if "NumericValueQualifierCodeSequence" in item:
            item.MeasuredValueSequence = []
        _remove_missing_values(item)
