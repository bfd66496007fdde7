"""Contexts over memory, for tests of callbacks."""

from __future__ import annotations

import io
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.keywords import refuse_unknown
from dcm_processor_service.models import Job, JobEvent, Patient, Peer, SeriesRecord, Study
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import AsyncContainer, Container
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.session.images.catalogue import ATTRIBUTES, Catalogue
from dcm_processor_service.testing.stored_output import store_output, upstream_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydicom import Dataset
    from typing_extensions import Unpack

    from dcm_processor_service.runtime.context import AsyncRuntimeContext, RuntimeContext
    from dcm_processor_service.runtime.settings import SettingsValues

__all__ = ["fake_async_context", "fake_context"]

SESSION_ID = "5" * 24
JOB_ID = "1" * 24
_KEYWORDS = (
    *("params", "added_params", "series", "subject", "peers", "jobs", "customise"),
    *("upstream", "upstream_files", "data", "files"),
)


def fake_context(
    *,
    params: Mapping[str, Any] | None = None,
    added_params: Mapping[str, Any] | None = None,
    series: Sequence[Dataset] | None = None,
    subject: Patient | Study | SeriesRecord | None = None,
    peers: Iterable[Peer] = (),
    jobs: Iterable[Job] = (),
    upstream: Mapping[str, Mapping[str, Any]] | None = None,
    upstream_files: Mapping[str, Mapping[str, Any]] | None = None,
    data: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    customise: Callable[[Container], object] | None = None,
    **settings: Unpack[SettingsValues],
) -> RuntimeContext:
    """Makes a context as a worker would, over a store in memory.

    Args:
        params: The job's params.
        added_params: The parameters that the registry functions returned, by job name.
        series: Datasets to store; the job is about their series, or about their study if there are several series.
        subject: The job's subject, in place of that of ``series``.
        peers: The known peers; the first one sent the images.
        jobs: Other jobs of the session.
        upstream: Data of jobs that ran before this one, by job name and name of the value: ``{"segment": {"volume_ml":
            5.0}}``.
        upstream_files: Files of these jobs, by job name, each as in ``files``.
        data: Data that the job itself has stored already.
        files: Files that the job has stored already: bytes, a path or an open file, else a value as for ``files.save``.
        customise: Overrides providers of the container: ``lambda container: container.converter.override(MyFake())``.
        settings: Values of the context, each as :class:`~dcm_processor_service.RuntimeSettings` has it:
            ``job_name="segment"``, ``service_name``, ``job_event``, ``ae_title``, ``service_version``, ``peer_id``,
            ``session_id``, ``job_id``, ``dicom_timeout_s`` and so on.

    Raises:
        ConfigurationError: A setting is malformed, or a keyword is unknown; the message suggests the nearest one.
        ValueError: One of the datasets cannot be filed.

    Example:
        >>> ctx = fake_context(params={"threshold": 0.5}, job_name="segment")
        >>> ctx.job.name, ctx.job.params["threshold"], ctx.session.data.keys()
        ('segment', 0.5, [])
        >>> ctx = fake_context(upstream={"segment": {"volume_ml": 5.0}}, files={"box.json": {"size_mm": 10}})
        >>> ctx.session.data.get("volume_ml", job="segment"), ctx.session.files.load("box.json")
        (5.0, {'size_mm': 10})
    """
    container = Container()
    output = _Output(upstream or {}, upstream_files or {}, data or {}, files or {})
    job = _fill(container, params, added_params, series, subject, tuple(peers), tuple(jobs), output, settings)
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
    upstream: Mapping[str, Mapping[str, Any]] | None = None,
    upstream_files: Mapping[str, Mapping[str, Any]] | None = None,
    data: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    customise: Callable[[Container], object] | None = None,
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
    output = _Output(upstream or {}, upstream_files or {}, data or {}, files or {})
    job = _fill(container, params, added_params, series, subject, tuple(peers), tuple(jobs), output, settings)
    if customise is not None:
        customise(container)
    context: AsyncRuntimeContext = container.context()
    context.job.preset(job)
    weakref.finalize(context.session, container.shutdown_resources)
    return context


@dataclass(frozen=True)
class _Output:
    """The data and files that the store holds of this and earlier jobs."""

    upstream: Mapping[str, Mapping[str, Any]]
    upstream_files: Mapping[str, Mapping[str, Any]]
    data: Mapping[str, Any]
    files: Mapping[str, Any]


def _fill(
    container: Container,
    params: Mapping[str, Any] | None,
    added_params: Mapping[str, Any] | None,
    series: Sequence[Dataset] | None,
    subject: Patient | Study | SeriesRecord | None,
    peers: tuple[Peer, ...],
    jobs: tuple[Job, ...],
    output: _Output,
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
    )
    before = upstream_jobs({**output.upstream, **output.upstream_files}, job)
    job = job.model_copy(update={"depends_on": tuple(other.id for other in (*jobs, *before))})
    for entry in (job, *jobs, *before):
        store.jobs[entry.id] = entry
    container.settings.override(chosen)
    container.backend.override(backend)
    formats = container.formats
    for one in before:
        of_one = output.upstream.get(one.name, {}), output.upstream_files.get(one.name, {})
        store_output(backend, formats, JobKey(job.session_id, one.id), *of_one)
    store_output(backend, formats, JobKey(job.session_id, job.id), output.data, output.files)
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
