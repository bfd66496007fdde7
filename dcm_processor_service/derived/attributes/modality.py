"""Writes the attributes that the image classes CT, MR, PET and Secondary Capture require beyond planes and pixels.

PS3.3, sections C.8.2.1 (CT), C.8.3.1 (MR), C.8.9 (PET), C.8.6 (SC). Only those acquisition attributes of the source are
copied that the class requires and that hold for any image computed from it, such as the pulse sequence of an MR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydicom import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.attributes.pixels import ds
from dcm_processor_service.derived.attributes.wording import is_keyword
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.derived.terminology.body_parts import may_have_side
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import number, text, texts

if TYPE_CHECKING:
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import ImageKind

__all__ = ["ImageClass", "choose_class", "write_modality"]

ImageClass: TypeAlias = Literal["ct", "mr", "pt", "sc"]

_CLASSES: dict[ImageClass, UID] = {
    "ct": CTImageStorage,
    "mr": MRImageStorage,
    "pt": PositronEmissionTomographyImageStorage,
    "sc": SecondaryCaptureImageStorage,
}
_KINDS: dict[str, ImageClass] = {
    CTImageStorage: "ct",
    EnhancedCTImageStorage: "ct",
    LegacyConvertedEnhancedCTImageStorage: "ct",
    MRImageStorage: "mr",
    EnhancedMRImageStorage: "mr",
    EnhancedMRColorImageStorage: "mr",
    LegacyConvertedEnhancedMRImageStorage: "mr",
    PositronEmissionTomographyImageStorage: "pt",
    EnhancedPETImageStorage: "pt",
    LegacyConvertedEnhancedPETImageStorage: "pt",
}
_MODALITIES: dict[ImageClass, str] = {"ct": "CT", "mr": "MR", "pt": "PT"}
_CONTRAST = ("ContrastBolusAgent", "ContrastBolusAgentSequence")
_ALWAYS = ("ImageLaterality", "AnatomicRegionSequence", "BurnedInAnnotation")
_TAKEN: dict[ImageClass, tuple[str, ...]] = {
    "ct": ("KVP", *_CONTRAST),
    "mr": (
        "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime",
        "InversionTime", "EchoTrainLength", "FlipAngle", "MagneticFieldStrength", "ImagedNucleus", *_CONTRAST,
    ),
    "pt": (
        "Units", "CountsSource", "DecayCorrection", "CorrectedImage", "CollimatorType",
        "PatientOrientationCodeSequence",
        "PatientGantryRelationshipCodeSequence", "RadiopharmaceuticalInformationSequence", "SUVType",
    ),
    "sc": (),
}  # fmt: skip
_TYPE_2: dict[ImageClass, tuple[str, ...]] = {
    "ct": ("PatientPosition", "KVP", "AcquisitionNumber"),
    "mr": ("PatientPosition", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    "pt": (
        "CorrectedImage", "CollimatorType", "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence",
        "RadiopharmaceuticalInformationSequence", "AcquisitionDate", "AcquisitionTime", "ActualFrameDuration",
    ),
    "sc": (),
}  # fmt: skip


def choose_class(kind: ImageKind, source: Source) -> tuple[ImageClass, str, str]:
    """Returns the image class, its SOPClassUID and the Modality.

    For an enhanced multi-frame source, the image class is the single-frame class of the same modality.

    Raises:
        DerivedObjectError: The kind is unknown, or it is ``source`` and there is no source series.
    """
    if kind == "source":
        if not isinstance(source, SourceSeries):
            raise DerivedObjectError("there is no source to take the class from: say kind='ct', 'mr', 'pt' or 'sc'")
        chosen: ImageClass = _KINDS.get(source.sop_class_uid, "sc")
    elif kind in _CLASSES:
        chosen = kind
    else:
        raise DerivedObjectError(f"no image class is called {kind!r}: say 'source', 'ct', 'mr', 'pt' or 'sc'")
    modality = _MODALITIES.get(chosen, "OT")
    if chosen == "sc" and isinstance(source, SourceSeries):
        stated = source.modality.upper()  # some sources write it in lower case
        modality = stated if is_keyword(stated) else modality
    return chosen, str(_CLASSES[chosen]), modality


def write_modality(dataset: Dataset, image_class: ImageClass, source: Source, units: str | None) -> None:
    """Writes the attributes of the class that all instances of a series share."""
    like = source.first if isinstance(source, SourceSeries) else None
    same_class = isinstance(source, SourceSeries) and _KINDS.get(source.sop_class_uid) == image_class
    if like is not None:
        copy_attributes(like, dataset, _ALWAYS)
        if same_class:
            copy_attributes(like, dataset, _TAKEN[image_class])
        _write_lossy(dataset, like)
    write_laterality(dataset)
    if image_class in {"ct", "mr"}:  # PET has orientation codes instead (C.7.3.1.1.2)
        copy_attributes(like or Dataset(), dataset, ("PatientPosition",))
    for keyword in _TYPE_2[image_class]:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if image_class == "ct":
        localizer = like is not None and "LOCALIZER" in texts(like, "ImageType")[2:3]
        dataset.ImageType = ["DERIVED", "SECONDARY", "LOCALIZER" if localizer else "AXIAL"]
        dataset.RescaleType = units or "US"
    elif image_class == "mr":
        dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        _require(dataset, "ScanningSequence", "RM")
        if "IR" not in texts(dataset, "ScanningSequence"):  # only inversion recovery has it (PS3.3, section C.8.3.1)
            dataset.pop("InversionTime", None)
        _require(dataset, "SequenceVariant", "NONE")
    elif image_class == "pt":
        _write_pet(dataset, units)
    else:
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        dataset.ConversionType = "WSD"


def write_laterality(dataset: Dataset) -> None:
    """Writes Laterality, type 2C: present for paired parts, empty if the side is unknown (PS3.3, section C.7.3.1)."""
    if may_have_side(dataset) and "ImageLaterality" not in dataset:
        dataset.setdefault("Laterality", None)
    else:
        dataset.pop("Laterality", None)


def _require(dataset: Dataset, keyword: str, value: str) -> None:
    if not texts(dataset, keyword):
        setattr(dataset, keyword, value)


def _write_pet(dataset: Dataset, units: str | None) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY"]  # PET allows no other second value (PS3.3, section C.8.9.4.1.1)
    if units != text(dataset, "Units"):
        dataset.pop("SUVType", None)
    dataset.Units = units or "NONE"
    _require(dataset, "CountsSource", "EMISSION")
    _require(dataset, "DecayCorrection", "NONE")
    if text(dataset, "DecayCorrection") != "NONE":
        # the values already include the decay correction of each frame
        dataset.DecayFactor = "1"


def _write_lossy(dataset: Dataset, like: Dataset) -> None:
    """Copies the attributes that mark pixels as once compressed with losses (PS3.3, section C.7.6.1.1.5)."""
    if text(like, "LossyImageCompression") == "01":
        copy_attributes(
            like, dataset, ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
        )


def slice_thickness(source: Source, step_mm: float, *, on_source_grid: bool) -> str:
    """Returns SliceThickness (0018,0050): the source's on the source's grid, or else the distance between slices."""
    stated = number(source.first, "SliceThickness") if isinstance(source, SourceSeries) and on_source_grid else None
    return ds(stated or step_mm)
