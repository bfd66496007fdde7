"""The composition root: the only place that knows which adapter stands behind a port.

A worker makes a container, a test overrides its providers with fakes::

    with opened(Container()) as container:
        container.peer_repository.override(MyFakePeers())
        run(container.context())

Making a container reads no environment and opens nothing; the first use of a provider does. Leaving :func:`opened`
closes what was opened, the store first. Adapters, and the libraries below them, are imported by the functions of
:mod:`.stores` and :mod:`.adapters`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from dependency_injector import containers, providers

from dcm_processor_service.models import SendOptions
from dcm_processor_service.models.derived import Producer
from dcm_processor_service.ports import Backend, JobKey, StoreLocation, in_thread, inline
from dcm_processor_service.runtime import adapters
from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
from dcm_processor_service.runtime.execution.cancellation import Cancellation
from dcm_processor_service.runtime.logs.job_log import JobLog, log_fields
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.progress import AsyncProgress, Progress
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.stores import backend_names, backend_opener
from dcm_processor_service.session.data import AsyncData
from dcm_processor_service.session.derive_async import AsyncDerive
from dcm_processor_service.session.dicom import AsyncDicom
from dcm_processor_service.session.files import AsyncFiles
from dcm_processor_service.session.jobs import AsyncCurrentJob, AsyncJobs
from dcm_processor_service.session.peers import AsyncPeers
from dcm_processor_service.session.scratch import Scratch, open_scratch
from dcm_processor_service.session.sending import AsyncSending
from dcm_processor_service.session.series import SeriesTools
from dcm_processor_service.session.session import AsyncSession, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.dicom_network.dicom_sender import DicomSender as NodeSender
    from dcm_processor_service.imaging.capabilities import Capability
    from dcm_processor_service.ports import (
        DataRepository,
        DicomRepository,
        FileRepository,
        JobRepository,
        Mode,
        NiftiConverter,
        Offload,
        PeerRepository,
        PlatformDocuments,
        Sender,
        SessionRepository,
        WorkspaceRepository,
    )
    from dcm_processor_service.session.functions import DerivedFunctions, FileFormats, ImagingFunctions

__all__ = ["AsyncContainer", "Container", "backend_names", "opened"]

C = TypeVar("C", bound=containers.Container)


def _offload(mode: Mode) -> Offload:
    return in_thread if mode == "async" else inline


def _backend(settings: RuntimeSettings, mode: Mode, offload: Offload) -> Iterator[Backend]:
    location = StoreLocation(
        url=settings.db_url.get_secret_value(),
        database=settings.db_name,
        timeout_s=settings.store_timeout_s,
        mode=mode,
        durability=settings.durability,
        operation_timeout_s=settings.store_operation_timeout_s,
        transfer_timeout_s=settings.store_transfer_timeout_s,
    )
    with backend_opener(settings.backend_name, mode)(location, offload) as backend:
        yield backend


def _workspace(backend: Backend) -> WorkspaceRepository:
    return backend.fillable()


def _scratch(settings: RuntimeSettings) -> Iterator[Scratch]:
    with open_scratch(settings.scratch) as scratch:
        yield scratch


def _producer(settings: RuntimeSettings) -> Producer:
    name = settings.service_name or "dcm-processor-service"
    return Producer(name, settings.service_version, session_id=settings.session_id)


def _send_options(settings: RuntimeSettings) -> SendOptions:
    patience_s = settings.dicom_timeout_s
    return SendOptions(acse_timeout_s=patience_s, dimse_timeout_s=patience_s, network_timeout_s=patience_s)


def _current_job(
    settings: RuntimeSettings, key: JobKey, repository: JobRepository, scrubber: Scrubber
) -> AsyncCurrentJob:
    return AsyncCurrentJob(
        key,
        repository,
        name=settings.job_name,
        event=settings.job_event,
        service_name=settings.service_name,
        on_document=scrubber.learn_job,
    )


def _log(settings: RuntimeSettings, scrubber: Scrubber) -> JobLog:
    return JobLog(log_fields(settings), scrubber)


class Container(containers.DeclarativeContainer):
    """Everything that a blocking callback needs, each part a provider that can be overridden in one line.

    Example:
        >>> container = Container(settings=RuntimeSettings.without_environment(
        ...     db_provider="memory", session_id="a" * 24, job_id="b" * 24))
        >>> with opened(container):
        ...     container.context().session.data["answer"] = 42
        ...     container.session().data["answer"]
        42
    """

    settings: providers.Provider[RuntimeSettings] = providers.Singleton(RuntimeSettings)
    mode: providers.Provider[Mode] = providers.Object("blocking")
    offload: providers.Provider[Offload] = providers.Singleton(_offload, mode)
    scratch: providers.Provider[Scratch] = providers.Resource(_scratch, settings)

    backend: providers.Provider[Backend] = providers.Resource(_backend, settings, mode, offload)
    data_repository: providers.Provider[DataRepository] = providers.Callable(attrgetter("data"), backend)
    file_repository: providers.Provider[FileRepository] = providers.Callable(attrgetter("files"), backend)
    job_repository: providers.Provider[JobRepository] = providers.Callable(attrgetter("jobs"), backend)
    peer_repository: providers.Provider[PeerRepository] = providers.Callable(attrgetter("peers"), backend)
    dicom_repository: providers.Provider[DicomRepository] = providers.Callable(attrgetter("dicom"), backend)
    session_repository: providers.Provider[SessionRepository] = providers.Callable(attrgetter("sessions"), backend)
    platform_documents: providers.Provider[PlatformDocuments] = providers.Callable(adapters.platform_documents, backend)
    workspace_repository: providers.Provider[WorkspaceRepository] = providers.Callable(_workspace, backend)

    # given to facades as ``.provider``, a function that makes them: who converts nothing imports no converter
    formats: providers.Provider[FileFormats] = providers.Singleton(adapters.file_formats)
    imaging: providers.Provider[ImagingFunctions] = providers.Singleton(adapters.imaging_functions)
    derived: providers.Provider[DerivedFunctions] = providers.Singleton(adapters.derived_functions)
    converter: providers.Provider[NiftiConverter] = providers.Singleton(adapters.nifti_converter)
    sender: providers.Provider[Sender] = providers.Singleton(adapters.sender, settings)
    node_sender: providers.Provider[NodeSender] = providers.Factory(adapters.legacy_sender, settings)
    capabilities: providers.Provider[dict[str, list[Capability]]] = providers.Callable(adapters.capabilities)

    job_key: providers.Provider[JobKey] = providers.Singleton(
        JobKey, settings.provided.session_id, settings.provided.job_id
    )
    scrubber: providers.Provider[Scrubber] = providers.Singleton(Scrubber)
    cancellation: providers.Provider[Cancellation] = providers.Singleton(Cancellation)
    log: providers.Provider[JobLog] = providers.Singleton(_log, settings, scrubber)
    async_progress: providers.Provider[AsyncProgress] = providers.Singleton(
        AsyncProgress, job_key, job_repository, scrubber
    )
    current_job: providers.Provider[AsyncCurrentJob] = providers.Singleton(
        _current_job, settings, job_key, job_repository, scrubber
    )
    jobs: providers.Provider[AsyncJobs] = providers.Singleton(AsyncJobs, job_key, job_repository, current_job)
    series_tools: providers.Provider[SeriesTools] = providers.Singleton(
        SeriesTools, imaging=imaging.provider, converter=converter.provider, scratch=scratch, offload=offload
    )
    data: providers.Provider[AsyncData] = providers.Singleton(AsyncData, jobs, data_repository)
    peers: providers.Provider[AsyncPeers] = providers.Singleton(
        AsyncPeers, peer_repository, settings.provided.peer_id, sender.provider, offload
    )
    sending: providers.Provider[AsyncSending] = providers.Singleton(
        AsyncSending, data, peers, sender.provider, offload, providers.Callable(_send_options, settings), cancellation
    )
    derive: providers.Provider[AsyncDerive] = providers.Singleton(
        AsyncDerive, providers.Singleton(_producer, settings), derived.provider, offload
    )
    async_session: providers.Provider[AsyncSession] = providers.Singleton(
        AsyncSession,
        job=current_job,
        jobs=jobs,
        data=data,
        files=providers.Singleton(AsyncFiles, jobs, file_repository, formats.provider, offload),
        peers=peers,
        dicom=providers.Singleton(AsyncDicom, current_job, dicom_repository, series_tools, sending, derive),
    )
    session: providers.Provider[Any] = providers.Singleton(Session, async_session)
    context: providers.Provider[Any] = providers.Singleton(
        RuntimeContext.bind, settings, session, providers.Singleton(Progress, async_progress), log, cancellation
    )


@containers.copy(Container)
class AsyncContainer(Container):
    """The same for an asynchronous callback: motor in place of PyMongo, other blocking work in threads.

    Example:
        >>> settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> with opened(AsyncContainer(settings=settings)) as container:
        ...     container.context().job.id == "1" * 24
        True
    """

    mode: providers.Provider[Mode] = providers.Object("async")
    session: providers.Provider[Any] = providers.Singleton(lambda session: session, Container.async_session)
    context: providers.Provider[Any] = providers.Singleton(
        AsyncRuntimeContext.bind,
        Container.settings,
        Container.async_session,
        Container.async_progress,
        Container.log,
        Container.cancellation,
    )


@contextmanager
def opened(container: C) -> Iterator[C]:
    """Gives the container; at the end closes what it opened: the store, then the temporary files.

    Each part is closed whether or not another fails to close; the failure is raised after that.

    Example:
        >>> settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> with opened(Container(settings=settings)) as container:
        ...     container.session().data.keys()
        []
    """
    try:
        yield container
    finally:
        with ExitStack() as closing:  # unwinds from the end
            closing.callback(container.shutdown_resources)  # what an overriding provider opened for itself
            for provider in container.providers.values():
                for part in (provider, *provider.overridden):
                    if isinstance(part, providers.Resource):
                        closing.callback(part.shutdown)
