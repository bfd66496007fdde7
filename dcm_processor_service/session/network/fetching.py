"""Fetches series and priors from DICOM peers into the job's scratch folder, as series like the job's own."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import FetchError
from dcm_processor_service.models import (
    FetchOptions,
    FetchOutcome,
    FetchReport,
    FoundInstance,
    FoundSeries,
    FoundStudy,
    Peer,
)
from dcm_processor_service.session.images.catalogue import catalogue_files
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.images.series_async import AsyncDicomSeries
from dcm_processor_service.session.network.priors import choose_priors, refuse_strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dcm_processor_service.models import FetchRecord, FoundItem, Study
    from dcm_processor_service.ports import Backend, DicomRepository, Offload, Retriever
    from dcm_processor_service.runtime.execution.cancellation import Cancellation
    from dcm_processor_service.session.images.catalogue import Filed
    from dcm_processor_service.session.images.series_async import SeriesTools
    from dcm_processor_service.session.network.peers import AsyncPeers
    from dcm_processor_service.session.network.priors import PriorsWanted
    from dcm_processor_service.session.scratch import Scratch

__all__ = ["AsyncFetched", "AsyncFetching", "Fetched"]


@dataclass(frozen=True)
class AsyncFetched:
    """The result of a fetch; :class:`Fetched` explains it.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import FakePacs, fake_async_context, synthetic_series
        >>> async def count(ctx, peer):
        ...     found = await ctx.session.peers.find(peer, modality="CT")
        ...     fetched = await ctx.session.dicom.fetch(found, from_=peer)
        ...     return await fetched.series[0].instance_count()
        >>> with FakePacs(holds=synthetic_series(slices=3)) as pacs:
        ...     asyncio.run(count(fake_async_context(), pacs.peer))
        3
    """

    series: tuple[AsyncDicomSeries, ...] = ()
    studies: tuple[Study, ...] = ()
    report: FetchReport = field(default_factory=FetchReport)
    passed_over: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch: series like the job's own, which are removed with the job.

    ``series`` are in the order in which they were found, and ``studies`` are the studies that they belong to.
    ``report`` has a record for each instance. ``passed_over`` says, by StudyInstanceUID, why a study that was found was
    not fetched.

    Example:
        >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
        >>> session = fake_context().session
        >>> with FakePacs(holds=synthetic_series(slices=3)) as pacs:
        ...     fetched = session.dicom.fetch(session.peers.find(pacs.peer, modality="CT"), from_=pacs.peer)
        >>> fetched.report.ok, fetched.series[0].volume().shape
        (True, (16, 16, 3))
    """

    series: tuple[DicomSeries, ...] = ()
    studies: tuple[Study, ...] = ()
    report: FetchReport = field(default_factory=FetchReport)
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fetched: AsyncFetched) -> Fetched:
        """Returns the blocking view."""
        series = tuple(DicomSeries(one) for one in fetched.series)
        return cls(series, fetched.studies, fetched.report, fetched.passed_over)


