"""Makes a DICOM object of the study from a PDF: Encapsulated PDF (PS3.3, sections A.45.1 and C.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.uid import EncapsulatedPDFStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.references import instance_references
from dcm_processor_service.derived.attributes.wording import require_lines
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.derived.terminology.codes import code_item, find_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.models.derived import DocumentOptions

if TYPE_CHECKING:
    from pydicom import FileDataset

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe

__all__ = ["encapsulated_pdf"]

_ST = 1024

_LARGEST_BYTES = 2**32 - 2


def encapsulated_pdf(
    content: bytes, source: Source, recipe: Recipe, options: DocumentOptions | None = None
) -> FileDataset:
    """Wraps a PDF so that it is stored and shown with the study.

    Args:
        content: The bytes of the PDF. Their true length is recorded; DICOM pads odd lengths.
        source: The images that the document is about, or the identity of patient and study.
        recipe: Producer, role and time of making.
        options: Title, kind of document, and whether the pages show the patient's identity.

    Raises:
        DerivedObjectError: The content is not a PDF or is larger than one DICOM value can be.

    Example:
        >>> from dcm_processor_service.models.derived import Producer, Recipe, StudyIdentity
        >>> identity = StudyIdentity(patient_id="P1", study_instance_uid="2.25.1")
        >>> made = encapsulated_pdf(b"%PDF-1.4 ...", identity, Recipe(Producer("reporter", "1.0"), role="report"))
        >>> made.MIMETypeOfEncapsulatedDocument, made.EncapsulatedDocumentLength
        ('application/pdf', 12)
    """
    options = options or DocumentOptions()
    if b"%PDF-" not in content[:1024]:
        raise DerivedObjectError("the content is not a PDF (it does not begin with %PDF-): give the bytes of the file")
    if len(content) > _LARGEST_BYTES:
        raise DerivedObjectError("the PDF is larger than 4 GiB, which one DICOM value cannot hold: split it")
    composite = Composite(recipe, source)
    with contained():
        dataset = composite.new(EncapsulatedPDFStorage, options.modality, 1)
        dataset.ConversionType = "WSD"
        dataset.AcquisitionDateTime = None
        dataset.BurnedInAnnotation = "YES" if options.shows_identity else "NO"
        dataset.DocumentTitle = require_lines("title", options.title, _ST) or dataset.SeriesDescription
        dataset.ConceptNameCodeSequence = [code_item(find_code(options.concept))]
        if isinstance(source, SourceSeries):
            references = instance_references((*source.headers, *source.further))
            if references:
                dataset.SourceInstanceSequence = references
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        dataset.EncapsulatedDocumentLength = len(content)
        dataset.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
        dataset.pop("Laterality", None)  # an attribute of images, not of documents
    return dataset
