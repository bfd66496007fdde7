"""The object makers of ``dcm-processor-service`` 0.0.1, with its names, parameters and return values.

Part of the 0.0.1 API; stays until 2.0.

These functions call the makers of this package, which correct errors of 0.0.1 in geometry, values, ages, names in any
script, decimal strings, orientation letters and document lengths (``docs/migrating.md`` lists the differences). UIDs
are still new on every call, since these functions have no parameter for the role; the new makers repeat the UIDs when a
job runs again.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from importlib import metadata
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    UID,
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.pixels import ds
from dcm_processor_service.derived.attributes.references import source_images
from dcm_processor_service.derived.objects.encapsulated_pdf import encapsulated_pdf
from dcm_processor_service.derived.objects.image import derive_image, direction_letters
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import convert_frame, orientation_label
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import integer, numbers, text, texts
from dcm_processor_service.models.derived import DocumentOptions, ImageOptions, Producer, Recipe, StudyIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nibabel.spatialimages import SpatialImage
    from pydicom import Dataset, FileDataset

    from dcm_processor_service.models.derived import ImageKind

__all__ = ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"]

D = TypeVar("D", bound="Dataset")

_LONGEST_SERIES_NUMBER = 9
_LONGEST_DESCRIPTION = 64
_LONGEST_DS = 16
_KIND_OF_MODALITY: dict[str, ImageKind] = {"CT": "ct", "MR": "mr", "PT": "pt", "PET": "pt"}
_KIND_OF_CLASS: dict[str, ImageKind] = {
    CTImageStorage: "ct",
    MRImageStorage: "mr",
    PositronEmissionTomographyImageStorage: "pt",
    SecondaryCaptureImageStorage: "sc",
}


def make_pdf_dicom(
    ref_dicom: Dataset,
    pdf_data: str | bytes,
    series_description: str | None = None,
    series_number: int | str | None = None,
) -> FileDataset:
    """Wraps a PDF as a DICOM object of the reference's study.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.derive.pdf``.

    Args:
        ref_dicom: Any instance of the study; patient and study are taken from it, and the PDF refers to it.
        pdf_data: The PDF in base64.
        series_description: Also the title; ``PDF Report`` when None.
        series_number: Appended to the digits of the reference's SeriesNumber; 2000 when None.

    Raises:
        DerivedObjectError: ``pdf_data`` is not base64, or not a PDF in base64; or the reference belongs to no study.

    Example:
        >>> from pydicom import Dataset
        >>> ref = Dataset()
        >>> ref.StudyInstanceUID, ref.PatientID, ref.SeriesNumber = "2.25.1", "P1", 3
        >>> made = make_pdf_dicom(ref, base64.b64encode(b"%PDF-1.4").decode())
        >>> int(made.SeriesNumber), made.EncapsulatedDocumentLength
        (32000, 8)
    """
    try:
        content = base64.b64decode(pdf_data, validate=False)
    except (binascii.Error, ValueError) as error:
        raise DerivedObjectError("pdf_data is not base64 text: encode the PDF with base64.b64encode") from error
    description = series_description or "PDF Report"
    number = _series_number(ref_dicom, series_number or "2000")
    options = DocumentOptions(modality="OT")  # without a title of its own, the description becomes the title
    return encapsulated_pdf(content, SourceSeries((ref_dicom,)), _recipe(description, number), options)


def make_series_dicom(ref_dicom: Dataset, datasets: Sequence[D], series_description: str = "") -> Sequence[D]:
    """Makes a new series of the reference's study from datasets, which are changed in place.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.derive``.

    Writes patient, study, equipment and dates, new UIDs, and a SeriesNumber that consists of the reference's digits and
    then the dataset's. Text becomes UTF-8, and decimal strings are rounded to 16 characters. Positions are assumed to
    be in the reference's frame of reference, if it has one.

    Args:
        ref_dicom: Any instance of the study.
        datasets: Images with pixels and a SOPClassUID.
        series_description: SeriesDescription (0008,103E).

    Raises:
        DerivedObjectError: The reference belongs to no study.

    Returns:
        The same datasets.
    """
    frame_of_reference = text(ref_dicom, "FrameOfReferenceUID") or generate_uid(prefix="2.25.")
    composite = Composite(_recipe(series_description, None), SourceSeries((ref_dicom,)))
    with contained():
        for count, dataset in enumerate(datasets, start=1):
            series_number = _series_number(ref_dicom, text(dataset, "SeriesNumber") or "00")
            _modernise(dataset)
            _join(dataset, composite, integer(dataset, "InstanceNumber") or count, composite.uids.instance(count))
            dataset.SeriesNumber = series_number
            dataset.SeriesDescription = series_description[:_LONGEST_DESCRIPTION]
            composite.write_derivation(dataset)
            _describe_image(dataset, ref_dicom, frame_of_reference)
    return datasets


def nifti_to_dicom(
    img_nib: SpatialImage,
    modality: str,
    series_description: str = "",
    study_instance_uid: str | None = None,
    sop_class_uid: str | None = None,
    ref_dcm: Dataset | None = None,
) -> list[FileDataset]:
    """Turns a NIfTI image into a DICOM series, one instance per slice, at the positions that its affine states.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.derive``.

    Integers that fit into 16 bits are stored unchanged. Other values are stored with a slope and an intercept, and an
    error of at most half the slope.

    Args:
        img_nib: Image with two to four axes.
        modality: Modality (0008,0060); also chooses the class: CT, MR, PT, and Secondary Capture for all others.
        series_description: SeriesDescription (0008,103E).
        study_instance_uid: The study; ignored if ``ref_dcm`` is given; a new study when both are None.
        sop_class_uid: CT, MR, PET or Secondary Capture Image Storage, to choose the class.
        ref_dcm: An instance of the study; patient, study and frame of reference are taken from it.

    Raises:
        DerivedObjectError: The affine is sheared, a value is NaN, or the class is not one of the four.
    """
    if sop_class_uid is not None and str(sop_class_uid) not in _KIND_OF_CLASS:
        raise DerivedObjectError(
            f"images of class {sop_class_uid} are not made from NIfTI: use the storage class of CT, MR, PET or "
            "Secondary Capture, or segmentation() and parametric_map() for their classes"
        )
    kind = _KIND_OF_CLASS[str(sop_class_uid)] if sop_class_uid else _KIND_OF_MODALITY.get(modality.upper(), "sc")
    array = np.asanyarray(img_nib.dataobj)
    affine_lps = convert_frame(np.asarray(img_nib.affine, dtype=np.float64), "RAS", "LPS")
    if ref_dcm is None:
        study = StudyIdentity(patient_id="", study_instance_uid=study_instance_uid or generate_uid(prefix="2.25."))
        made = derive_image(array, study, _recipe(series_description, 2001), affine_lps, ImageOptions(kind=kind))
    else:
        recipe = _recipe(series_description, _series_number(ref_dcm, "2001"))
        same_frame = True if text(ref_dcm, "FrameOfReferenceUID") else None
        keeps_units = (kind == "pt" and bool(text(ref_dcm, "Units"))) or (
            kind == "ct" and text(ref_dcm, "Modality") == "CT"
        )
        options = ImageOptions(kind=kind, same_frame=same_frame, units="source" if keeps_units else None)
        made = derive_image(array, SourceSeries((ref_dcm,)), recipe, affine_lps, options)
    for dataset in made.datasets:
        dataset.Modality = modality.upper()  # a code string has no lower-case letters
        dataset.SeriesDescription = series_description[:_LONGEST_DESCRIPTION]
    return list(made.datasets)


def _recipe(description: str, series_number: int | None) -> Recipe:
    try:
        version = metadata.version("dcm-processor-service")
    except metadata.PackageNotFoundError:  # not installed, but run from its source
        version = "0"
    producer = Producer("dcm-processor-service", version, session_id=uuid.uuid4().hex)
    return Recipe(
        producer, role="object", series_description=description[:_LONGEST_DESCRIPTION], series_number=series_number
    )


def _series_number(reference: Dataset, appended: int | str) -> int:
    """Returns the number made of the reference's digits and the appended ones; only the last nine if there are more."""
    own = integer(reference, "SeriesNumber")
    digits = re.sub(r"\D", "", f"{'00' if own is None else own}{appended}")
    return int(digits[-_LONGEST_SERIES_NUMBER:] or "0")


