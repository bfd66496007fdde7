"""Makes the parts that a session needs besides the stores: file formats, images, derived objects, converter, network.

This module and :mod:`.stores` load lazily: each function imports the libraries below it when it is called.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender
    from dcm_processor_service.imaging.capabilities import Capability
    from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
    from dcm_processor_service.models import Limits, Producer
    from dcm_processor_service.models.images.nifti import Policy
    from dcm_processor_service.models.images.pictures import ResultPicture
    from dcm_processor_service.ports import (
        Backend,
        DataRepository,
        NiftiConverter,
        PlatformDocuments,
        Retriever,
        Sender,
    )
    from dcm_processor_service.runtime.settings import RuntimeSettings
    from dcm_processor_service.session.functions import (
        DerivedFunctions,
        FileFormats,
        ImagingFunctions,
        ReadingFunctions,
    )
    from dcm_processor_service.session.images.derive_async import AsyncDerive
    from dcm_processor_service.session.images.dicom_async import AsyncDicom
    from dcm_processor_service.session.images.series_async import SeriesTools
    from dcm_processor_service.session.network.fetching import AsyncFetching
    from dcm_processor_service.session.network.peers import AsyncPeers
    from dcm_processor_service.session.network.sending import AsyncSending
    from dcm_processor_service.session.reporting import AsyncReporting

__all__ = [
    "async_derive",
    "async_dicom",
    "async_fetching",
    "async_reporting",
    "async_sending",
    "capabilities",
    "close_decoders",
    "derived_functions",
    "fetched_store",
    "file_formats",
    "imaging_functions",
    "legacy_sender",
    "limits",
    "nifti_converter",
    "platform_documents",
    "producer",
    "reading_functions",
    "retriever",
    "sender",
    "series_tools",
]


def file_formats() -> FileFormats:
    """Returns the functions that write values as files, and read them back."""
    from dcm_processor_service.imaging.file_formats import read_value, write_value
    from dcm_processor_service.session.functions import FileFormats

    return FileFormats(read_value, write_value)


def imaging_functions(limits: Limits) -> ImagingFunctions:
    """Returns the functions that read DICOM files, within these limits."""
    from dcm_processor_service.imaging.headers.folder import file_attributes, files_below, glance
    from dcm_processor_service.imaging.headers.instance_file import read_dataset
    from dcm_processor_service.imaging.headers.repeats import is_same_instance
    from dcm_processor_service.imaging.series.heads import SeriesHeads, read_headers
    from dcm_processor_service.imaging.series.inspection import inspect_series
    from dcm_processor_service.imaging.series.order.slice_order import order_files
    from dcm_processor_service.imaging.volumes.read import read_volumes
    from dcm_processor_service.session.functions import ImagingFunctions

    return ImagingFunctions(
        files_below=files_below,
        glance=glance,
        is_same_instance=is_same_instance,
        attributes=file_attributes,
        headers=lambda paths: read_headers(paths, limits),
        heads=lambda keeps_datasets: SeriesHeads(keeps_datasets=keeps_datasets),
        dataset=lambda path: read_dataset(path, limits),
        order=order_files,
        inspect=lambda paths: inspect_series(paths, limits),
        volumes=lambda paths, policy, max_gap_mm: read_volumes(paths, policy, max_gap_mm=max_gap_mm, limits=limits),
        verify=lambda paths, policy, folder: _verify(paths, policy, limits, folder),
        to_source=_to_source,
        preview=lambda paths: _preview(paths, limits),
        picture_of_scan=lambda paths, count: _picture_of_scan(paths, count, limits),
        picture_of_segmentation=lambda dataset, paths: _picture_of_segmentation(dataset, paths, limits),
        pictures_of_results=lambda files, series: _pictures_of_results(files, series, limits),
    )


def _verify(paths: Sequence[Path], policy: Policy, limits: Limits, folder: Path) -> None:
    from dcm_processor_service.imaging.nifti.verification import verify_series  # loads nibabel

    verify_series(paths, policy, limits, folder)


def _to_source(voxels: Voxels, paths: Sequence[Path]) -> SourceSlices:
    from dcm_processor_service.derived.source import source_series
    from dcm_processor_service.derived.source_grid import to_source

    return to_source(voxels, source_series(paths))


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
    """Returns the functions that make DICOM objects from results."""
    from dcm_processor_service.derived import make, save, validate
    from dcm_processor_service.derived.fingerprint import fingerprint
    from dcm_processor_service.session.functions import DerivedFunctions

    return DerivedFunctions(
        image=make.make_image,
        segmentation=make.make_segmentation,
        segmentations=make.make_segmentations,
        structure_set=make.make_structure_set,
        overlay=make.make_overlay,
        presentation=make.make_presentation,
        parametric_map=make.make_parametric_map,
        measurement_report=make.make_measurement_report,
        text_report=make.make_text_report,
        pdf=make.make_pdf,
        validate=validate,
        fingerprint=fingerprint,
        save=lambda datasets, directory, replace: save(datasets, directory, replace=replace),
    )


def reading_functions(limits: Limits) -> ReadingFunctions:
    """Returns the functions that read derived objects, of this service or of another vendor, within these limits."""
    from dcm_processor_service.derived.reading import measurements, report_text, segments
    from dcm_processor_service.session.functions import ReadingFunctions

    return ReadingFunctions(
        images_needed=lambda paths: segments.images_needed(paths, limits),
        segments=lambda paths, like, images: segments.read_segments(paths, like, images, limits),
        measurements=lambda paths: measurements.read_measurements(paths, limits),
        text=lambda paths: report_text.read_text(paths, limits),
        documents=lambda paths: report_text.read_documents(paths, limits),
    )


def nifti_converter(limits: Limits) -> NiftiConverter:
    """Returns the converter that chooses the engine by the kind of the series, and reads within these limits."""
    from dcm_processor_service.imaging.nifti.convert import AutoConverter

    return AutoConverter(limits=limits)


def close_decoders() -> None:
    """Ends the processes that decode and convert compressed pixels, if any were started."""
    for name in ("imaging.decoding.processes", "dicom_network.conversion.in_processes"):
        module = sys.modules.get(f"dcm_processor_service.{name}")
        if module is not None:
            module.CHILDREN.close()


def sender(settings: RuntimeSettings) -> Sender:
    """Returns the sender over DIMSE and DICOMweb."""
    from dcm_processor_service.dicom_network.sender import PynetdicomSender

    return PynetdicomSender(settings.ae_title, timeout_s=settings.dicom_timeout_s)


def retriever(settings: RuntimeSettings) -> Retriever:
    """Returns the retriever, which finds and fetches over DIMSE and DICOMweb."""
    from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever

    return DicomRetriever(settings.ae_title, timeout_s=settings.dicom_timeout_s)


def fetched_store() -> Backend:
    """Returns an empty store in memory, for fetched files."""
    from dcm_processor_service.backends.memory import MemoryStore

    return MemoryStore().backend()


def legacy_sender(settings: RuntimeSettings, **arguments: Any) -> DicomSender:
    """Returns the sender of the 0.0.1 API, with our own AE title unless ``arguments`` name another."""
    from dcm_processor_service.dicom_network.dicom_sender import DicomSender

    return DicomSender(**({"ae_title": settings.ae_title} | arguments))


def producer(settings: RuntimeSettings) -> Producer:
    """Returns the producer, which derived objects name as their maker."""
    from dcm_processor_service.models.derived import Producer

    name = settings.service_name or "dcm-processor-service"
    return Producer(name, settings.service_version, session_id=settings.session_id, job_name=settings.job_name)


def limits() -> Limits:
    """Returns the limits within which files are read."""
    from dcm_processor_service.models.images.limits import Limits

    return Limits()


def series_tools(**parts: Any) -> SeriesTools:
    """Returns the parts that a series needs besides its store."""
    from dcm_processor_service.session.images.series_async import SeriesTools

    return SeriesTools(**parts)


def async_fetching(*parts: Any) -> AsyncFetching:
    """Returns the facade that finds and fetches from peers."""
    from dcm_processor_service.session.network.fetching import AsyncFetching

    return AsyncFetching(*parts)


def async_reporting(**parts: Any) -> AsyncReporting:
    """Returns the facade that reports on a job."""
    from dcm_processor_service.session.reporting import AsyncReporting

    return AsyncReporting(**parts)


def async_sending(repository: DataRepository, peers: AsyncPeers, **tools: Any) -> AsyncSending:
    """Returns the facade that sends instances and keeps a journal of it."""
    from dcm_processor_service.session.network.sending import AsyncSending
    from dcm_processor_service.session.network.sending_tools import SendingTools

    return AsyncSending(SendingTools(**tools), repository, peers)


def async_derive(*parts: Any) -> AsyncDerive:
    """Returns the facade that makes DICOM objects from results."""
    from dcm_processor_service.session.images.derive_async import AsyncDerive

    return AsyncDerive(*parts)


def async_dicom(*parts: Any) -> AsyncDicom:
    """Returns the facade that reads the images of a session."""
    from dcm_processor_service.session.images.dicom_async import AsyncDicom

    return AsyncDicom(*parts)


def platform_documents(backend: Backend) -> PlatformDocuments:
    """Returns the store's documents as the platform sees them; builds them from values if the store has none."""
    from dcm_processor_service.backends.plain_documents import PlainDocuments

    return backend.documents or PlainDocuments(backend)


def capabilities() -> dict[str, list[Capability]]:
    """Lists the converters and the decoders: whether each is installed, and what it does or how to install it."""
    from dcm_processor_service.imaging.capabilities import converter_capabilities, decoder_capabilities

    return {"converter": converter_capabilities(), "decoder": decoder_capabilities()}
