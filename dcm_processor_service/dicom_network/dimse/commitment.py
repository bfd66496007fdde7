"""Storage commitment: asks a peer to promise that it keeps what it has stored (PS3.4, annex J).

The request is an N-ACTION. The answer is an N-EVENT-REPORT. It comes over the same association, or over a new
association that the peer opens to us, as many archives do. For such answers, this process listens at a port, which the
peer must know, while it waits.
"""

from __future__ import annotations

import queue
import socket
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode

from dcm_processor_service.dicom_network.dimse import command_set, tls
from dcm_processor_service.dicom_network.dimse.association import Association, AssociationLostError, open_association
from dcm_processor_service.dicom_network.dimse.listener import listening
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.dimse.query import decoded_identifier
from dcm_processor_service.dicom_network.status import explain
from dcm_processor_service.errors import ConfigurationError, PeerUnreachableError
from dcm_processor_service.models import Outcome, StorageCommitment

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dcm_processor_service.models import InstanceRecord, Peer, SendOptions

__all__ = [
    "COMMITMENT_INSTANCE",
    "CONTEXT",
    "HOLD_S",
    "STORAGE_COMMITMENT",
    "begun",
    "check_port",
    "listening_for_answers",
    "request_commitment",
    "settled",
]

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""The SOP class Storage Commitment Push Model."""

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4, J.3.5
_REQUEST_COMMITMENT = 1
_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
CONTEXT = ProposedContext(STORAGE_COMMITMENT, _SYNTAXES)
HOLD_S = 2.0
"""Seconds for which the association stays open although the answer may come over another one."""
_LOOK_S = 0.05  # the longest single wait for an answer over the association, if it may also come over another one
_PROCESSING_FAILURE = 0x0110
_LEFT_OUT = "the peer's commitment leaves it out"


class _NoAnswerError(Exception):
    """Says that the peer will not answer the request; the message says why."""


def begun(peer: Peer, records: Sequence[InstanceRecord]) -> StorageCommitment:
    """Makes a new transaction, which must still be sent to the peer.

    Instances for which the peer refused the commitment before are asked for again.
    """
    return StorageCommitment(
        transaction_uid=str(generate_uid(prefix=None)),
        peer=peer.model_copy(update={"url": None, "auth": None, "proxy": None}),
        asked_at=datetime.now(timezone.utc),
        records=tuple(map(_asked_anew, records)),
    )


def _asked_anew(record: InstanceRecord) -> InstanceRecord:
    if record.outcome is Outcome.FAILED:
        return record.model_copy(update={"outcome": Outcome.STORED, "status": None, "meaning": ""})
    return record.model_copy(update={"meaning": ""}) if record.meaning == _LEFT_OUT else record


def settled(commitment: StorageCommitment, answer: Dataset) -> StorageCommitment:
    """Returns the transaction after the peer's answer, which is written into the records of its instances."""
    committed = set(_uids(answer, "ReferencedSOPSequence"))
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason") or _PROCESSING_FAILURE)
        for item in answer.get("FailedSOPSequence", [])
    }
    records = tuple(_judged(record, committed, failed) for record in commitment.records)
    return commitment.model_copy(update={"records": records, "answered_at": datetime.now(timezone.utc)})


def _judged(record: InstanceRecord, committed: set[str], failed: Mapping[str, int]) -> InstanceRecord:
    sop_instance_uid = record.sop_instance_uid
    if sop_instance_uid in committed and sop_instance_uid not in failed:
        return record.model_copy(update={"outcome": Outcome.COMMITTED})
    if sop_instance_uid in failed:
        code = failed[sop_instance_uid]
        meaning = f"stored, but the peer does not commit to keep it: {explain(code).meaning}"
        return record.model_copy(update={"outcome": Outcome.FAILED, "status": code, "meaning": meaning})
    if record.outcome is Outcome.COMMITTED:  # an earlier answer has committed it
        return record
    return record.model_copy(update={"meaning": _LEFT_OUT})


def request_commitment(
    commitment: StorageCommitment, peer: Peer, options: SendOptions, calling_ae_title: str, *, stays_open: bool = False
) -> tuple[StorageCommitment, str]:
    """Asks the peer to commit to instances, and waits for its answer if the options say so.

    Args:
        commitment: The transaction.
        peer: The peer to ask.
        options: Time-outs and the port for answers.
        calling_ae_title: Our AE title.
        stays_open: Whether the transaction stays open if the peer cannot be reached now, but perhaps later.

    Returns:
        The transaction, which is still open, or has the peer's answer or the reason why there will be none. And the
        reason why no answer has come so far; empty if one has come.

    Raises:
        ConfigurationError: This process cannot listen at the port.
    """
    waits = options.wait_for_commitment
    deadline = time.monotonic() + (options.commitment_timeout_s if waits else 0.0)
    answers: queue.Queue[Dataset] | None = None if options.listen_port is None else queue.Queue()
    with ExitStack() as listener:
        if waits and answers is not None:
            port_tls = tls.server_context(peer) if peer.tls else None
            listener.enter_context(listening_for_answers(options, calling_ae_title, answers.put, port_tls))
        try:
            with open_association(peer, (CONTEXT,), options, calling_ae_title) as association:
                _ask(association, _request(commitment))
                answer = _wait_here(association, answers, commitment.transaction_uid, deadline)
        except (_NoAnswerError, PeerUnreachableError) as error:
            if stays_open and isinstance(error, PeerUnreachableError) and error.retryable:
                return commitment, f"stored; no storage commitment: {error}"
            return commitment.model_copy(update={"problem": str(error)}), f"stored; no storage commitment: {error}"
        except AssociationLostError as error:  # stays open, because the peer may have received the request
            return commitment, f"stored; no storage commitment: {error}"
        if answer is None and answers is not None:
            answer = _wait_there(answers, commitment.transaction_uid, deadline)
    if answer is not None:
        return settled(commitment, answer), ""
    if not waits:
        return commitment, "stored; storage commitment was requested, its answer is still to come"
    where = "" if answers is not None else "; the peer may answer only to our listen_port"
    return commitment, f"stored; no storage commitment within {options.commitment_timeout_s:g} s{where}"


