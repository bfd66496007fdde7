"""Writes the JSON beside a NIfTI file: BIDS metadata without patient attributes, or the whole header in simple form."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydicom.datadict import keyword_for_tag
from pydicom.uid import ParametricMapStorage

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.acquisition.bids_fields import acquisition_fields
from dcm_processor_service.imaging.acquisition.mr_scan import functional_groups
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import item, numbers, text, texts
from dcm_processor_service.imaging.nifti.write import sidecar_path, write_json, write_nifti
from dcm_processor_service.models.images.nifti import NiftiFiles, NiftiVolume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import nibabel as nib
    from pydicom import DataElement, Dataset

    from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
    from dcm_processor_service.models.images.nifti import Sidecar

__all__ = ["bids_metadata", "get_simplified_json", "write_with_sidecar"]

_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0}

_MILLI = 1e-3

# DICOM keyword: (BIDS name, factor to BIDS's unit). The names are those of BIDS 1.9 for MR, PET and CT, or dcm2niix's
# names for attributes that BIDS does not name.
_BIDS_NUMBERS: dict[str, tuple[str, float]] = {
    "MagneticFieldStrength": ("MagneticFieldStrength", 1),
    "ImagingFrequency": ("ImagingFrequency", 1),
    "TransmitterFrequency": ("ImagingFrequency", 1),
    "RepetitionTime": ("RepetitionTime", _MILLI),
    "EchoTime": ("EchoTime", _MILLI),
    "EffectiveEchoTime": ("EchoTime", _MILLI),
    "InversionTime": ("InversionTime", _MILLI),
    "FlipAngle": ("FlipAngle", 1),
    "EchoTrainLength": ("EchoTrainLength", 1),
    "ParallelReductionFactorInPlane": ("ParallelReductionFactorInPlane", 1),
    "ParallelReductionFactorOutOfPlane": ("ParallelReductionFactorOutOfPlane", 1),
    "PixelBandwidth": ("PixelBandwidth", 1),
    "NumberOfAverages": ("NumberOfAverages", 1),
    "SAR": ("SAR", 1),
    "SliceThickness": ("SliceThickness", 1),
    "SpacingBetweenSlices": ("SpacingBetweenSlices", 1),
    "KVP": ("KVP", 1),
    "XRayTubeCurrent": ("XRayTubeCurrent", 1),
    "ExposureTime": ("ExposureTime", 1),
    "Exposure": ("Exposure", 1),
    "GantryDetectorTilt": ("GantryDetectorTilt", 1),
    "FrameReferenceTime": ("FrameReferenceTime", _MILLI),
    "ActualFrameDuration": ("FrameDuration", _MILLI),
    "SeriesNumber": ("SeriesNumber", 1),
    "ImageOrientationPatient": ("ImageOrientationPatientDICOM", 1),
}
_BIDS_TEXTS: dict[str, str] = {
    "Modality": "Modality",
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturersModelName",
    "SoftwareVersions": "SoftwareVersions",
    "BodyPartExamined": "BodyPartExamined",
    "PatientPosition": "PatientPosition",
    "SeriesDescription": "SeriesDescription",
    "ProtocolName": "ProtocolName",
    "ScanningSequence": "ScanningSequence",
    "SequenceVariant": "SequenceVariant",
    "ScanOptions": "ScanOptions",
    "SequenceName": "SequenceName",
    "PulseSequenceName": "SequenceName",
    "ParallelAcquisitionTechnique": "ParallelAcquisitionTechnique",
    "PartialFourierDirection": "PartialFourierDirection",
    "MRAcquisitionType": "MRAcquisitionType",
    "InPlanePhaseEncodingDirection": "InPlanePhaseEncodingDirectionDICOM",
    "ReceiveCoilName": "ReceiveCoilName",
    "ConvolutionKernel": "ConvolutionKernel",
    "ImageType": "ImageType",
    "Units": "Units",
    "SeriesInstanceUID": "SeriesInstanceUID",
}
# Several values of these become a list, and ImageType always is one. Several values of others stay one text, as in
# DICOM.
_MAY_BE_LISTS = frozenset({"ScanningSequence", "SequenceVariant", "ScanOptions"})
# attributes in which zero means that there is no value
_NEVER_ZERO = frozenset({"EchoTime", "EffectiveEchoTime", "InversionTime", "RepetitionTime"})
# terms that enhanced objects use, and the classic terms that replace them
_CLASSIC_TERMS = {("InPlanePhaseEncodingDirection", "COLUMN"): "COL"}
# units of field maps, as BIDS spells them
_FIELD_MAP_UNITS = {"hz": "Hz", "rad/s": "rad/s", "t": "T"}
_BINARY_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_MR_GROUPS = (
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRImagingModifierSequence",
    "MRFOVGeometrySequence",
    "MRModifierSequence",
    "MRReceiveCoilSequence",
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
)


def bids_metadata(header: Dataset, frame_number: int = 1) -> dict[str, Any]:
    """Returns the BIDS metadata of a series, in BIDS's names and units (seconds, mm, degrees).

    The metadata has no name, id, date or other attribute of the patient. But SeriesDescription and ProtocolName are
    copied as the scanner's staff wrote them.

    Args:
        header: Whole header of one file.
        frame_number: For an enhanced object, the number, from 1, of the frame whose attributes are used; 0 uses only
            those that all frames share.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.Modality, header.RepetitionTime = "MR", 2500
        >>> metadata = bids_metadata(header)
        >>> metadata["Modality"], metadata["RepetitionTime"]
        ('MR', 2.5)
    """
    result: dict[str, Any] = {}
    with contained():
        for dataset in _places(header, frame_number):
            for keyword, name in _BIDS_TEXTS.items():
                values = [value for value in texts(dataset, keyword) if value]
                values = [_CLASSIC_TERMS.get((keyword, value), value) for value in values]
                if values:
                    is_list = name == "ImageType" or (name in _MAY_BE_LISTS and len(values) > 1)
                    result.setdefault(name, values if is_list else "\\".join(values))
            for keyword, (name, factor) in _BIDS_NUMBERS.items():
                found = numbers(dataset, keyword)
                if found and not (keyword in _NEVER_ZERO and not any(found)):
                    scaled = [_tidy(value * factor) for value in found]
                    result.setdefault(name, scaled[0] if len(scaled) == 1 else scaled)
    result["ConversionSoftware"] = "dcm-processor-service"
    with suppress(PackageNotFoundError):  # the package is run from its source tree, without installation
        result["ConversionSoftwareVersion"] = version("dcm-processor-service")
    return result


def _places(header: Dataset, frame_number: int) -> list[Dataset]:
    """Returns the datasets to search for attributes: the header, the frame's functional groups, the shared ones."""
    groups = functional_groups(header, frame_number)[:-1]
    return [header, *(found for group in groups for name in _MR_GROUPS if (found := item(group, name)) is not None)]