def _modernise(dataset: Dataset) -> None:
    """Decodes text and names, so that they can be written in UTF-8, and shortens decimal strings to 16 characters."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                item.pop("SpecificCharacterSet", None)
                _modernise(item)
        elif element.VR in {"PN", "DS"} and not element.is_empty:
            convert = str if element.VR == "PN" else _short
            value = element.value
            element.value = [convert(part) for part in value] if isinstance(value, MultiValue) else convert(value)


def _short(value: float | str) -> float | str:
    written = str(value)
    if len(written) <= _LONGEST_DS:
        return value
    try:
        return ds(float(value))
    except ValueError as error:
        raise DerivedObjectError("a decimal string of a dataset is not a finite number: replace it") from error


def _join(dataset: Dataset, composite: Composite, number: int, uid: str) -> None:
    """Makes a dataset an instance of the new series."""
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    composite.complete(dataset)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    dataset.SOPInstanceUID = UID(uid)
    dataset.InstanceNumber = number


def _describe_image(dataset: Dataset, reference: Dataset, frame_of_reference: str) -> None:
    source = SourceSeries((reference,))
    dataset.SourceImageSequence = source_images(source.frames)
    if not dataset.SourceImageSequence:
        del dataset.SourceImageSequence
    own_class = _KIND_OF_CLASS.get(text(dataset, "SOPClassUID"))
    orientation = numbers(dataset, "ImageOrientationPatient", count=6)
    plane = orientation or numbers(reference, "ImageOrientationPatient", count=6)
    stated = texts(reference, "ImageType")[2:3]
    third = (orientation_label(plane, 25.0).upper(),) if plane else stated
    if own_class == "ct":
        third = stated if stated == ("LOCALIZER",) else ("AXIAL",)
    dataset.ImageType = ["DERIVED", "PRIMARY"] if own_class == "pt" else ["DERIVED", "SECONDARY", *third]
    if orientation is not None:
        cosines = np.asarray(orientation)
        dataset.PatientOrientation = [direction_letters(cosines[:3]), direction_letters(cosines[3:])]
    elif "PatientOrientation" not in dataset:
        dataset.PatientOrientation = None
    if "ImagePositionPatient" in dataset:
        dataset.FrameOfReferenceUID = frame_of_reference
        dataset.PositionReferenceIndicator = None
    write_laterality(dataset)