def check_port(peer: Peer, options: SendOptions) -> None:
    """Tests whether the port for answers is free, so that an error is reported before anything is sent.

    Raises:
        ConfigurationError: This process cannot listen at the port, or the peer uses TLS and the port has no
            certificate.
    """
    if options.listen_port is None or not options.wait_for_commitment:
        return
    if peer.tls:
        tls.server_context(peer)
    try:
        socket.create_server((options.listen_host, options.listen_port)).close()
    except OSError as error:
        raise _cannot_listen(options, error) from error


def _cannot_listen(options: SendOptions, error: OSError) -> ConfigurationError:
    port = options.listen_port
    return ConfigurationError(f"cannot listen at port {port} for the commitment ({error.strerror}); choose another")


def _request(commitment: StorageCommitment) -> Dataset:
    request = Dataset()
    request.TransactionUID = commitment.transaction_uid
    request.ReferencedSOPSequence = []
    for record in commitment.records:
        item = Dataset()
        item.ReferencedSOPClassUID = record.sop_class_uid
        item.ReferencedSOPInstanceUID = record.sop_instance_uid
        request.ReferencedSOPSequence.append(item)
    return request


def _ask(association: Association, request: Dataset) -> None:
    agreed = association.agreed[1]
    if not agreed.accepted:
        raise _NoAnswerError(f"the peer does not offer it ({agreed.reason})")
    encoded = encode(request, agreed.transfer_syntax_uid == ImplicitVRLittleEndian, is_little_endian=True) or b""
    action = partial(
        command_set.n_action_rq,
        sop_class_uid=STORAGE_COMMITMENT,
        sop_instance_uid=COMMITMENT_INSTANCE,
        action_type_id=_REQUEST_COMMITMENT,
    )
    command = association.request(1, action, lambda _piece_bytes: iter((encoded,)))
    status = command_set.us(command, command_set.STATUS)
    if status != 0:
        meaning = "no status" if status is None else f"{status:04X} {explain(status).meaning}"
        raise _NoAnswerError(f"the peer refused the request ({meaning})")


def _wait_here(
    association: Association, answers: queue.Queue[Dataset] | None, transaction_uid: str, deadline: float
) -> Dataset | None:
    """Waits for an answer over the association.

    If this process also listens at a port, the wait is short, because many archives answer only after the association
    has ended.
    """
    if answers is not None:
        deadline = min(deadline, time.monotonic() + HOLD_S)
    implicit = association.agreed[1].transfer_syntax_uid == ImplicitVRLittleEndian
    while (left_s := deadline - time.monotonic()) > 0 and (answers is None or answers.empty()):
        try:
            report = association.wait_for_report(left_s if answers is None else min(left_s, _LOOK_S))
        except (AssociationLostError, OSError) as error:
            if answers is None:
                raise AssociationLostError(f"the association ended before the answer ({error})") from error
            return None
        if report is not None:
            answer = decoded_identifier(report.data, implicit=implicit)
            if answer.get("TransactionUID") == transaction_uid:
                return answer
    return None


def _wait_there(answers: queue.Queue[Dataset], transaction_uid: str, deadline: float) -> Dataset | None:
    try:
        while True:
            answer = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
            if answer.get("TransactionUID") == transaction_uid:
                return answer
    except queue.Empty:
        return None


@contextmanager
def listening_for_answers(
    options: SendOptions, ae_title: str, take: Callable[[Dataset], None], ssl_context: ssl.SSLContext | None = None
) -> Iterator[None]:
    """Listens for N-EVENT-REPORT requests while the ``with`` block runs.

    Calls ``take`` with each answer. If that raises an error, a failure is returned to the peer. With an SSL context,
    the port accepts only TLS.

    Raises:
        ConfigurationError: This process cannot listen at the port.
    """

    def receive(event: evt.Event) -> tuple[int, None]:
        take(event.event_information)
        return 0x0000, None

    entity = AE(ae_title=ae_title)
    entity.add_supported_context(STORAGE_COMMITMENT, list(_SYNTAXES), scu_role=True, scp_role=True)
    entity.network_timeout = options.network_timeout_s
    address = (options.listen_host, options.listen_port or 0)
    with ExitStack() as stack:
        try:
            stack.enter_context(listening(entity, address, [(evt.EVT_N_EVENT_REPORT, receive)], ssl_context))
        except OSError as error:
            raise _cannot_listen(options, error) from error
        yield


def _uids(answer: Dataset, keyword: str) -> list[str]:
    return [str(item.get("ReferencedSOPInstanceUID", "")) for item in answer.get(keyword, [])]
