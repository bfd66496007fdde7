"""The functions of the 0.0.1 API for series: their instances, and their volume as NIfTI.

Part of the 0.0.1 API; stays until 2.0.

They have the names, parameters and results of 0.0.1; ``docs/migrating.md`` lists the differences. New code uses a
context: ``ctx.session.dicom.get_series(…)``.
"""

from __future__ import annotations

import json
import logging
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dcm_processor_service.disk import write_whole
from dcm_processor_service.env_vars import Fault, read_variables, variable_name
from dcm_processor_service.errors import ConfigurationError, InvalidSeriesError, NiftiConversionError
from dcm_processor_service.models import SeriesRecord, SubjectLevel
from dcm_processor_service.models.platform_ids import file_stem
from dcm_processor_service.ports.concurrency import iterate_inline, run_inline
from dcm_processor_service.runtime.own_session import own_container
from dcm_processor_service.session.images.catalogue import catalogue_files
from dcm_processor_service.session.scratch import open_scratch

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import nibabel as nib
    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.models.images.nifti import NiftiFiles, Sidecar

__all__ = ["dicom_series_to_nifti", "get_series_dicom", "get_series_nifti"]

_LOG = logging.getLogger(__name__)


@overload
def get_series_dicom(series_id: object, dir_path: None = None) -> list[Dataset] | None: ...
@overload
def get_series_dicom(series_id: object, dir_path: str | os.PathLike[str]) -> list[str] | None: ...
def get_series_dicom(
    series_id: object, dir_path: str | os.PathLike[str] | None = None
) -> list[Dataset] | list[str] | None:
    """Returns the instances of a series in slice order; None for a series that is not stored.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.get_series(…).datasets()``.

    Unlike in 0.0.1, a malformed id is treated as that of a series that is not stored, and a SeriesInstanceUID is
    accepted as well.

    Args:
        series_id: The platform's id, as text, as ObjectId or as Extended JSON.
        dir_path: A folder; if given, the instances are written there, and the result is their paths.

    Raises:
        StoredFileNotFoundError: The file of an instance is gone.
        InvalidSeriesError: The stored content of an instance is not a DICOM file.
    """
    series = _find(series_id)
    if series is None:
        return None
    imaging = own_container().imaging()
    if dir_path is not None:
        return [str(path) for path in imaging.order(_download(series, Path(dir_path)))]
    with own_container().scratch().temporary() as folder:
        return [imaging.dataset(path) for path in imaging.order(_download(series, folder))]


def _find(series_id: object) -> SeriesRecord | None:
    text = series_id.get("$oid") if isinstance(series_id, dict) else series_id
    found = run_inline(own_container().dicom_repository().find(SubjectLevel.SERIES, str(text)))
    return found if isinstance(found, SeriesRecord) else None


def _download(series: SeriesRecord, folder: Path) -> list[Path]:
    """Writes the instances into a folder, as ``<instance id>.dcm``; returns the paths."""
    repository = own_container().dicom_repository()
    paths = []
    for instance, content in iterate_inline(repository.fetch(run_inline(repository.instances(series)))):
        path = folder / f"{file_stem(instance.id)}.dcm"
        with write_whole(path) as file:
            file.write(content if isinstance(content, bytes) else content.read_bytes())
        paths.append(path)
    return paths


