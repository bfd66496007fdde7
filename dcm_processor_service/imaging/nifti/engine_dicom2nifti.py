"""Converts DICOM to NIfTI with dicom2nifti, for ordinary CT and MR volumes.

dicom2nifti has global settings, returns float64 whenever there is a rescale, and raises exceptions of any class. This
module sets the settings for one conversion at a time, converts the array back to integers, and turns dicom2nifti's
error codes into sentences. Loading dicom2nifti takes about a second, so other modules import this one only when needed.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dicom2nifti.settings
import numpy as np
from dicom2nifti.convert_dicom import dicom_array_to_nifti
from dicom2nifti.exceptions import ConversionValidationError

from dcm_processor_service.errors import InvalidSeriesError, NiftiConversionError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.decoding.decoders import NEEDS_CODECS, decoders_of
from dcm_processor_service.imaging.decoding.frames import EncodedFrame, decode_frames
from dcm_processor_service.imaging.decoding.native import put_frames
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.frames.pixel_format import pixel_format, smallest_exact
from dcm_processor_service.imaging.headers.instance_file import contained, read_dataset, read_instance
from dcm_processor_service.imaging.nifti.task import DECODED_BY_PROGRAMS, NATIVE_ONLY
from dcm_processor_service.imaging.nifti.write import nifti_stem, sidecar_path, write_nifti
from dcm_processor_service.imaging.series.order.slice_order import order_files
from dcm_processor_service.imaging.series.policies import open_findings, refusal
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.nifti import NiftiFiles, NiftiVolume
from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import nibabel as nib
    from pydicom import Dataset

    from dcm_processor_service.imaging.nifti.task import ConversionTask

__all__ = ["Dicom2NiftiConverter", "convert"]

_settings_in_use = SharedLock()

_SETTINGS = {
    "validate_slicecount": True,
    "validate_orientation": True,
    "validate_orthogonal": True,
    "validate_slice_increment": True,
    "validate_instance_number": False,
    "validate_multiframe_implicit": True,
    "pydicom_read_force": False,
    "resample": False,
}

_REFUSALS = {
    "TOO_FEW_SLICES/LOCALIZER": "it has fewer than four slices, as a localizer has",
    "SLICE_INCREMENT_INCONSISTENT": "its slices are not evenly spaced: slices are missing, doubled or of two stacks",
    "NON_CUBICAL_IMAGE/GANTRY_TILT": "its slices are not stacked at right angles: the gantry was tilted",
    "IMAGE_ORIENTATION_INCONSISTENT": "its slices have several orientations",
    "INSTANCE_NUMBER_INCONSISTENT": "its instance numbers have gaps: instances are missing",
    "INCONSISTENT_ACQUISITION_NUMBERS": "its slices belong to several acquisitions",
    "MISSING_DICOM_FILES": "its volumes have different numbers of slices: instances are missing",
    "NOT_A_VOLUME": "its slices all lie at one position",
    "NON_IMAGING_DICOM_FILES": "it holds no images that lie in a patient",
    "MOSAIC_TYPE_NOT_SUPPORTED": "it is a mosaic of a kind that this converter does not know",
    "IMPLICIT_VR_ENHANCED_DICOM": "it is an enhanced object in implicit VR, which this converter cannot read",
    "UNSUPPORTED_DATA": "it is of a kind that this converter does not know",
}


def convert(task: ConversionTask, reason: str) -> NiftiFiles:
    """Converts a series that is one volume; removes the result if its shape is not that of the headers.

    Raises:
        InvalidSeriesError: The series is not one volume; the error has the report.
        UnsupportedTransferSyntaxError: The pixels cannot be decoded here.
        NiftiConversionError: dicom2nifti failed, or its result has another shape.
    """
    report = task.inspection.report
    refused = [one for one in open_findings(task.inspection, "strict") if one.code not in DECODED_BY_PROGRAMS]
    refused += [one for one in report.findings if one.code in NATIVE_ONLY]
    if refused:
        raise refusal(report, refused)
    files = Dicom2NiftiConverter(task.limits).convert(task.image_paths, task.destination)
    expected, got = report.shape, files.volumes[0].shape
    if report.kind is not SeriesKind.MOSAIC and expected is not None and sorted(got) != sorted(expected):
        for path in (*files.paths, *files.sidecars):
            path.unlink(missing_ok=True)
        raise NiftiConversionError(
            f"dicom2nifti made shape {got} of series {report.series_instance_uid}, whose headers declare {expected}: "
            "its result is not used, try the engine native"
        )
    sidecars = files.sidecars
    if task.sidecar != "none":
        sidecars = (task.write_header_sidecar(task.destination), *sidecars)
    return replace(files, reason=reason, sidecars=sidecars, report=report)


class Dicom2NiftiConverter:
    """Converts one ordinary CT or MR series with dicom2nifti.

    The voxels of the result are not reoriented: their axes are column, row and slice, as the affine says. Compressed
    pixels are decoded beforehand in separate processes, because dicom2nifti would decode them in this process.

    Args:
        limits: Limits of the processes that decode.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def convert(self, paths: Sequence[Path], destination: Path) -> NiftiFiles:
        """Writes ``destination``: plain NIfTI if its name ends in ``.nii``, gzipped if it ends in ``.nii.gz``.

        For diffusion series that dicom2nifti can read as such, ``.bval`` and ``.bvec`` are written beside it.

        Raises:
            InvalidNameError: The name has neither ending.
            InvalidSeriesError: The series is not one volume, or a file is damaged.
            UnsupportedTransferSyntaxError: The pixels are compressed in a way that cannot be decoded here.
            NiftiConversionError: dicom2nifti failed.
        """
        nifti_stem(destination)
        if not paths:
            raise InvalidSeriesError("the series has no files: nothing can be converted")
        datasets = [self._plain(path) for path in order_files(paths)]
        datasets = [dataset for dataset in datasets if "Rows" in dataset]
        if not datasets:
            raise InvalidSeriesError("the series holds no images: it cannot be converted to NIfTI")
        uid = str(datasets[0].get("SeriesInstanceUID", ""))
        stored = _stored_type(datasets[0])
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".dicom2nifti-") as folder:
            result = _run(datasets, Path(folder) / "volume.nii", uid)
            image = result["NII"]
            write_nifti(_with_stored_type(image, stored), destination)
            extra = _keep_gradients(result, destination)
        volume = NiftiVolume(destination, "", tuple(image.shape), tuple(map(tuple, image.affine.tolist())))
        return NiftiFiles((destination,), "dicom2nifti", "asked for", tuple(extra), (volume,))

    def _plain(self, path: Path) -> Dataset:
        """Reads a file, and decodes its pixels."""
        dataset, instance = read_dataset(path, self._limits), read_instance(path, limits=self._limits)
        if not instance.is_compressed or "PixelData" not in dataset:
            return dataset
        uid = str(instance.transfer_syntax_uid)
        decoders = decoders_of(uid)
        if not decoders:
            raise UnsupportedTransferSyntaxError(
                f"the pixels of {instance.label} are compressed and cannot be decoded here: {NEEDS_CODECS}"
            )
        count = len(frames_of(instance))
        wanted = [EncodedFrame(instance, number, decoders[0]) for number in range(1, count + 1)]
        frames = {index: answer.read() for index, answer in decode_frames(wanted, self._limits)}
        try:
            put_frames(dataset, (frames[index] for index in range(count)))
        except ValueError as error:
            raise NiftiConversionError(f"{instance.label} is too large ({error}): try the engine native") from error
        return dataset


