"""``session.dicom``: the patient, studies and series that the job is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.images.derive import Derive
from dcm_processor_service.session.images.dicom_async import ignore_progress, ignore_record
from dcm_processor_service.session.images.series import DicomSeries
from dcm_processor_service.session.network.commitments import Commitments
from dcm_processor_service.session.network.fetching import Fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from dcm_processor_service.models import (
        FetchOptions,
        FoundItem,
        Patient,
        Peer,
        SendCheck,
        SendOptions,
        SendReport,
        SeriesRecord,
        Study,
    )
    from dcm_processor_service.series_rules import SeriesRules
    from dcm_processor_service.session.images.dicom_async import AsyncDicom
    from dcm_processor_service.session.images.selection import Selection
    from dcm_processor_service.session.network.sending import SendItem

__all__ = ["Dicom", "SeriesChoice"]


@dataclass(frozen=True)
class SeriesChoice:
    """The series that meet all rules, largest first, and the reason why each other series does not.

    Example:
        >>> from dcm_processor_service import SeriesRules
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> dicom = fake_context(series=synthetic_series(slices=5)).session.dicom
        >>> choice = dicom.select(SeriesRules(modality="CT", min_slices=3))
        >>> [series.instance_count() for series in choice.series]
        [5]
    """

    series: tuple[DicomSeries, ...]
    selection: Selection

    def explain(self) -> str:
        """Returns for each series whether it was chosen, or which rule failed first; without patient attributes."""
        return self.selection.explain()


class Dicom:
    """The patient, studies and series that the job is about.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> ctx = fake_context(series=synthetic_series(slices=5))
        >>> ctx.session.dicom.get_series().instance_count()
        5
    """

    def __init__(self, dicom: AsyncDicom) -> None:
        self._async = dicom
        self.derive: Derive = Derive(dicom.derive)
        self.commitments: Commitments = Commitments(dicom.commitments)

    def subject(self) -> Patient | Study | SeriesRecord:
        """Returns the job's subject as it was at scheduling time.

        Raises:
            SeriesNotFoundError: The job has no subject; this is so in a pre- or post-service of an empty session.
        """
        return run_inline(self._async.subject())

    def patient(self) -> Patient:
        """Returns the patient of the job's subject, as stored now.

        Raises:
            SeriesNotFoundError: The patient is no longer stored.
        """
        return run_inline(self._async.patient())

    def studies(self) -> list[Study]:
        """Lists the studies of the job's subject: all studies of a patient, or the one study of a study or series.

        Raises:
            SeriesNotFoundError: The study is no longer stored.
        """
        return run_inline(self._async.studies())

    def series(self) -> list[DicomSeries]:
        """Lists the series of the job's subject, in order of arrival; if the subject is a series, only that one."""
        return [DicomSeries(series) for series in run_inline(self._async.series())]

    def get_series(self, which: str | None = None) -> DicomSeries:
        """Returns one series, by the platform's id or SeriesInstanceUID (0020,000E); by default the subject's only one.

        If two peers sent the series, its UID is stored twice; then the series below the job's subject is returned.

        Raises:
            SeriesNotFoundError: There is no such series; AmbiguousSeriesError if several match.
            InvalidNameError: ``which`` is not text.
        """
        return DicomSeries(run_inline(self._async.get_series(which)))

    def select(self, rules: SeriesRules) -> SeriesChoice:
        """Chooses among the series of the job's subject by rules; reads only headers.

        Example:
            >>> from dcm_processor_service import SeriesRules
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> dicom = fake_context(series=synthetic_series(slices=5)).session.dicom
            >>> choice = dicom.select(SeriesRules(modality="MR", min_slices=3))
            >>> choice.series, choice.explain()
            ((), '1.2.826.0.1.3680043.8.498.1.1: modality is CT, not MR')
        """
        choice = run_inline(self._async.select(rules))
        return SeriesChoice(tuple(DicomSeries(series) for series in choice.series), choice.selection)

    def send(
        self,
        what: SendItem | Iterable[SendItem],
        to: Peer | str,
        *,
        options: SendOptions | None = None,
        on_record: Callable[[], None] = ignore_record,
    ) -> SendReport:
        """Sends any mix of datasets, files, folders and series to a peer; returns one record for each instance.

        While sending, the session keeps a journal of the instances that the peer acknowledged: if the same call is
        repeated after a crash, it sends only the rest.

        Args:
            what: The instances to send; they are not changed.
            to: The peer, or its name.
            options: ``SendOptions(associations=2, commit=True, check=False, …)``.
            on_record: Called for each instance when its record is complete; if there are several associations, from
                the threads of these.

        Raises:
            SendRejectedError: Not every instance was stored; ``report`` has the records (not raised with
                ``check=False``).
            PeerUnreachableError: No association could be opened; the message says why.
            PeerNotFoundError: There is no peer of that name.

        Example:
            >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=3))
            >>> with FakePacs() as pacs:
            ...     report = ctx.session.dicom.send(ctx.session.dicom.get_series(), to=pacs.peer)
            >>> report.ok, report.stored
            (True, 3)
        """
        return run_inline(self._async.send(what, to, options=options, on_record=on_record))

    def check(
        self, what: SendItem | Iterable[SendItem], to: Peer | str, *, options: SendOptions | None = None
    ) -> SendCheck:
        """Checks instances as if they were sent to a peer; sends none.

        Reads each instance to its end, and asks the peer what it accepts. The result says which instances are damaged,
        which would be converted for the peer, and which the peer does not accept.

        Args:
            what: The instances to check, as for :meth:`send`.
            to: The peer, or its name.
            options: As for :meth:`send`; ``transcode=False`` converts nothing.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
            PeerNotFoundError: There is no peer of that name.

        Example:
            >>> from dcm_processor_service.testing import FakePacs, Faults, fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=3))
            >>> with FakePacs(Faults(accept_syntaxes=["1.2.840.10008.1.2"])) as pacs:
            ...     check = ctx.session.dicom.check(ctx.session.dicom.get_series(), to=pacs.peer)
            >>> check.ok, [record.verdict.value for record in check.records], len(pacs.received)
            (True, ['converted', 'converted', 'converted'], 0)
        """
        return run_inline(self._async.check(what, to, options=options))

    def fetch(
        self,
        found: FoundItem | Iterable[FoundItem],
        from_: Peer | str,
        *,
        options: FetchOptions | None = None,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> Fetched:
        """Fetches studies, series and instances that a peer found, each as it is stored there.

        Fetches by WADO-RS if the peer has a URL, or else by C-GET. If only C-MOVE works, fetches by C-MOVE, for which
        the options must name one of our ports. Checks that each instance is complete and belongs to a series that was
        asked for. Counts the instances that the peer announces, and asks again for those that did not arrive. The files
        lie in the job's scratch folder and are removed with it.

        Args:
            found: All or some of the items that :meth:`Peers.find` returned.
            from_: The peer, or its name.
            options: ``FetchOptions(check=False, listen_port=11112, …)``.
            on_progress: Called with the number of instances that have arrived and the number expected. In the async
                mode, and while fetching by C-MOVE, it is called from another thread.

        Raises:
            FetchError: Some instances that the peer listed did not arrive; ``report`` has the records (not raised with
                ``check=False``). FetchIncompleteError if asking again may help.
            FindError: The peer does not list the series of a study.
            PeerUnreachableError: No association could be opened; the message says why.
            PeerNotFoundError: There is no peer of that name.

        Example:
            >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
            >>> session = fake_context().session
            >>> with FakePacs(holds=synthetic_series(slices=3)) as pacs:
            ...     found = session.peers.find(pacs.peer, patient_id="SYNTHETIC")
            ...     fetched = session.dicom.fetch(found, from_=pacs.peer)
            >>> fetched.report.fetched, [int(header.InstanceNumber) for header in fetched.series[0].headers()]
            (3, [1, 2, 3])
        """
        return Fetched.of(run_inline(self._async.fetch(found, from_, options=options, on_progress=on_progress)))

    def priors(
        self,
        *,
        modality: str = "",
        before: date | None = None,
        from_: Peer | str | None = None,
        most: int | None = None,
        limit: int = 100,
        options: FetchOptions | None = None,
        on_progress: Callable[[int, int], None] = ignore_progress,
    ) -> Fetched:
        """Finds and fetches earlier studies of the job's patient, newest first, and of no other patient.

        A study counts as the patient's if its PatientID is the same, and, where both have one, its IssuerOfPatientID.
        If such a study, or a header that was fetched, has another birth date or sex, the call raises.

        Args:
            modality: Fetch only series of this modality; empty: whole studies.
            before: Fetch only studies before this date, or before this datetime in the peer's local time. None: before
                the job's study.
            from_: The peer, or its name; None: the one that sent this session's images.
            most: The largest number of studies, newest first; None: all.
            limit: If the peer finds more studies than this, the call fetches none and raises.
            options: As for :meth:`fetch`.
            on_progress: As for :meth:`fetch`.

        Raises:
            PatientMismatchError: A birth date or sex contradicts the patient's, or the job's images have no PatientID.
            ConfigurationError: The job's study has no date, and ``before`` is not given.
            FetchError: As for :meth:`fetch`.
            FindError: The peer did not answer, or found more than ``limit``.
            PeerUnreachableError: No association could be opened; the message says why.

        Example:
            >>> from datetime import date
            >>> from dcm_processor_service.testing import FakePacs, fake_context, synthetic_series
            >>> earlier, now = synthetic_series(slices=3), synthetic_series(slices=3)
            >>> for dataset in earlier:
            ...     dataset.StudyDate, dataset.StudyInstanceUID = "20240131", "1.2.3"
            >>> session = fake_context(series=now).session
            >>> with FakePacs(holds=earlier) as pacs:
            ...     priors = session.dicom.priors(modality="CT", before=date(2025, 1, 1), from_=pacs.peer)
            >>> [study.study_instance_uid for study in priors.studies], priors.series[0].instance_count()
            (['1.2.3'], 3)
        """
        return Fetched.of(
            run_inline(
                self._async.priors(
                    modality=modality,
                    before=before,
                    from_=from_,
                    most=most,
                    limit=limit,
                    options=options,
                    on_progress=on_progress,
                )
            )
        )
