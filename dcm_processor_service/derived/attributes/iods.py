"""Tables of the modules that each kind of object must have, and their type 1 and 2 attributes (PS3.3, annexes A and C).

The type of an attribute is ``1`` (present, with a value), ``2`` (present, may be empty), or either with ``C``: then the
attribute is required only if its condition in :data:`CONDITIONS` holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from dcm_processor_service.derived.terminology.body_parts import may_have_side
from dcm_processor_service.imaging.headers.values import integer, items, number, text, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydicom import Dataset

__all__ = ["CONDITIONS", "CONTENT_ITEM_SECTION", "IODS", "MODULES", "Module"]

Module: TypeAlias = "tuple[str, Mapping[str, str]]"
"""The section of PS3.3, and the type of each attribute."""


def _types(one: str = "", two: str = "", one_c: str = "", two_c: str = "") -> dict[str, str]:
    named = (("1", one), ("2", two), ("1C", one_c), ("2C", two_c))
    return {keyword: kind for kind, keywords in named for keyword in keywords.split()}


CONTENT_ITEM_SECTION = "C.17.3"

MODULES: Mapping[str, Module] = {
    "patient": (
        "C.7.1.1",
        _types(two="PatientName PatientID PatientBirthDate PatientSex", one_c="DeidentificationMethod"),
    ),
    "study": (
        "C.7.2.1",
        _types("StudyInstanceUID", "StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber"),
    ),
    "series": ("C.7.3.1", _types("Modality SeriesInstanceUID", "SeriesNumber", two_c="PatientPosition")),
    "laterality": ("C.7.3.1", _types(two_c="Laterality")),
    "frame of reference": ("C.7.4.1", _types("FrameOfReferenceUID", "PositionReferenceIndicator")),
    "frame of reference of planes": (
        "C.7.4.1",
        _types(one_c="FrameOfReferenceUID", two_c="PositionReferenceIndicator"),
    ),
    "equipment": ("C.7.5.1", _types(two="Manufacturer")),
    "enhanced equipment": (
        "C.7.5.2",
        _types("Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions"),
    ),
    "image": ("C.7.6.1", _types(two="InstanceNumber", two_c="PatientOrientation ContentDate ContentTime")),
    "plane": (
        "C.7.6.2",
        _types("PixelSpacing ImageOrientationPatient ImagePositionPatient", "SliceThickness"),
    ),
    "pixels": (
        "C.7.6.3",
        _types(
            "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit "
            "PixelRepresentation PixelData",
            one_c="PlanarConfiguration",
        ),
    ),
    "window": ("C.11.2", _types(one_c="WindowCenter WindowWidth")),
    "rescale": ("C.11.1", _types(one_c="RescaleIntercept RescaleSlope RescaleType")),
    "ct": ("C.8.2.1", _types("ImageType RescaleIntercept RescaleSlope", "KVP AcquisitionNumber")),
    "mr": (
        "C.8.3.1",
        _types(
            "ImageType ScanningSequence SequenceVariant",
            "ScanOptions MRAcquisitionType EchoTime EchoTrainLength",
            two_c="RepetitionTime InversionTime",
        ),
    ),
    "pet series": (
        "C.8.9.1",
        _types(
            "SeriesDate SeriesTime Units CountsSource SeriesType NumberOfSlices DecayCorrection",
            "CorrectedImage CollimatorType",
            "NumberOfTimeSlices",
        ),
    ),
    "pet isotope": ("C.8.9.2", _types(two="RadiopharmaceuticalInformationSequence")),
    "pet orientation": (
        "C.8.4.6",
        _types(two="PatientOrientationCodeSequence PatientGantryRelationshipCodeSequence"),
    ),
    "pet image": (
        "C.8.9.4",
        _types(
            "ImageType RescaleIntercept RescaleSlope FrameReferenceTime ImageIndex",
            "AcquisitionDate AcquisitionTime ActualFrameDuration",
            "DecayFactor",
        ),
    ),
    "conversion": ("C.8.6.1", _types("ConversionType")),
    "multi-frame": ("C.7.6.6", _types("NumberOfFrames", one_c="FrameIncrementPointer")),
    "sc multi-frame": (
        "C.8.6.3",
        _types("BurnedInAnnotation", one_c="RescaleIntercept RescaleSlope RescaleType PresentationLUTShape"),
    ),
    "functional groups": (
        "C.7.6.16",
        _types(
            "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ContentDate ContentTime InstanceNumber"
        ),
    ),
    "dimensions": ("C.7.6.17", _types("DimensionOrganizationSequence DimensionIndexSequence")),
    "document series": ("C.24.1", _types("Modality SeriesInstanceUID SeriesNumber")),
    "document": (
        "C.24.2",
        _types(
            "InstanceNumber BurnedInAnnotation EncapsulatedDocument MIMETypeOfEncapsulatedDocument",
            "ContentDate ContentTime AcquisitionDateTime ConceptNameCodeSequence DocumentTitle",
            "EncapsulatedDocumentLength",
        ),
    ),
    "report series": (
        "C.17.1",
        _types("Modality SeriesInstanceUID SeriesNumber", "ReferencedPerformedProcedureStepSequence"),
    ),
    "report": (
        "C.17.2",
        _types(
            "InstanceNumber CompletionFlag VerificationFlag ContentDate ContentTime",
            "PerformedProcedureCodeSequence",
            "VerifyingObserverSequence CurrentRequestedProcedureEvidenceSequence",
        ),
    ),
    "report content": (
        CONTENT_ITEM_SECTION,
        _types("ValueType ContinuityOfContent ConceptNameCodeSequence"),
    ),
    "segmentation": (
        "C.8.20.2",
        _types(
            "ImageType ContentLabel SegmentationType SegmentSequence LossyImageCompression",
            "ContentDescription ContentCreatorName",
            "SegmentationFractionalType MaximumFractionalValue",
        ),
    ),
    "parametric map": (
        "C.8.32.2",
        _types(
            "ImageType ContentLabel LossyImageCompression BurnedInAnnotation RecognizableVisualFeatures "
            "PresentationLUTShape ContentQualification",
            "ContentDescription ContentCreatorName",
        ),
    ),
    "float pixels": ("C.7.6.24", _types("Rows Columns BitsAllocated SamplesPerPixel PhotometricInterpretation")),
    "rt series": ("C.8.8.1", _types("Modality SeriesInstanceUID", "SeriesNumber OperatorsName")),
    "structure set": (
        "C.8.8.5",
        _types("StructureSetLabel StructureSetROISequence", "StructureSetDate StructureSetTime"),
    ),
    "presentation state": (
        "C.11.10",
        _types(
            "InstanceNumber ContentLabel PresentationCreationDate PresentationCreationTime",
            "ContentDescription ContentCreatorName",
        ),
    ),
    "presented images": ("C.11.11", _types("ReferencedSeriesSequence")),
    "displayed area": ("C.10.4", _types("DisplayedAreaSelectionSequence")),
    "presentation table": ("C.11.6", _types("PresentationLUTShape")),
    "roi contours": ("C.8.8.6", _types("ROIContourSequence")),
    "roi observations": ("C.8.8.8", _types("RTROIObservationsSequence")),
    "references": ("C.12.2", _types(one_c="ReferencedSeriesSequence")),
    "acquisition context": ("C.7.6.14", _types(two="AcquisitionContextSequence")),
    "instance": ("C.12.1", _types("SOPClassUID SOPInstanceUID", one_c="SpecificCharacterSet")),
}

_IMAGE = ("patient", "study", "series", "laterality", "image", "instance", "window")
_CROSS = (*_IMAGE, "frame of reference", "equipment", "plane", "pixels")
_SC_MULTI = (*_IMAGE, "equipment", "pixels", "conversion", "multi-frame", "sc multi-frame")
_ENHANCED = (
    "patient", "study", "series", "frame of reference", "equipment", "enhanced equipment", "instance",
    "multi-frame", "functional groups", "dimensions", "references",
)  # fmt: skip
_SEGMENTATION = tuple("frame of reference of planes" if each == "frame of reference" else each for each in _ENHANCED)
_REPORT = ("patient", "study", "report series", "equipment", "report", "report content", "instance")

IODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "1.2.840.10008.5.1.4.1.1.2": ("CT Image", (*_CROSS, "ct")),
    "1.2.840.10008.5.1.4.1.1.4": ("MR Image", (*_CROSS, "mr")),
    "1.2.840.10008.5.1.4.1.1.128": (
        "PET Image",
        (*_CROSS, "pet series", "pet isotope", "pet orientation", "pet image"),
    ),
    "1.2.840.10008.5.1.4.1.1.7": ("Secondary Capture Image", (*_IMAGE, "equipment", "pixels", "conversion", "rescale")),
    "1.2.840.10008.5.1.4.1.1.7.2": ("Multi-frame Grayscale Byte SC Image", _SC_MULTI),
    "1.2.840.10008.5.1.4.1.1.7.3": ("Multi-frame Grayscale Word SC Image", _SC_MULTI),
    "1.2.840.10008.5.1.4.1.1.7.4": ("Multi-frame True Color SC Image", _SC_MULTI),
    "1.2.840.10008.5.1.4.1.1.11.1": (
        "Grayscale Softcopy Presentation State",
        (
            "patient",
            "study",
            "series",
            "laterality",
            "equipment",
            "presentation state",
            "presented images",
            "displayed area",
            "rescale",
            "presentation table",
            "instance",
        ),
    ),
    "1.2.840.10008.5.1.4.1.1.481.3": (
        "RT Structure Set",
        (
            "patient",
            "study",
            "rt series",
            "equipment",
            "frame of reference",
            "structure set",
            "roi contours",
            "roi observations",
            "instance",
        ),
    ),
    "1.2.840.10008.5.1.4.1.1.104.1": (
        "Encapsulated PDF",
        ("patient", "study", "document series", "equipment", "conversion", "document", "instance"),
    ),
    "1.2.840.10008.5.1.4.1.1.88.11": ("Basic Text SR", _REPORT),
    "1.2.840.10008.5.1.4.1.1.88.22": ("Enhanced SR", _REPORT),
    "1.2.840.10008.5.1.4.1.1.88.33": ("Comprehensive SR", _REPORT),
    "1.2.840.10008.5.1.4.1.1.88.34": ("Comprehensive 3D SR", _REPORT),
    "1.2.840.10008.5.1.4.1.1.66.7": ("Label Map Segmentation", (*_SEGMENTATION, "pixels", "segmentation")),
    "1.2.840.10008.5.1.4.1.1.66.4": ("Segmentation", (*_SEGMENTATION, "pixels", "segmentation")),
    "1.2.840.10008.5.1.4.1.1.30": (
        "Parametric Map",
        (*_ENHANCED, "float pixels", "parametric map", "acquisition context"),
    ),
}


def _is_gray(dataset: Dataset) -> bool:
    return text(dataset, "PhotometricInterpretation") == "MONOCHROME2" and (integer(dataset, "BitsStored") or 0) > 1


def _has_rescale(dataset: Dataset) -> bool:
    return "RescaleSlope" in dataset or "RescaleIntercept" in dataset


_POSITIONED = frozenset({"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"})  # CT and MR
_CROSS_SECTIONS = _POSITIONED | {"1.2.840.10008.5.1.4.1.1.128"}  # and PET
_SC_PREFIX = "1.2.840.10008.5.1.4.1.1.7"


def _is_multi_frame_sc(dataset: Dataset) -> bool:
    return text(dataset, "SOPClassUID").startswith(f"{_SC_PREFIX}.") and _is_gray(dataset)


def _always(_: Dataset) -> bool:
    return True


def _never(_: Dataset) -> bool:
    return False


def _has_planes(dataset: Dataset) -> bool:
    groups = (*items(dataset, "SharedFunctionalGroupsSequence"), *items(dataset, "PerFrameFunctionalGroupsSequence"))
    return any("PlanePositionSequence" in each for each in groups)


CONDITIONS: Mapping[str, Callable[[Dataset], bool]] = {
    "SpecificCharacterSet": _always,  # every object of this package is written in UTF-8
    "DeidentificationMethod": lambda dataset: (
        text(dataset, "PatientIdentityRemoved") == "YES" and "DeidentificationMethodCodeSequence" not in dataset
    ),
    "FrameOfReferenceUID": _has_planes,  # only of segmentations, which may be of projections (PS3.3, section A.51.3)
    "PositionReferenceIndicator": _has_planes,
    "PatientPosition": lambda dataset: (
        text(dataset, "SOPClassUID") in _POSITIONED and "PatientOrientationCodeSequence" not in dataset
    ),
    "Laterality": lambda dataset: may_have_side(dataset) and "ImageLaterality" not in dataset,
    "PatientOrientation": lambda dataset: text(dataset, "SOPClassUID") not in _CROSS_SECTIONS,
    "ContentDate": lambda dataset: (number(dataset, "NumberOfTemporalPositions") or 0) > 1,
    "ContentTime": lambda dataset: (number(dataset, "NumberOfTemporalPositions") or 0) > 1,
    "PlanarConfiguration": lambda dataset: (integer(dataset, "SamplesPerPixel") or 1) > 1,
    "WindowCenter": lambda dataset: "WindowWidth" in dataset,
    "WindowWidth": lambda dataset: "WindowCenter" in dataset,
    "RescaleIntercept": lambda dataset: _has_rescale(dataset) or _is_multi_frame_sc(dataset),
    "RescaleSlope": lambda dataset: _has_rescale(dataset) or _is_multi_frame_sc(dataset),
    "RescaleType": lambda dataset: _has_rescale(dataset) or _is_multi_frame_sc(dataset),
    "PresentationLUTShape": _is_multi_frame_sc,
    "RepetitionTime": lambda dataset: (
        not ("EP" in texts(dataset, "ScanningSequence") and "SK" not in texts(dataset, "SequenceVariant"))
    ),
    "InversionTime": lambda dataset: "IR" in texts(dataset, "ScanningSequence"),
    "NumberOfTimeSlices": lambda dataset: "DYNAMIC" in texts(dataset, "SeriesType"),
    "DecayFactor": lambda dataset: text(dataset, "DecayCorrection") not in {"", "NONE"},
    "FrameIncrementPointer": lambda dataset: (
        (integer(dataset, "NumberOfFrames") or 1) > 1 and text(dataset, "SOPClassUID").startswith(_SC_PREFIX)
    ),
    "EncapsulatedDocumentLength": _always,  # optional in the standard; an odd length is padded, and unknown without it
    "VerifyingObserverSequence": lambda dataset: text(dataset, "VerificationFlag") == "VERIFIED",
    "CurrentRequestedProcedureEvidenceSequence": _never,  # cannot be judged from the object alone
    "ReferencedSeriesSequence": lambda dataset: any(
        "DerivationImageSequence" in groups for groups in items(dataset, "PerFrameFunctionalGroupsSequence")
    ),
    "SegmentationFractionalType": lambda dataset: text(dataset, "SegmentationType") == "FRACTIONAL",
    "MaximumFractionalValue": lambda dataset: text(dataset, "SegmentationType") == "FRACTIONAL",
}