class AsyncFetching:
    """Fetches instances into folders of the scratch, and files them into a store in memory."""

    def __init__(
        self,
        peers: AsyncPeers,
        retriever: Callable[[], Retriever],
        store: Callable[[], Backend],
        learning: Callable[[DicomRepository], DicomRepository],
        tools: SeriesTools,
        cancellation: Cancellation,
    ) -> None:
        self._peers = peers
        self._retriever = retriever
        self._store = store
        self._learning = learning
        self._tools = tools
        self._offload: Offload = tools.offload
        self._scratch: Scratch = tools.scratch
        self._cancellation = cancellation

    async def fetch(
        self,
        found: FoundItem | Iterable[FoundItem],
        from_: Peer | str,
        options: FetchOptions | None,
        on_progress: Callable[[int, int], None],
    ) -> AsyncFetched:
        """Fetches items that a peer found; see :meth:`Dicom.fetch`."""
        one = isinstance(found, (FoundStudy, FoundSeries, FoundInstance))
        wanted: Sequence[FoundItem] = [found] if one else list(found)  # type: ignore[list-item, arg-type]
        if not wanted:
            return AsyncFetched()
        peer = await self._find_peer(from_)
        folder = await self._offload(lambda: self._scratch.folder(f"fetched-{secrets.token_hex(8)}"))
        report = await self._offload(lambda: self._fetch(wanted, peer, folder, options or FetchOptions(), on_progress))
        return await self._filed(report)

    async def priors(
        self, wanted: PriorsWanted, options: FetchOptions | None, on_progress: Callable[[int, int], None]
    ) -> AsyncFetched:
        """Finds and fetches earlier studies of one patient; see :meth:`Dicom.priors`."""
        peer = await (self._peers.current() if wanted.from_ is None else self._find_peer(wanted.from_))
        studies = await self._peers.find(peer, **wanted.keys)
        chosen, passed_over = choose_priors(studies, wanted)
        found: list[FoundItem] = []
        taken = 0
        for study in chosen:
            if wanted.most is not None and taken >= wanted.most:
                passed_over[study.study_instance_uid] = f"it is not among the {wanted.most} newest"
                continue
            parts = await self._parts(study, peer, wanted.modality)
            if not parts:  # the study was found all the same: not every peer matches the modalities of a study
                passed_over[study.study_instance_uid] = "it has no series of the modality"
            found += parts
            taken += bool(parts)
        fetched = await self.fetch(found, peer, options, on_progress)
        try:
            refuse_strangers(fetched.series, wanted.identity)
        except BaseException:
            _remove(fetched.report)
            raise
        places = {study.study_instance_uid: number for number, study in enumerate(chosen)}
        return AsyncFetched(
            tuple(sorted(fetched.series, key=lambda one: places.get(one.info.study_instance_uid, 0))),
            tuple(sorted(fetched.studies, key=lambda one: places.get(one.study_instance_uid, 0))),
            fetched.report,
            passed_over,
        )

    async def _find_peer(self, peer: Peer | str) -> Peer:
        return peer if isinstance(peer, Peer) else await self._peers.get(peer)

    async def _parts(self, study: FoundStudy, peer: Peer, modality: str) -> Sequence[FoundItem]:
        """Returns a study as a whole, or its series of one modality."""
        if not modality:
            return [study]
        uid = study.study_instance_uid
        found = await self._peers.find(peer, level="series", study_instance_uid=uid, modality=modality)
        return [one.model_copy(update={"patient_id": one.patient_id or study.patient_id}) for one in found]

    def _fetch(
        self,
        found: Sequence[FoundItem],
        peer: Peer,
        folder: Path,
        options: FetchOptions,
        on_progress: Callable[[int, int], None],
    ) -> FetchReport:
        expected: list[int] = [0]
        here: list[FetchRecord] = []

        def count(record: FetchRecord) -> None:
            if record.outcome is FetchOutcome.FETCHED:
                here.append(record)
                on_progress(len(here), max(expected[0], len(here)))

        return self._retriever().fetch(
            found,
            peer,
            folder,
            options=options,
            on_record=count,
            on_begin=lambda total: expected.__setitem__(0, total),
            cancelled=lambda: self._cancellation.requested,
        )

    async def _filed(self, report: FetchReport) -> AsyncFetched:
        """Sorts the fetched files into studies and series."""
        files = [Path(record.path) for record in report.records if record.outcome is FetchOutcome.FETCHED]
        catalogue = await self._offload(lambda: catalogue_files(files, self._tools.imaging()))
        if catalogue.left_out:
            raise FetchError(f"{len(catalogue.left_out)} files are {catalogue.left_out[0].reason}", report)
        backend = self._store()
        filed: Filed = await catalogue.file_into(backend)
        repository = self._learning(backend.dicom)
        for study in filed.studies:
            await repository.children(
                study
            )  # from now on, the patient attributes of these series are removed from logs
        return AsyncFetched(
            tuple(AsyncDicomSeries(one, repository, self._tools) for one in filed.series), filed.studies, report
        )


def _remove(report: FetchReport) -> None:
    for folder in {Path(record.path).parent for record in report.records if record.path}:
        shutil.rmtree(folder, ignore_errors=True)
