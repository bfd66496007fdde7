"""The composition root: the only place that connects ports with adapters.

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

from dcm_processor_service.ports import Backend, JobKey, StoreLocation, in_thread, inline
from dcm_processor_service.ports.forks import SharedLock
from dcm_processor_service.runtime import adapters
from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
from dcm_processor_service.runtime.execution.cancellation import Cancellation
from dcm_processor_service.runtime.execution.results import json_safe
from dcm_processor_service.runtime.logs.job_log import JobLog, log_fields
from dcm_processor_service.runtime.logs.known_subjects import LearningDicomRepository, learn_from_query
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.progress import AsyncProgress, Progress
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.steps.tools import StepTiming, StepTools
from dcm_processor_service.runtime.stores import backend_names, backend_opener
from dcm_processor_service.session.data import AsyncData
from dcm_processor_service.session.files import AsyncFiles
from dcm_processor_service.session.jobs import AsyncCurrentJob, AsyncJobs
from dcm_processor_service.session.network.peers import AsyncPeers
from dcm_processor_service.session.recording import Recording
from dcm_processor_service.session.scratch import Scratch, open_scratch
from dcm_processor_service.session.session import AsyncSession, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.dicom_network.dicom_sender import DicomSender as NodeSender
    from dcm_processor_service.imaging.capabilities import Capability
    from dcm_processor_service.models import Limits
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
        Retriever,
        Sender,
        SessionRepository,
        WorkspaceRepository,
    )
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
    from dcm_processor_service.session.network.sending import AsyncSending
    from dcm_processor_service.session.reporting import AsyncReporting

__all__ = ["AsyncContainer", "Container", "backend_names", "opened"]

C = TypeVar("C", bound=containers.Container)
T = TypeVar("T")

_first_use = SharedLock()
"""The lock that is held while a provider makes its part.

All providers share it: with a lock for each, two threads could wait for each other. dependency-injector's own
ThreadSafeSingleton has a lock for each provider, which a forked child may inherit locked; its Resource has no lock.
"""


class _Once(providers.Singleton[T]):
    """A part that is made once, even if several threads ask for it at the same time."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        with _first_use:
            return super().__call__(*arguments, **named)


