"""Implements the port ``Sender`` over DIMSE, and over DICOMweb for a peer with a URL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.checking import check_sending
from dcm_processor_service.dicom_network.delivery import Delivery
from dcm_processor_service.dicom_network.dimse import commitment, probing, proposing, tls
from dcm_processor_service.dicom_network.dimse.echo import echo
from dcm_processor_service.dicom_network.dimse.late_answers import LateAnswers
from dcm_processor_service.dicom_network.manners import suited_to
from dcm_processor_service.dicom_network.parcels import Ledger
from dcm_processor_service.dicom_network.repeats import Repeats, is_what_was_sent, refusal, surveyed
from dcm_processor_service.dicom_network.sources import Outgoing, Unreadable, survey
from dcm_processor_service.dicom_network.verification import by_query, identity_of, verify
from dcm_processor_service.errors import (
    ConfigurationError,
    PeerUnreachableError,
    SendIncompleteError,
    SendRejectedError,
)
from dcm_processor_service.models import InstanceRecord, LeftOutFile, Outcome, SendOptions, SendReport
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dcm_processor_service.dicom_network.dicomweb.stow_sender import WebDelivery
    from dcm_processor_service.dicom_network.verification import Identity
    from dcm_processor_service.models import (
        AcceptedContext,
        EchoResult,
        Peer,
        PeerProposal,
        SendCheck,
        StorageCommitment,
    )
    from dcm_processor_service.ports import Sendable

__all__ = ["PynetdicomSender"]

_DEFAULT_OPTIONS = SendOptions()
_NOTHING: Mapping[str, InstanceRecord] = {}

# so much is read at most before an association is opened, whose contexts are planned for these instances
_WINDOW_INSTANCES = 5_000
_WINDOW_BYTES = 64 << 20

_MAY_BE_LOST = frozenset({Outcome.STORED, Outcome.STORED_WITH_WARNING, Outcome.VERIFIED})


class PynetdicomSender:
    """Sends by C-STORE, or by STOW-RS to a peer that has a URL.

    Args:
        ae_title: Our AE title for peers without a ``calling_ae_title``.
        timeout_s: Time-out for peers that do not answer, if neither options nor peer set one; None for the defaults of
            the options.
        pause: Function that waits between two attempts; it is called with the number of seconds.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.testing.fake_pacs import FakePacs
        >>> with FakePacs() as pacs:
        ...     report = PynetdicomSender().send(get_testdata_file("CT_small.dcm"), pacs.peer)
        >>> report.ok, len(pacs.received)
        (True, 1)
    """

    def __init__(
        self,
        ae_title: str = DEFAULT_AE_TITLE,
        *,
        timeout_s: float | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ae_title = ae_title
        self._timeout_s = timeout_s
        self._pause = pause

    def send(
        self,
        items: Sendable | Iterable[Sendable],
        peer: Peer,
        *,
        options: SendOptions = _DEFAULT_OPTIONS,
        acknowledged: Mapping[str, InstanceRecord] = _NOTHING,
        on_record: Callable[[InstanceRecord], None] | None = None,
        on_begin: Callable[[Sequence[str]], None] | None = None,
        may_hold: Callable[[str], bool] = lambda _uid: False,
        on_commitment: Callable[[StorageCommitment], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SendReport:
        """Sends any mix of datasets, files, folders and DICOMDIRs; changes none of them.

        If two different instances have the same SOPInstanceUID, neither is sent. But if they come from an iterator,
        which cannot be read in advance, the first one is sent.

        Files in a folder that are not instances are left out: the report names them, but they do not count as failures.
        Failures are damaged files, files that cannot be opened, and items that are a file or dataset that cannot be
        sent.

        Args:
            items: The items to send.
            peer: The peer to send to.
            options: Time-outs, number of attempts and associations, checks.
            acknowledged: Records of an earlier sending by SOPInstanceUID. These instances are not sent again, unless
                their checksum differs from the one in the record.
            on_record: Called with each record when it is written. There is only one call at a time, but with several
                associations, calls come from several threads. Store acknowledged records, to pass them as
                ``acknowledged`` to the next sending.
            on_begin: Called with the SOPInstanceUIDs that are sent next: the first at once, the others soon. There is
                only one call at a time. Store these UIDs, for ``may_hold`` of the next sending.
            may_hold: Called with a SOPInstanceUID if the peer answers that it already holds an instance of that UID
                (status 0111). Returns whether this may be our instance, from an earlier sending that was cut off or
                from another sending at the same time.
            on_commitment: Called with the storage commitment before the peer is asked for it, and again after the peer
                has answered or refused. Store it, for :meth:`wait_for_commitments`.
            cancelled: Called between two instances. After it has returned True, the other instances are not sent, and
                their outcome is ``not_attempted``.

        Raises:
            SendRejectedError: Not every instance was stored or committed as requested; ``report`` has the records. If
                sending the rest again may help, it is a SendIncompleteError. Not raised with ``check=False``.
            PeerUnreachableError: No association could be opened. If instances were stored before, ``report`` has the
                records, and the error is not raised with ``check=False``.
            ConfigurationError: A certificate file of the peer is unusable, or one of our ports is in use.
            InvalidSeriesError: A folder holds no instance to send.
        """
        options = suited_to(peer, options, self._timeout_s)
        self.check(peer)
        if options.commit:
            commitment.check_port(peer, options)
        started = time.monotonic()
        ledger = Ledger(on_record, on_begin, may_hold)
        left_out: list[LeftOutFile] = []
        identities: dict[int, Identity | None] = {}
        delivery = self._delivery(peer, options, ledger)
        try:
            found, conflicts = surveyed(items)
            looked_at = _remembered(found, identities) if options.verify else found
            for window in _windows(looked_at, Repeats(ledger, conflicts), ledger, acknowledged, left_out):
                delivery.deliver(window, cancelled)
        except BaseException:
            delivery.abort()
            raise
        if options.verify and delivery.failure is None:
            self._verify(peer, options, ledger, identities, delivery)
        delivery.finish()
        asked = None
        if options.commit and delivery.failure is None:
            asked = self._commit(peer, options, ledger, on_commitment)
        report = SendReport(
            peer=delivery.where,
            records=tuple(record for _, record in sorted(ledger.records.items())),
            left_out=tuple(left_out),
            duration_s=time.monotonic() - started,
            transaction_uid=asked.transaction_uid if asked else "",
            unmet=_unmet(ledger, options, asked),
        )
        return _judge(report, delivery.failure, check=options.check)

    def wait_for_commitments(
        self,
        open_ones: Sequence[StorageCommitment],
        *,
        options: SendOptions = _DEFAULT_OPTIONS,
        ask_again: bool = False,
        on_commitment: Callable[[StorageCommitment], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Waits for the answers to requests for storage commitment, at most ``options.commitment_timeout_s``.

        Args:
            open_ones: Requests that have no answer yet.
            options: The time-out and the port.
            ask_again: Whether to begin by sending each request again, in a new transaction.
            on_commitment: Called with each answered request, and with each new request before it is sent. If an answer
                comes to the port, the call is made in another thread, and the answer is acknowledged after it returns.
            cancelled: Called repeatedly while waiting; returns whether to stop.

        Raises:
            ConfigurationError: This process cannot listen at the port, or the peers need different TLS settings there.
        """
        waiting = LateAnswers(options, self._ae_title, on_commitment, timeout_s=self._timeout_s)
        waiting.wait(open_ones, ask_again=ask_again, cancelled=cancelled)

    def echo(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> EchoResult:
        """Asks a peer whether it answers (C-ECHO); if it does not, the result states the reason.

        Raises:
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return echo(peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    def probe(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> list[AcceptedContext]:
        """Asks a peer which SOP classes it accepts, and in which transfer syntaxes; sends no instance.

        Raises:
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return probing.probe(peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    def propose(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> PeerProposal:
        """Tests a peer over a few associations and proposes values for the fields of ``Peer``; sends no instance.

        Raises:
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return proposing.propose(peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    def check_sending(
        self, items: Sendable | Iterable[Sendable], peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS
    ) -> SendCheck:
        """Returns what would happen to instances if they were sent; sends none.

        Raises:
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file of the peer is unusable.
            InvalidSeriesError: A folder holds no instance to send.
        """
        return check_sending(items, peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    @staticmethod
    def check(peer: Peer) -> None:
        """Reads the certificate files of a peer, so that a wrong file leads to an error before anything is sent.

        Raises:
            ConfigurationError: A certificate file of the peer is unusable.
        """
        if peer.tls or peer.ca_file or peer.cert_file or peer.key_file:
            tls.client_context(peer)

    @staticmethod
    def identify(items: Sendable | Iterable[Sendable]) -> list[str]:
        """Returns the SOPInstanceUIDs of the instances to send, in order; reads no pixels.

        Raises:
            InvalidSeriesError: A folder holds no instance to send.
        """
        return [one.sop_instance_uid for one in survey(items) if isinstance(one, Outgoing)]

    def _calling(self, peer: Peer) -> str:
        return peer.calling_ae_title or self._ae_title

    def _delivery(self, peer: Peer, options: SendOptions, ledger: Ledger) -> Delivery | WebDelivery:
        if peer.url is None:
            return Delivery(peer, options, self._calling(peer), ledger, self._pause)
        try:
            from dcm_processor_service.dicom_network.dicomweb.stow_sender import WebDelivery
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the peer {peer.name!r} has a URL, and DICOMweb needs: pip install dcm-processor-service[web]"
            ) from error
        return WebDelivery(peer, options, ledger, self._pause)

    def _verify(
        self,
        peer: Peer,
        options: SendOptions,
        ledger: Ledger,
        identities: Mapping[int, Identity | None],
        delivery: Delivery | WebDelivery,
    ) -> None:
        """Asks whether the peer holds all stored instances, and writes the answer into the records."""
        stored = {position: record for position, record in ledger.records.items() if record.outcome.acknowledged}
        if peer.url is None:
            delivery.finish()  # some peers list a study only after the association over which it came has ended
        ask = by_query(peer, options, self._calling(peer)) if isinstance(delivery, Delivery) else delivery.held
        for position, record in verify(stored, identities, ask, options, self._pause).items():
            ledger.put(position, record)

    def _commit(
        self, peer: Peer, options: SendOptions, ledger: Ledger, tell: Callable[[StorageCommitment], None] | None
    ) -> StorageCommitment | None:
        """Asks for storage commitment of all stored instances, and writes the answer into the records."""
        stored = {position: record for position, record in ledger.records.items() if record.outcome in _MAY_BE_LOST}
        if not stored:
            return None
        asked = commitment.begun(peer, tuple(stored.values()))
        if tell is not None:
            tell(asked)
        result, reason = commitment.request_commitment(asked, peer, options, self._calling(peer))
        if tell is not None and result != asked:
            tell(result)
        for position, record in zip(stored, result.records, strict=True):
            ledger.put(position, record.model_copy(update={"meaning": reason}) if reason else record)
        return result


def _windows(
    found: Iterable[Outgoing | Unreadable | LeftOutFile],
    repeats: Repeats,
    ledger: Ledger,
    acknowledged: Mapping[str, InstanceRecord],
    left_out: list[LeftOutFile],
) -> Iterator[list[tuple[int, Outgoing]]]:
    """Yields instances with their positions, in groups of limited number and size; records those not to be sent."""
    window: list[tuple[int, Outgoing]] = []
    memory_bytes = 0
    for position, one in enumerate(found):
        if isinstance(one, LeftOutFile):
            left_out.append(one)
            continue
        if isinstance(one, Unreadable):
            ledger.put(position, InstanceRecord(outcome=Outcome.FAILED, meaning=one.reason, path=one.path))
        elif repeats.differs(one):
            ledger.put(position, refusal(one))
        elif (known := acknowledged.get(one.sop_instance_uid)) is not None and is_what_was_sent(one, known):
            ledger.put(position, known)
        else:
            repeats.comes(one)
            window.append((position, one))
            memory_bytes += one.memory_bytes
        if len(window) >= _WINDOW_INSTANCES or memory_bytes >= _WINDOW_BYTES:
            yield window
            window, memory_bytes = [], 0
            repeats.forget()
    if window:
        yield window


def _remembered(
    found: Iterable[Outgoing | Unreadable | LeftOutFile], identities: dict[int, Identity | None]
) -> Iterator[Outgoing | Unreadable | LeftOutFile]:
    """Yields items unchanged, and stores the identity of each instance, by which the peer is asked about it later."""
    for position, one in enumerate(found):
        if isinstance(one, Outgoing):
            identities[position] = identity_of(one)
        yield one


def _unmet(ledger: Ledger, options: SendOptions, asked: StorageCommitment | None) -> tuple[str, ...]:
    """Lists those requested guarantees, verification or commitment, that some stored instance lacks."""
    outcomes = {record.outcome for record in ledger.records.values() if record.outcome.acknowledged}
    unmet = []
    if options.verify and outcomes - {Outcome.VERIFIED, Outcome.COMMITTED}:
        unmet.append("verification")
    later = asked is not None and asked.is_open and not options.wait_for_commitment
    if options.commit and options.require_commit and not later and outcomes - {Outcome.COMMITTED}:
        unmet.append("storage commitment")
    return tuple(unmet)


def _judge(report: SendReport, failure: PeerUnreachableError | None, *, check: bool) -> SendReport:
    if failure is not None and (check or not report.stored):
        failure.report = report
        raise failure
    if check and not report.ok:
        raise (SendIncompleteError if report.retryable else SendRejectedError)(str(report), report)
    return report
