"""``session.dicom`` for asynchronous callbacks; :mod:`.dicom`, for blocking ones, explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from dcm_processor_service.codec import check_text, shown
from dcm_processor_service.errors import AmbiguousSeriesError, PatientMismatchError, SeriesNotFoundError
from dcm_processor_service.models import Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.subjects import is_decoded
from dcm_processor_service.session.images.selection import select_series
from dcm_processor_service.session.images.series_async import AsyncDicomSeries
from dcm_processor_service.session.network.priors import PatientKeys, PriorsWanted, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from dcm_processor_service.models import FetchOptions, FoundItem, Peer, SendCheck, SendOptions, SendReport
    from dcm_processor_service.ports import DicomRepository
    from dcm_processor_service.series_rules import SeriesRules
    from dcm_processor_service.session.images.derive_async import AsyncDerive
    from dcm_processor_service.session.images.selection import Selection
    from dcm_processor_service.session.images.series_async import SeriesTools
    from dcm_processor_service.session.jobs import AsyncCurrentJob
    from dcm_processor_service.session.network.fetching import AsyncFetched, AsyncFetching
    from dcm_processor_service.session.network.sending import AsyncSending, SendItem

__all__ = ["AsyncDicom", "AsyncSeriesChoice", "ignore_progress", "ignore_record"]


def ignore_record() -> None:
    """Ignores the records of a sending, if no progress is wanted."""


def ignore_progress(_here: int, _expected: int) -> None:
    """Ignores the progress of a fetch, if none is wanted."""


@dataclass(frozen=True)
class AsyncSeriesChoice:
    """The series that meet all rules, largest first, and the reason why each other series does not.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context, synthetic_series
        >>> from dcm_processor_service import SeriesRules
        >>> async def choose(ctx):
        ...     return len((await ctx.session.dicom.select(SeriesRules(modality="CT"))).series)
        >>> asyncio.run(choose(fake_async_context(series=synthetic_series(slices=5))))
        1
    """

    series: tuple[AsyncDicomSeries, ...]
    selection: Selection

    def explain(self) -> str:
        """Returns for each series whether it was chosen, or which rule failed first; without patient attributes."""
        return self.selection.explain()


class AsyncDicom:
    """The job's images, for asynchronous callbacks; :class:`Dicom` explains them.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context, synthetic_series
        >>> async def count(ctx):
        ...     return await (await ctx.session.dicom.get_series()).instance_count()
        >>> asyncio.run(count(fake_async_context(series=synthetic_series(slices=5))))
        5
    """

    def __init__(
        self,
        job: AsyncCurrentJob,
        repository: DicomRepository,
        tools: SeriesTools,
        sending: AsyncSending,
        derive: AsyncDerive,
        fetching: AsyncFetching,
    ) -> None:
        self.derive = derive
        self.commitments = sending.commitments
        self._fetching = fetching
        self._job = job
        self._repository = repository
        self._tools = tools
        self._sending = sending

    async def subject(self) -> Patient | Study | SeriesRecord:
        """Returns the job's subject; see :meth:`Dicom.subject`."""
        subject = (await self._job.read()).subject
        if subject is None:
            raise SeriesNotFoundError(f"the job {self._job.id} is about no patient, study or series")
        return subject

    async def patient(self) -> Patient:
        """Returns the patient; see :meth:`Dicom.patient`."""
        subject = await self.subject()
        if isinstance(subject, Patient):
            found = await self._repository.find(SubjectLevel.PATIENT, subject.id)
        else:
            study = (await self.studies())[0] if isinstance(subject, SeriesRecord) else subject
            found = await self._repository.parent(study)
        if isinstance(found, Patient):
            return found
        raise SeriesNotFoundError("the patient of this job is no longer stored; was the session cleaned up?")

    async def studies(self) -> list[Study]:
        """Lists the studies; see :meth:`Dicom.studies`."""
        subject = await self.subject()
        if isinstance(subject, Patient):
            current = await self._repository.find(SubjectLevel.PATIENT, subject.id)
            parent = current if isinstance(current, Patient) else subject
            return cast("list[Study]", await self._repository.children(parent))
        if isinstance(subject, Study):
            found = await self._repository.find(SubjectLevel.STUDY, subject.id)
        else:  # not by the study's UID: two peers may have sent a study of the same UID
            found = await self._repository.parent(subject)
        if isinstance(found, Study):
            return [found]
        raise SeriesNotFoundError(f"the study {subject.study_instance_uid} of this job is no longer stored")

    async def series(self) -> list[AsyncDicomSeries]:
        """Lists the series below the job's subject; see :meth:`Dicom.series`."""
        subject = await self.subject()
        if isinstance(subject, SeriesRecord):
            return [await self.get_series(subject.id)]
        return [
            self._bound(series)
            for study in await self.studies()
            for series in cast("list[SeriesRecord]", await self._repository.children(study))
        ]

    async def get_series(self, which: str | None = None) -> AsyncDicomSeries:
        """Returns one series; see :meth:`Dicom.get_series`."""
        if which is None:
            found = await self.series()
            if len(found) == 1:
                return found[0]
            if not found:
                raise SeriesNotFoundError("the subject of this job has no series")
            listed = ", ".join(f"{series.series_instance_uid} ({series.info.modality})" for series in found)
            raise AmbiguousSeriesError(
                f"the subject of this job has {len(found)} series; name one: session.dicom.get_series(uid), of {listed}"
            )
        check_text(which, "id or UID of a series")
        try:
            series = await self._repository.find(SubjectLevel.SERIES, which)
        except AmbiguousSeriesError:  # two peers sent it: returns the one that belongs to the job's subject, if any
            own = [one for one in await self.series() if one.series_instance_uid == which]
            if len(own) == 1:
                return own[0]
            raise
        if isinstance(series, SeriesRecord):
            return self._bound(series)
        raise SeriesNotFoundError(
            f"no series {shown(which)[1:-1]} is stored; give a platform id or a SeriesInstanceUID"
        )

    async def select(self, rules: SeriesRules) -> AsyncSeriesChoice:
        """Chooses series by rules; see :meth:`Dicom.select`."""
        found = [(await series.inspect(), series) for series in await self.series()]
        selection = select_series([report for report, _series in found], rules)
        by_report = {id(report): series for report, series in found}  # not by UID, which two series may share
        return AsyncSeriesChoice(tuple(by_report[id(report)] for report in selection.chosen), selection)

    async def send(
        self,
        what: SendItem | Iterable[SendItem],
        to: Peer | str,
        *,
        options: SendOptions | None = None,
        on_record: Callable[[], None] = ignore_record,
    ) -> SendReport:
        """Sends instances to a peer; see :meth:`Dicom.send`."""
        return await self._sending.send(what, to, options, on_record)

    async def check(
        self, what: SendItem | Iterable[SendItem], to: Peer | str, *, options: SendOptions | None = None
    ) -> SendCheck:
        """Checks instances as if they were sent; see :meth:`Dicom.check`."""
        return await self._sending.check(what, to, options)

    async def fetch(
        self,
        found: FoundItem | Iterable[FoundItem],
        from_: Peer | str,
        *,
        options: FetchOptions | None = None,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> AsyncFetched:
        """Fetches items that a peer found; see :meth:`Dicom.fetch`."""
        return await self._fetching.fetch(found, from_, options, on_progress)

    async def priors(
        self,
        *,
        modality: str = "",
        before: date | None = None,
        from_: Peer | str | None = None,
        most: int | None = None,
        limit: int = 100,
        options: FetchOptions | None = None,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> AsyncFetched:
        """Finds and fetches the patient's earlier studies; see :meth:`Dicom.priors`."""
        subject, studies = await self.subject(), await self.studies()
        identity = PatientKeys.of((await self.patient()).metadata | studies[0].metadata | subject.metadata)
        if not identity.patient_id:
            raise PatientMismatchError("the job's images have no PatientID, so it is unknown whose priors to get")
        if not (is_decoded(identity.patient_id) and is_decoded(identity.issuer)):
            raise PatientMismatchError(
                "the PatientID of the job's images, or its issuer, is not in the character set that their headers "
                "declare, so it is unknown whose priors to get: have the archive correct SpecificCharacterSet"
            )
        wanted = PriorsWanted(
            identity=identity,
            own_study_uids=frozenset(study.study_instance_uid for study in studies),
            before=start_of([*(study.metadata for study in studies), subject.metadata], before),
            modality=modality,
            most=most,
            limit=limit,
            from_=from_,
        )
        return await self._fetching.priors(wanted, options, on_progress)

    def _bound(self, series: SeriesRecord) -> AsyncDicomSeries:
        return AsyncDicomSeries(series, self._repository, self._tools)
