"""What stands behind the session besides the stores: files of values, images, derived objects, converter, network.

With :mod:`.stores` the one seam of laziness: every library below a function here is imported when it is called.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dcm_processor_service.session.functions import DerivedFunctions, FileFormats, ImagingFunctions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.dicom_sender import DicomSender
    from dcm_processor_service.imaging.capabilities import Capability
    from dcm_processor_service.models.limits import Limits
    from dcm_processor_service.models.pictures import ResultPicture
    from dcm_processor_service.ports import Backend, NiftiConverter, PlatformDocuments, Sender
    from dcm_processor_service.runtime.settings import RuntimeSettings

__all__ = [
    "capabilities",
    "close_decoders",
    "derived_functions",
    "file_formats",
    "imaging_functions",
    "legacy_sender",
    "nifti_converter",
    "platform_documents",
    "sender",
]


def file_formats() -> FileFormats:
    """Returns how values become files."""
    from dcm_processor_service.imaging.file_formats import read_value, write_value

    return FileFormats(read_value, write_value)


def imaging_functions(limits: Limits) -> ImagingFunctions:
    """Returns what reads DICOM files, within these limits."""
    from dcm_processor_service.imaging.headers.folder import file_attributes, files_below, glance
    from dcm_processor_service.imaging.headers.instance_file import read_dataset, read_header
    from dcm_processor_service.imaging.series.inspection import inspect_series
    from dcm_processor_service.imaging.series.slice_order import order_files
    from dcm_processor_service.imaging.volumes.read import read_volumes

    return ImagingFunctions(
        files_below=files_below,
        glance=glance,
        attributes=file_attributes,
        header=lambda path: read_header(path, limits),
        dataset=lambda path: read_dataset(path, limits),
        order=order_files,
        inspect=lambda paths: inspect_series(paths, limits),
        volumes=lambda paths, policy, max_gap_mm: read_volumes(paths, policy, max_gap_mm=max_gap_mm, limits=limits),
        preview=lambda paths: _preview(paths, limits),
        picture_of_scan=lambda paths, count: _picture_of_scan(paths, count, limits),
        picture_of_segmentation=lambda dataset, paths: _picture_of_segmentation(dataset, paths, limits),
        pictures_of_results=lambda files, series: _pictures_of_results(files, series, limits),
    )


def _preview(paths: Sequence[Path], limits: Limits) -> bytes:
    from dcm_processor_service.imaging.pictures.series_sheet import preview_series  # loads Pillow

    return preview_series(paths, limits=limits)


def _picture_of_scan(paths: Sequence[Path], count: int, limits: Limits) -> ResultPicture:
    from dcm_processor_service.imaging.pictures.key_slices import picture_of_scan  # loads Pillow

    return picture_of_scan(paths, count, limits)


def _picture_of_segmentation(dataset: Dataset, paths: Sequence[Path], limits: Limits) -> ResultPicture | None:
    from dcm_processor_service.imaging.pictures.segmentation_picture import picture_of_segmentation  # loads Pillow

    return picture_of_segmentation(dataset, paths, limits)


def _pictures_of_results(
    files: Mapping[str, tuple[Path, Mapping[int, str]]], series: Sequence[Path], limits: Limits
) -> Iterator[ResultPicture | None]:
    from dcm_processor_service.imaging.pictures.results import pictures_of_results  # loads Pillow and nibabel

    return pictures_of_results(files, series, limits)


def derived_functions() -> DerivedFunctions:
    """Returns what makes DICOM objects of results."""
    from dcm_processor_service.derived import make, save, validate
    from dcm_processor_service.derived.fingerprint import fingerprint

    return DerivedFunctions(
        image=make.make_image,
        segmentation=make.make_segmentation,
        parametric_map=make.make_parametric_map,
        measurement_report=make.make_measurement_report,
        text_report=make.make_text_report,
        pdf=make.make_pdf,
        validate=validate,
        fingerprint=fingerprint,
        save=lambda datasets, directory, replace: save(datasets, directory, replace=replace),
    )


def nifti_converter(limits: Limits) -> NiftiConverter:
    """Returns the converter that chooses the engine by what a series is, and reads within these limits."""
    from dcm_processor_service.imaging.nifti.convert import AutoConverter

    return AutoConverter(limits=limits)


def close_decoders() -> None:
    """Ends the processes that decode compressed pixels, where some were started."""
    processes = sys.modules.get("dcm_processor_service.imaging.decoding.processes")
    if processes is not None:
        processes.close_decoders()


def sender(settings: RuntimeSettings) -> Sender:
    """Returns the sender over DIMSE and DICOMweb."""
    from dcm_processor_service.dicom_network.sender import PynetdicomSender

    return PynetdicomSender(settings.ae_title, timeout_s=settings.dicom_timeout_s)


def legacy_sender(settings: RuntimeSettings, **arguments: Any) -> DicomSender:
    """Returns the sender of 0.0.1, with our own AE title unless ``arguments`` name another."""
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender

    return DicomSender(**({"ae_title": settings.ae_title} | arguments))


def platform_documents(backend: Backend) -> PlatformDocuments:
    """Returns the store's documents as the platform sees them; made of its values where it holds none."""
    from dcm_processor_service.backends.plain_documents import PlainDocuments

    return backend.documents or PlainDocuments(backend)


def capabilities() -> dict[str, list[Capability]]:
    """Lists the converters and the decoders, each with whether it is there and how to get it."""
    from dcm_processor_service.imaging.capabilities import converter_capabilities, decoder_capabilities

    return {"converter": converter_capabilities(), "decoder": decoder_capabilities()}