def _frame_number(volume: VoxelGrid) -> int:
    """Returns the number of a volume's first frame in the file from which its header is; 0 if it has no sources."""
    uid = "" if volume.header is None else text(volume.header, "SOPInstanceUID")
    sources = volume.sources[0] if volume.sources else ()
    return min((one.frame_number for one in sources if one.sop_instance_uid == uid), default=0)


def _tidy(value: float) -> float | int:
    rounded = round(value, 9)
    return int(rounded) if rounded == int(rounded) else rounded


def get_simplified_json(ds: Dataset, n_slices: int | None = None) -> dict[str, Any]:
    """Returns a header as a dictionary of DICOM keyword and plain value, as the 0.0.1 API did.

    Part of the 0.0.1 API; stays until 2.0. New code: ``series.to_nifti(…, sidecar="simplified")``.

    Several values of an element become a list; a single value does not. PatientName is text, and PatientAge a number of
    whole years. Sequences become nested lists of dictionaries, so their values never replace a top-level value. Binary,
    private, empty and unreadable elements are left out. The result holds patient data.

    Args:
        ds: A dataset, which is not changed; its pixel data is not read.
        n_slices: Number to store under ``Slices``; None stores none.

    Example:
        >>> from pydicom import Dataset
        >>> header = Dataset()
        >>> header.PatientAge, header.PixelSpacing = "045Y", [0.5, 0.7]
        >>> get_simplified_json(header, n_slices=2)
        {'PatientAge': 45, 'PixelSpacing': [0.5, 0.7], 'Slices': 2}
    """
    with contained():
        result = _simplified(ds)
        if "PatientName" in ds:
            result["PatientName"] = str(ds.PatientName)
        age = _years(str(ds.get("PatientAge") or ""))
        if age is not None:
            result["PatientAge"] = age
    if n_slices is not None:
        result["Slices"] = n_slices
    return result