def _run(datasets: Sequence[Dataset], output: Path, uid: str) -> dict[str, Any]:
    try:
        with _fixed_settings(), contained("dicom2nifti"), contained():
            result: dict[str, Any] = dicom_array_to_nifti(datasets, str(output), reorient_nifti=False)
    except ConversionValidationError as error:
        code = str(error)
        reason = _REFUSALS.get(code, "it is not one volume")
        raise InvalidSeriesError(f"series {uid} is refused by dicom2nifti ({code}): {reason}") from error
    except Exception as error:  # dicom2nifti raises exceptions of any class
        raise _failure(uid, error) from error
    if result.get("NII") is None:
        raise NiftiConversionError(f"dicom2nifti gave no image for series {uid}: try the engine dcm2niix")
    return result


def _failure(uid: str, error: Exception) -> NiftiConversionError:
    return NiftiConversionError(
        f"dicom2nifti failed on series {uid} ({type(error).__name__}): try the engine native or dcm2niix"
    )


@contextmanager
def _fixed_settings() -> Iterator[None]:
    """Sets dicom2nifti's global settings for one conversion at a time, and restores them afterwards."""
    settings = dicom2nifti.settings
    with _settings_in_use:
        before = {name: getattr(settings, name) for name in _SETTINGS}
        try:
            for name, value in _SETTINGS.items():
                setattr(settings, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(settings, name, value)


def _stored_type(dataset: Dataset) -> np.dtype[Any]:
    pixels = pixel_format(dataset)
    return pixels.stored_type if pixels.is_supported else np.dtype(np.int16)


def _with_stored_type(image: nib.nifti1.Nifti1Image, stored: np.dtype[Any]) -> nib.nifti1.Nifti1Image:
    array = smallest_exact(np.asanyarray(image.dataobj), stored)
    converted = type(image)(array, image.affine, image.header)
    converted.header.set_data_dtype(array.dtype)
    converted.set_qform(image.affine, code=1)
    converted.set_sform(image.affine, code=1)
    return converted


def _keep_gradients(result: dict[str, Any], destination: Path) -> list[Path]:
    kept = []
    for key, suffix in (("BVAL_FILE", ".bval"), ("BVEC_FILE", ".bvec")):
        source = result.get(key)
        if source and Path(source).is_file():
            target = sidecar_path(destination, suffix)
            Path(source).replace(target)
            kept.append(target)
    return kept
