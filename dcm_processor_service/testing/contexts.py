"""Contexts over memory, and synthetic series, for tests of callbacks."""

from __future__ import annotations

import io
import weakref
from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.keywords import refuse_unknown
from dcm_processor_service.models import Job, JobEvent, Patient, Peer, SeriesRecord, Study
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import AsyncContainer, Container
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.session.catalogue import ATTRIBUTES, Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydicom import Dataset
    from typing_extensions import Unpack

    from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
    from dcm_processor_service.runtime.settings import SettingsValues

__all__ = ["fake_async_context", "fake_context", "synthetic_series"]

SESSION_ID = "5" * 24
JOB_ID = "1" * 24
_MOST_SLICES = 31
_KEYWORDS = ("params", "added_params", "series", "subject", "peers", "jobs", "customise")


def fake_context(
    *,
    params: Mapping[str, Any] | None = None,
    added_params: Mapping[str, Any] | None = None,
    series: Sequence[Dataset] | None = None,
    subject: Patient | Study | SeriesRecord | None = None,
    peers: Iterable[Peer] = (),
    jobs: Iterable[Job] = (),
    customise: Callable[[Container], None] | None = None,
    **settings: Unpack[SettingsValues],
) -> RuntimeContext:
    """Makes a context as a worker would, over a store in memory.

    Args:
        params: The job's params.
        added_params: What the registry functions returned, by job name.
        series: Datasets to file; the job is about their series, or their study when they are of several.
        subject: What the job is about, in place of that of ``series``.
        peers: Nodes that are known; the first one sent the images.
        jobs: Other jobs of the session.
        customise: Overrides providers of the container: ``lambda container: container.converter.override(MyFake())``.
        settings: Values of the context, each as :class:`~dcm_processor_service.RuntimeSettings` has it:
            ``job_name="segment"``, ``service_name``, ``job_event``, ``ae_title``, ``service_version``, ``peer_id``,
            ``session_id``, ``job_id``, ``dicom_timeout_s`` and so on.

    Raises:
        ConfigurationError: A setting is malformed, or a keyword is none of them; the message says what was meant.
        ValueError: One of the datasets cannot be filed.

    Example:
        >>> ctx = fake_context(params={"threshold": 0.5}, job_name="segment")
        >>> ctx.job.name, ctx.job.params["threshold"], ctx.session.data.keys()
        ('segment', 0.5, [])
    """
    container = Container()
    job = _fill(container, params, added_params, series, subject, tuple(peers), tuple(jobs), settings)
    if customise is not None:
        customise(container)
    context: RuntimeContext = container.context()
    context.job.preset(job)
    weakref.finalize(context.session, container.shutdown_resources)
    return context


def fake_async_context(
    *,
    params: Mapping[str, Any] | None = None,
    added_params: Mapping[str, Any] | None = None,
    series: Sequence[Dataset] | None = None,
    subject: Patient | Study | SeriesRecord | None = None,
    peers: Iterable[Peer] = (),
    jobs: Iterable[Job] = (),
    customise: Callable[[Container], None] | None = None,
    **settings: Unpack[SettingsValues],
) -> AsyncRuntimeContext:
    """Makes an asynchronous context; the arguments, and the errors, are those of :func:`fake_context`.

    Example:
        >>> import asyncio
        >>> async def run(ctx: AsyncRuntimeContext) -> list[str]:
        ...     await ctx.session.data.set("threshold", 0.5)
        ...     return await ctx.session.data.keys()
        >>> asyncio.run(run(fake_async_context(job_name="segment")))
        ['threshold']
    """
    container = AsyncContainer()
    job = _fill(container, params, added_params, series, subject, tuple(peers), tuple(jobs), settings)
    if customise is not None:
        customise(container)
    context: AsyncRuntimeContext = container.context()
    context.job.preset(job)
    weakref.finalize(context.session, container.shutdown_resources)
    return context


def _fill(
    container: Container,
    params: Mapping[str, Any] | None,
    added_params: Mapping[str, Any] | None,
    series: Sequence[Dataset] | None,
    subject: Patient | Study | SeriesRecord | None,
    peers: tuple[Peer, ...],
    jobs: tuple[Job, ...],
    settings: SettingsValues,
) -> Job:
    refuse_unknown("fake_context", "keyword", settings, {*_KEYWORDS, *RuntimeSettings.model_fields})
    store = MemoryStore()
    backend = store.backend()
    if series:
        filed = run_inline(_catalogue(series).file_into(backend))
        several = len(filed.series) > 1
        subject = subject or (filed.studies[0] if several else filed.series[0])
    known = [
        peer if peer.id else peer.model_copy(update={"id": f"{number:024x}"}) for number, peer in enumerate(peers, 1)
    ]
    store.peers.update({peer.name: peer for peer in known})
    values: dict[str, Any] = {
        "db_provider": "memory",
        "session_id": SESSION_ID,
        "job_id": JOB_ID,
        "job_name": "job",
        "job_event": JobEvent.of(subject) if subject else JobEvent.STABLE_SERIES,
        "service_name": "service",
        "peer_id": known[0].id if known else None,
    }
    chosen = RuntimeSettings.without_environment(**{**values, **settings})
    job = Job(
        id=chosen.job_id,
        session_id=chosen.session_id,
        name=chosen.job_name,
        event=chosen.job_event,
        service_name=chosen.service_name,
        subject=subject,
        params=dict(params or {}),
        added_params=dict(added_params or {}),
        depends_on=tuple(other.id for other in jobs),
    )
    for entry in (job, *jobs):
        store.jobs[entry.id] = entry
    container.settings.override(chosen)
    container.backend.override(backend)
    return job


def _catalogue(datasets: Iterable[Dataset]) -> Catalogue:
    catalogue = Catalogue()
    for dataset in datasets:
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        attributes = {keyword: str(value) for keyword in ATTRIBUTES if (value := dataset.get(keyword)) is not None}
        try:
            catalogue.add(attributes, content.getvalue(), len(content.getvalue()))
        except UnreadableFileError as error:
            raise ValueError(f"one of the datasets given to the fake cannot be filed: {error}") from error
    return catalogue


def synthetic_series(*, slices: int = 4, rows: int = 16, columns: int = 16, modality: str = "CT") -> list[Dataset]:
    """Makes the instances of an axial series, without any person: 1 mm pixels, 2 mm from slice to slice.

    The value of each pixel is its slice's number times 1000 plus its place in the slice, so that a wrong order shows.
    Rescale slope is 1 and intercept −1024 for CT, as scanners write it.

    Raises:
        ValueError: More than 31 slices, whose values 16 bits do not hold.

    Example:
        >>> [int(dataset.InstanceNumber) for dataset in synthetic_series(slices=3)]
        [1, 2, 3]
    """
    import numpy as np
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

    if slices > _MOST_SLICES:
        raise ValueError(
            f"a synthetic series has at most {_MOST_SLICES} slices, not {slices}: its values tell them apart"
        )
    made = []
    for number in range(1, slices + 1):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
        dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.1.1.{number}"
        dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
        dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.1"
        dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.1.2"
        dataset.Modality = modality
        dataset.PatientName = "Synthetic^Series"
        dataset.PatientID = "SYNTHETIC"
        dataset.SeriesNumber, dataset.InstanceNumber = 1, number
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, 2 * (number - 1)]
        dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 2
        dataset.Rows, dataset.Columns = rows, columns
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        if modality == "CT":
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        pixels = np.arange(rows * columns) % 1000 + 1000 * number
        dataset.PixelData = pixels.astype("<i2").tobytes()
        made.append(dataset)
    return made
