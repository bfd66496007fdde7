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

# the most that is read before an association is opened: its contexts are planned from these instances
_WINDOW_INSTANCES = 5_000
_WINDOW_BYTES = 64 << 20

_MAY_BE_LOST = frozenset({Outcome.STORED, Outcome.STORED_WITH_WARNING, Outcome.VERIFIED})


class PynetdicomSender:
    """Sends by C-STORE, or by STOW-RS to a peer that has a URL.

    Args:
        ae_title: Our AE title, unless the peer has a ``calling_ae_title``.
        timeout_s: How long to wait for a silent peer if the options do not say; None means their defaults.
        pause: Called with the seconds to wait between two attempts.

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

        Of two instances that differ and have the same SOPInstanceUID neither is sent. If they come from an iterator,
        which cannot be read in advance, the first is sent.

        Files of a folder that are no instances are left out: the report names them, and they are no failure. A damaged
        file, a file that cannot be opened, and a file or dataset given as an item that cannot be sent are failures.

        Args:
            items: The items to send.
            peer: The peer to send to.
            options: Time-outs, number of attempts and associations, checks.
            acknowledged: Records of an earlier attempt by SOPInstanceUID; these instances are not sent again, unless
                the record has a checksum and the instance another one by now.
            on_record: Called with each record as it is written, one at a time; with several associations from their
                threads. Store acknowledged records, to pass them as ``acknowledged`` in another attempt.
            on_begin: Called with the SOPInstanceUIDs that are sent next, one call at a time: the first at once, the
                others soon. Store these too, for ``may_hold`` in another attempt.
            may_hold: Called if the peer answers that it has an instance of that UID already (0111); returns whether
                that may be this one, from an earlier sending that was cut off or from another one at the same time.
            on_commitment: Called with the storage commitment before the peer is asked for it, and again when it was
                answered or refused. Store it, for :meth:`wait_for_commitments`.
            cancelled: Called between two instances; once it returns True, the rest is ``not_attempted``.

        Raises:
            SendRejectedError: Not every instance was stored, or committed as asked for; ``report`` has the records (not
                raised with ``check=False``). SendIncompleteError if sending the rest again may help.
            PeerUnreachableError: No association could be opened; or no further one, with the ``report`` so far (the
                latter not raised with ``check=False``).
            ConfigurationError: A certificate file of the peer is unusable, or a port of ours is in use.
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
            open_ones: Transactions without an answer.
            options: The time-out and the port.
            ask_again: Whether to start a new transaction for each first.
            on_commitment: Called with each settled transaction, and with each new one before the peer is asked; from
                another thread if the answer comes to the port. Only after it returns is the answer acknowledged.
            cancelled: Called while waiting.

        Raises:
            ConfigurationError: This process cannot listen at the port, or the peers need different TLS settings there.
        """
        waiting = LateAnswers(options, self._ae_title, on_commitment, timeout_s=self._timeout_s)
        waiting.wait(open_ones, ask_again=ask_again, cancelled=cancelled)

    def echo(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> EchoResult:
        """Asks a peer whether it answers (C-ECHO); if not, the result has the reason and nothing is raised.

        Raises:
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return echo(peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    def probe(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> list[AcceptedContext]:
        """Asks a peer which SOP classes it accepts, in which transfer syntaxes; sends no instance.

        Raises:
            PeerUnreachableError: No association could be opened.
            ConfigurationError: A certificate file of the peer is unusable.
        """
        return probing.probe(peer, suited_to(peer, options, self._timeout_s), self._calling(peer))

    def propose(self, peer: Peer, *, options: SendOptions = _DEFAULT_OPTIONS) -> PeerProposal:
        """Tests a peer over a few associations and proposes values for its fields; sends no instance.

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
        """Reads the certificate files of a peer, so that a wrong file is reported early.

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
            delivery.finish()  # some archives list a study only after the association that brought it has ended
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
    """Yields groups of instances with their positions, limited in number and bytes; records those not to be sent."""
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
    """Yields items unchanged, and stores the identity by which the peer is later asked about each instance."""
    for position, one in enumerate(found):
        if isinstance(one, Outgoing):
            identities[position] = identity_of(one)
        yield one


def _unmet(ledger: Ledger, options: SendOptions, asked: StorageCommitment | None) -> tuple[str, ...]:
    """Returns the requested guarantees that not all stored instances have."""
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