def _years(age: str) -> int | None:
    """Returns the whole years of an age such as ``006M`` (PS3.5, section 6.2, AS); an age without a unit is in years.

    Example:
        >>> _years("045Y"), _years("006M"), _years("024M"), _years("104W"), _years("45"), _years("")
        (45, 0, 2, 1, 45, None)
    """
    digits = "".join(re.findall(r"\d", age))
    if not digits:
        return None
    return int(int(digits) / _PER_YEAR.get(age.strip()[-1:].upper(), 1))


def _simplified(ds: Dataset) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for tag in sorted(ds.keys()):
        keyword = keyword_for_tag(tag)
        if not keyword:
            continue
        try:
            element = ds[tag]
            value = None if element.VR in _BINARY_VRS or "/" in element.VR else _plain(element)
        except Exception:  # noqa: BLE001, S112 one malformed element must not hide the rest of the header
            continue
        if value is not None:
            result[keyword] = value
    return result


def _plain(element: DataElement) -> Any:
    if element.VR == "SQ":
        return [_simplified(nested) for nested in element.value] or None
    values = element.to_json_dict(None, 0).get("Value")
    if not values:
        return None
    values = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return values[0] if len(values) == 1 and not isinstance(values[0], dict) else values


def sidecar_content(volume: VoxelGrid, kind: Sidecar) -> Mapping[str, Any]:
    """Returns the content of a sidecar; that of kind ``simplified`` includes the number of slices in one volume."""
    if kind == "simplified":
        return get_simplified_json(volume.header, volume.shape[volume.slice_axis]) if volume.header is not None else {}
    if volume.header is None:
        return {"Modality": volume.modality} if volume.modality else {}
    fields = bids_metadata(volume.header, _frame_number(volume)) | acquisition_fields(volume) | _times(volume)
    unit = volume.rescale.unit
    if volume.modality == "MR" and unit.lower() in _FIELD_MAP_UNITS:
        fields["Units"] = _FIELD_MAP_UNITS[unit.lower()]
    elif unit and text(volume.header, "SOPClassUID") == ParametricMapStorage:
        fields["Units"] = unit
    return fields


def _times(volume: VoxelGrid) -> dict[str, Any]:
    """Returns start and duration of each volume of a 4D series, in seconds (BIDS 1.9, PET and MR)."""
    times = {"FrameTimesStart": volume.frame_times_s, "FrameDuration": volume.frame_durations_s}
    return {name: [_tidy(second) for second in seconds] for name, seconds in times.items() if seconds}


def write_with_sidecar(
    volume: VoxelGrid, image: nib.nifti1.Nifti1Image, path: Path, kind: Sidecar = "bids", name: str = ""
) -> NiftiFiles:
    """Writes an image and its sidecar for :meth:`Volume.to_nifti`.

    Raises:
        UnsupportedValueError: There is no such kind of sidecar.
        InvalidNameError: The file name does not end in ``.nii`` or ``.nii.gz``.
        NiftiConversionError: The file cannot be written.
    """
    if kind not in {"bids", "simplified", "none"}:
        raise UnsupportedValueError(f"a sidecar is bids, simplified or none, not {kind!r}")
    write_nifti(image, path)
    sidecars: tuple[Path, ...] = ()
    if kind != "none":
        beside = sidecar_path(path)
        write_json(beside, sidecar_content(volume, kind))
        sidecars = (beside,)
    rows = tuple(tuple(float(value) for value in row) for row in volume.affine("RAS"))
    written = NiftiVolume(path, name, volume.shape, rows)
    return NiftiFiles((path,), "native", "a volume in memory", sidecars, (written,), volume.report)