@overload
def get_series_nifti(
    series_id: object, filename: None = None
) -> tuple[nib.nifti1.Nifti1Image, dict[str, Any], NDArray[np.float32]]: ...
@overload
def get_series_nifti(
    series_id: object, filename: str | os.PathLike[str]
) -> tuple[str | os.PathLike[str], str, None]: ...
def get_series_nifti(
    series_id: object, filename: str | os.PathLike[str] | None = None
) -> tuple[Any, str | Mapping[str, Any], NDArray[np.float32] | None]:
    """Converts a series to NIfTI.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.get_series(…).to_nifti(…)``.

    Unlike 0.0.1 the image in memory depends on no file, ``.nii`` is not gzipped, the JSON lies beside the image, and
    the output of dcm2niix is checked against the headers. If a series is not one volume, its largest part is converted.

    Args:
        series_id: The platform's id, as text or ObjectId.
        filename: Path that ends in ``.nii`` or ``.nii.gz``; if given, the image is written there, and a JSON beside it.

    Returns:
        With ``filename``: that path, the path of the JSON, and None. Without: the image, the header as a dictionary,
        and the voxels as float32, axes as in the image.

    Raises:
        InvalidSeriesError: No such series, or nothing in it can be converted.
    """
    series = _find(series_id)
    instances = None if series is None else series.instance_ids or _instance_ids(series)
    if series is None or not instances:
        raise InvalidSeriesError(f"no DICOM instances of the series {series_id} are stored; check its id")
    with own_container().scratch().temporary() as folder:
        paths = _download(series, folder / "dicom")
        if filename is not None:
            written = _convert(paths, Path(filename), "simplified")
            return filename, str(written.sidecars[0]), None
        written = _convert(paths, folder / "volume.nii", "simplified")
        image: nib.nifti1.Nifti1Image = own_container().formats().read(written.paths[0])
        header: dict[str, Any] = json.loads(written.sidecars[0].read_text(encoding="utf-8"))
        return image, header, image.get_fdata(dtype="float32")


def _instance_ids(series: SeriesRecord) -> list[str]:
    return [instance.id for instance in run_inline(own_container().dicom_repository().instances(series))]


def _convert(paths: list[Path], target: Path, sidecar: Sidecar) -> NiftiFiles:
    """Converts with dcm2niix, whose voxel axes services of 0.0.1 expect; if it fails, with the engine ``auto``."""
    convert = own_container().converter().convert
    try:
        return convert(paths, target, engine="dcm2niix", policy="largest", sidecar=sidecar)
    except (InvalidSeriesError, NiftiConversionError) as error:
        written = convert(paths, target, policy="largest", sidecar=sidecar)
        _LOG.warning("converted by the engine %s, whose voxel axes may differ: %s", written.engine, error)
        return written


def dicom_series_to_nifti(series_path: str | os.PathLike[str], output_file: str | os.PathLike[str]) -> int:
    """Converts the DICOM files of a folder; returns the number of slices, or 0 and no file if nothing can be converted.

    Part of the 0.0.1 API; stays until 2.0. New code: the command ``convert``, or ``series.to_nifti(…)``.

    Unlike 0.0.1 the reason is logged, pixels that cannot be decoded are an error, and ``.nii`` is not gzipped. If
    there are several series, the one with the most instances is converted; if that has several volumes, the largest.
    Temporary files lie in the folder that ``DCM-PROCESSOR-SERVICE-SCRATCH`` names.

    Args:
        series_path: The folder; files in folders below it are read, too.
        output_file: Path that ends in ``.nii`` or ``.nii.gz``.

    Raises:
        UnsupportedTransferSyntaxError: No engine here can decode the pixels; the message names the remedy.
    """
    imaging = own_container().imaging()
    series = catalogue_files(imaging.files_below(Path(series_path), None), imaging).series_files()
    if not series:
        return 0
    with _temporary() as folder:
        target = folder / Path(output_file).name
        try:
            written = _convert(max(series.values(), key=len), target, "none")
        except (InvalidSeriesError, NiftiConversionError) as error:
            _LOG.warning("the folder is not converted: %s", error)
            return 0
        with write_whole(Path(output_file)) as file, written.paths[0].open("rb") as converted:
            shutil.copyfileobj(converted, file)
        return written.volumes[0].shape[2]


@contextmanager
def _temporary() -> Iterator[Path]:
    """Makes a temporary folder in the job's scratch folder; without a job, below SCRATCH or in the system's folder."""
    with ExitStack() as stack:
        try:
            scratch = own_container().scratch()
        except ConfigurationError:
            parent = read_variables(["scratch"]).get("scratch")
            if isinstance(parent, Fault):
                raise ConfigurationError(f"{variable_name('scratch')} {parent.sentence}") from None
            scratch = stack.enter_context(open_scratch(Path(parent) if parent else None))
        yield stack.enter_context(scratch.temporary())
