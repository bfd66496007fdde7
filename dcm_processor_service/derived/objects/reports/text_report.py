"""Makes a Basic Text SR of findings in words (PS3.3, section A.35.1; content items PS3.3, section C.17.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.references import instance_references, referenced_series
from dcm_processor_service.derived.attributes.wording import require_line, require_lines
from dcm_processor_service.derived.objects.reports.context import content_item, language_item, observer_items
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.derived.terminology.codes import code_item, find_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models.derived import DIAGNOSTIC_REPORT, Code
from dcm_processor_service.models.reports import ENGLISH

if TYPE_CHECKING:
    from pydicom import FileDataset

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe
    from dcm_processor_service.models.reports import PersonObserver

__all__ = ["text_report"]

_FINDINGS = Code("121070", "DCM", "Findings")
_FINDING = Code("121071", "DCM", "Finding")
_SOURCE = Code("260753009", "SCT", "Source")
_SECTIONS = {
    "findings": _FINDINGS,
    "impression": Code("121072", "DCM", "Impressions"),
    "impressions": Code("121072", "DCM", "Impressions"),
    "conclusion": Code("121076", "DCM", "Conclusions"),
    "conclusions": Code("121076", "DCM", "Conclusions"),
    "recommendations": Code("121074", "DCM", "Recommendations"),
    "history": Code("121060", "DCM", "History"),
    "request": Code("121062", "DCM", "Request"),
    "technique": Code("121064", "DCM", "Procedure Description"),
}
_TEXT_OF = {
    "121070": _FINDING,
    "121072": Code("121073", "DCM", "Impression"),
    "121076": Code("121077", "DCM", "Conclusion"),
    "121074": Code("121075", "DCM", "Recommendation"),
}


def text_report(
    sections: Mapping[str, str] | str,
    source: Source,
    recipe: Recipe,
    title: Code | str = DIAGNOSTIC_REPORT,
    observer: PersonObserver | None = None,
    language: Code | str = ENGLISH,
) -> FileDataset:
    """Makes a structured report of plain text, which any report viewer shows.

    The report is complete and unverified: no person has signed it.

    Args:
        sections: Text by section: ``findings``, ``impression``, ``conclusion``, ``recommendations``, ``history``,
            ``request``, ``technique``, or any coded concept by name; or one text for ``findings``. Text may have line
            breaks. An empty text or mapping becomes the text "None.".
        source: The images that the report is about, or the identity of patient and study.
        recipe: Producer, role and time of making.
        title: Coded concept, or its name, for the kind of report.
        observer: The person who observed; None for the service, as a device.
        language: Language of the texts, as a tag of RFC 5646 such as ``de``; the names of the sections stay English.

    Raises:
        DerivedObjectError: A section or title has no coded concept, or there is no such language.

    Example:
        >>> from dcm_processor_service.models.derived import Producer, Recipe, StudyIdentity
        >>> who = StudyIdentity(patient_id="P1", study_instance_uid="2.25.1")
        >>> made = text_report("No nodules.", who, Recipe(Producer("reporter", "1.0"), role="text"))
        >>> made.ContentSequence[-1].ContentSequence[0].TextValue
        'No nodules.'
    """
    given = {"findings": sections} if isinstance(sections, str) else sections
    if not isinstance(given, Mapping):
        raise DerivedObjectError("the report's content is not text: give a str, or texts by section: {'findings': '…'}")
    composite = Composite(recipe, source)
    with contained():
        dataset = composite.new(BasicTextSRStorage, "SR", 1)
        dataset.pop("Laterality", None)
        write_report_header(dataset, source)
        dataset.ValueType = "CONTAINER"
        dataset.ContinuityOfContent = "SEPARATE"
        dataset.ConceptNameCodeSequence = [code_item(find_code(title))]
        dataset.ContentSequence = [
            language_item(language),
            *observer_items(recipe.producer, observer),
            *_images(source),
            *(_section(name, words) for name, words in (given or {"findings": ""}).items()),
        ]
    return dataset


def write_report_header(dataset: Dataset, source: Source) -> None:
    """Writes the SR document series and general modules (PS3.3, sections C.17.1 and C.17.2)."""
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    if not isinstance(source, SourceSeries):
        return
    by_study: dict[str, list[Dataset]] = {}
    for header in (*source.headers, *source.further):
        by_study.setdefault(text(header, "StudyInstanceUID"), []).append(header)
    evidence = []
    for study, members in by_study.items():
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = referenced_series(members)
        for series in item.ReferencedSeriesSequence:
            series.ReferencedSOPSequence = series.ReferencedInstanceSequence
            del series.ReferencedInstanceSequence
        evidence.append(item)
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence


def _images(source: Source) -> list[Dataset]:
    """Returns content items for the first image of the source and of its further instances.

    The evidence sequence lists all images.
    """
    if not isinstance(source, SourceSeries):
        return []
    found = []
    for reference in instance_references((*source.headers[:1], *source.further[:1])):
        image = content_item("CONTAINS", "IMAGE", _SOURCE)
        image.ReferencedSOPSequence = [reference]
        found.append(image)
    return found


def _section(name: str, words: str) -> Dataset:
    concept = _SECTIONS.get(require_line("the name of a section", name).strip().lower()) or find_code(name)
    if not isinstance(words, str):
        raise DerivedObjectError(f"the section {name!r} is not text: give a str")
    section = content_item("CONTAINS", "CONTAINER", concept)
    section.ContinuityOfContent = "SEPARATE"
    content = content_item("CONTAINS", "TEXT", _TEXT_OF.get(concept.value, _FINDING))
    words = require_lines(f"the section {name!r}", words)
    content.TextValue = words.replace("\r\n", "\n").replace("\n", "\r\n") or "None."
    section.ContentSequence = [content]
    return section