class _Opened(providers.Resource[T]):
    """A part that is opened once, even if several threads ask for it at once, and closed with the container."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        with _first_use:
            return super().__call__(*arguments, **named)


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


def _service(settings: RuntimeSettings) -> tuple[str, str]:
    return settings.service_name, settings.service_version


def _plain(scrubber: Scrubber) -> Callable[[Any], Any]:
    return lambda value: scrubber.value(json_safe(value))


def _log(settings: RuntimeSettings, scrubber: Scrubber) -> JobLog:
    return JobLog(log_fields(settings), scrubber)


class Container(containers.DeclarativeContainer):
    """Everything that a blocking callback needs, each part a provider that can be overridden in one line.

    Each part is made once, even if several threads ask for it at the same time.

    Example:
        >>> container = Container(settings=RuntimeSettings.without_environment(
        ...     db_provider="memory", session_id="a" * 24, job_id="b" * 24))
        >>> with opened(container):
        ...     container.context().session.data["answer"] = 42
        ...     container.session().data["answer"]
        42
    """

    settings: providers.Provider[RuntimeSettings] = _Once(RuntimeSettings)
    mode: providers.Provider[Mode] = providers.Object("blocking")
    offload: providers.Provider[Offload] = _Once(_offload, mode)
    scratch: providers.Provider[Scratch] = _Opened(_scratch, settings)

    backend: providers.Provider[Backend] = _Opened(_backend, settings, mode, offload)
    data_repository: providers.Provider[DataRepository] = providers.Callable(attrgetter("data"), backend)
    file_repository: providers.Provider[FileRepository] = providers.Callable(attrgetter("files"), backend)
    job_repository: providers.Provider[JobRepository] = providers.Callable(attrgetter("jobs"), backend)
    peer_repository: providers.Provider[PeerRepository] = providers.Callable(attrgetter("peers"), backend)
    dicom_repository: providers.Provider[DicomRepository] = providers.Callable(attrgetter("dicom"), backend)
    session_repository: providers.Provider[SessionRepository] = providers.Callable(attrgetter("sessions"), backend)
    platform_documents: providers.Provider[PlatformDocuments] = providers.Callable(adapters.platform_documents, backend)
    workspace_repository: providers.Provider[WorkspaceRepository] = providers.Callable(_workspace, backend)

    # facades get these as ``.provider``, a function that makes the part, so that a part is loaded only if it is used
    formats: providers.Provider[FileFormats] = _Once(adapters.file_formats)
    limits: providers.Provider[Limits] = _Once(adapters.limits)
    imaging: providers.Provider[ImagingFunctions] = _Once(adapters.imaging_functions, limits)
    derived: providers.Provider[DerivedFunctions] = _Once(adapters.derived_functions)
    reading: providers.Provider[ReadingFunctions] = _Once(adapters.reading_functions, limits)
    converter: providers.Provider[NiftiConverter] = _Once(adapters.nifti_converter, limits)
    sender: providers.Provider[Sender] = _Once(adapters.sender, settings)
    retriever: providers.Provider[Retriever] = _Once(adapters.retriever, settings)
    fetched_store: providers.Provider[Backend] = providers.Factory(adapters.fetched_store)
    node_sender: providers.Provider[NodeSender] = providers.Factory(adapters.legacy_sender, settings)
    capabilities: providers.Provider[dict[str, list[Capability]]] = providers.Callable(adapters.capabilities)

    job_key: providers.Provider[JobKey] = _Once(JobKey, settings.provided.session_id, settings.provided.job_id)
    scrubber: providers.Provider[Scrubber] = _Once(Scrubber)
    cancellation: providers.Provider[Cancellation] = _Once(Cancellation)
    log: providers.Provider[JobLog] = _Once(_log, settings, scrubber)
    async_progress: providers.Provider[AsyncProgress] = _Once(
        AsyncProgress, job_key, job_repository, scrubber, offload=offload
    )
    current_job: providers.Provider[AsyncCurrentJob] = _Once(_current_job, settings, job_key, job_repository, scrubber)
    jobs: providers.Provider[AsyncJobs] = _Once(AsyncJobs, job_key, job_repository, current_job)
    recording: providers.Provider[Recording] = _Once(Recording)
    step_timing: providers.Provider[StepTiming] = _Once(StepTiming)
    steps: providers.Provider[StepTools] = _Once(
        StepTools,
        key=job_key,
        job=current_job,
        mode=mode,
        jobs=job_repository,
        data=data_repository,
        files=file_repository,
        make_files=providers.Factory(AsyncFiles, formats=formats.provider, offload=offload, scratch=scratch).provider,
        offload=offload,
        progress=async_progress,
        scrubber=scrubber,
        timing=step_timing,
        service=providers.Callable(_service, settings),
        on_end=recording.provided.add_step,
    )
    series_tools: providers.Provider[SeriesTools] = _Once(
        adapters.series_tools,
        imaging=imaging.provider,
        reading=reading.provider,
        converter=converter.provider,
        scratch=scratch,
        offload=offload,
    )
    data: providers.Provider[AsyncData] = _Once(AsyncData, jobs, data_repository)
    peers: providers.Provider[AsyncPeers] = _Once(
        AsyncPeers,
        peer_repository,
        settings.provided.peer_id,
        sender.provider,
        offload,
        retriever.provider,
        providers.Callable(learn_from_query, scrubber).provider,
    )
    fetching: providers.Provider[AsyncFetching] = _Once(
        adapters.async_fetching,
        peers,
        retriever.provider,
        fetched_store.provider,
        providers.Factory(LearningDicomRepository, scrubber=scrubber).provider,
        series_tools,
        cancellation,
    )
    sending: providers.Provider[AsyncSending] = _Once(
        adapters.async_sending,
        data_repository,
        peers,
        jobs=jobs,
        sender=sender.provider,
        offload=offload,
        cancellation=cancellation,
        recording=recording,
    )
    derive: providers.Provider[AsyncDerive] = _Once(
        adapters.async_derive, _Once(adapters.producer, settings), derived.provider, offload, recording
    )
    files: providers.Provider[AsyncFiles] = _Once(AsyncFiles, jobs, file_repository, formats.provider, offload, scratch)
    learning_dicom: providers.Provider[LearningDicomRepository] = _Once(
        LearningDicomRepository, dicom_repository, scrubber
    )
    dicom: providers.Provider[AsyncDicom] = _Once(
        adapters.async_dicom, current_job, learning_dicom, series_tools, sending, derive, fetching
    )
    reporting: providers.Provider[AsyncReporting] = _Once(
        adapters.async_reporting,
        job=current_job,
        data=data,
        files=files,
        dicom=dicom,
        repository=learning_dicom,
        tools=series_tools,
        recording=recording,
        plain=_Once(_plain, scrubber),
        service_version=settings.provided.service_version,
    )
    async_session: providers.Provider[AsyncSession] = _Once(
        AsyncSession,
        job=current_job,
        jobs=jobs,
        data=data,
        files=files,
        peers=peers,
        dicom=dicom.provider,
        reporting=reporting.provider,
    )
    session: providers.Provider[Any] = _Once(Session, async_session)
    context: providers.Provider[Any] = _Once(
        RuntimeContext.bind, settings, session, _Once(Progress, async_progress), log, cancellation, steps
    )


@containers.copy(Container)
class AsyncContainer(Container):
    """The container of an asynchronous callback: motor in place of PyMongo, other blocking work in threads.

    Example:
        >>> settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> with opened(AsyncContainer(settings=settings)) as container:
        ...     container.context().job.id == "1" * 24
        True
    """

    mode: providers.Provider[Mode] = providers.Object("async")
    session: providers.Provider[Any] = _Once(lambda session: session, Container.async_session)
    context: providers.Provider[Any] = _Once(
        AsyncRuntimeContext.bind,
        Container.settings,
        Container.async_session,
        Container.async_progress,
        Container.log,
        Container.cancellation,
        Container.steps,
    )


@contextmanager
def opened(container: C) -> Iterator[C]:
    """Yields the container; at the end closes the store that it opened, and then removes the temporary files.

    Each part is closed even if another fails to close; the failure is raised after that.

    Example:
        >>> settings = RuntimeSettings.without_environment(db_provider="memory", session_id="5" * 24, job_id="1" * 24)
        >>> with opened(Container(settings=settings)) as container:
        ...     container.session().data.keys()
        []
    """
    try:
        yield container
    finally:
        with ExitStack() as closing:  # calls these from the last to the first
            closing.callback(adapters.close_decoders)
            closing.callback(container.shutdown_resources)  # closes what an overriding provider has opened
            for provider in container.providers.values():
                for part in (provider, *provider.overridden):
                    if isinstance(part, providers.Resource):
                        closing.callback(part.shutdown)
