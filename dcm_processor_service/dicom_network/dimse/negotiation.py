"""The words of an association's negotiation, encoded and decoded by pynetdicom (PS3.8, 9.3.2 to 9.3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION, _config
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, PDU
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer

__all__ = [
    "MOST_CONTEXTS",
    "Agreement",
    "ProposedContext",
    "abort_reason",
    "agreements",
    "decode",
    "maximum_length",
    "rejection",
    "request",
]

# pynetdicom would log the identifiers of queries, which name patients
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

MOST_CONTEXTS = 128
"""Presentation contexts of one association: their ids are the odd numbers of a byte (PS3.8, 9.3.2.2)."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7, A.2.1
_LARGEST_PDU_RECEIVED_BYTES = 65_536
_SHORTEST_BODY_BYTES: dict[type[PDU], int] = {A_ASSOCIATE_AC: 68, A_ASSOCIATE_RJ: 4}  # PS3.8, 9.3.3 and 9.3.4

_ACCEPTED, _USER_REJECTION, _NO_REASON, _NO_SUCH_CLASS, _NO_SUCH_SYNTAX = range(5)
_RESULTS = {
    _USER_REJECTION: "the peer does not want it",
    _NO_REASON: "the peer gives no reason",
    _NO_SUCH_CLASS: "the peer does not take this SOP class",
    _NO_SUCH_SYNTAX: "the peer does not take this transfer syntax",
}

_TRANSIENT = 2
_CALLING_UNKNOWN, _CALLED_UNKNOWN = (1, 3), (1, 7)
_REASONS = {
    (1, 1): "it gives no reason; its log may",
    (1, 2): "it does not know the application context of DICOM; is it a DICOM node?",
    (2, 1): "it gives no reason; its log may",
    (2, 2): "it does not know the protocol version of DICOM; is it a DICOM node?",
    (3, 1): "it is congested; try again later",
    (3, 2): "it has as many associations as it allows; try again later",
}

_BY_PROVIDER = 2
_PROVIDER_REASONS = {
    1: "it did not know a PDU of ours",
    2: "it did not expect a PDU of ours",
    4: "it did not know a parameter of ours",
    5: "it did not expect a parameter of ours",
    6: "a parameter of ours was invalid",
}

AnyPDU = TypeVar("AnyPDU", bound=PDU)


@dataclass(frozen=True)
class ProposedContext:
    """One kind of object, and the transfer syntaxes that the peer picks one of."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """What the peer said to one proposed context."""

    proposed: ProposedContext
    transfer_syntax_uid: str
    reason: str = ""
    class_refused: bool = False

    @property
    def accepted(self) -> bool:
        """Objects may go over this context."""
        return bool(self.transfer_syntax_uid)


def request(peer: Peer, contexts: tuple[ProposedContext, ...], calling_ae_title: str) -> bytes:
    """Encodes the request of an association."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = _APPLICATION_CONTEXT
    primitive.calling_ae_title = calling_ae_title
    primitive.called_ae_title = peer.ae_title
    primitive.presentation_context_definition_list = [_context(number, item) for number, item in enumerate(contexts)]
    length = MaximumLengthNotification()
    length.maximum_length_received = _LARGEST_PDU_RECEIVED_BYTES
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    primitive.user_information = [length, implementation, version]
    return A_ASSOCIATE_RQ(primitive).encode()


def _context(number: int, proposed: ProposedContext) -> PresentationContext:
    context = PresentationContext()
    context.context_id = 2 * number + 1
    context.abstract_syntax = proposed.sop_class_uid
    for uid in proposed.transfer_syntax_uids:
        context.add_transfer_syntax(uid)
    return context


def decode(pdu: AnyPDU, kind: int, body: bytes) -> AnyPDU:
    """Decodes a PDU into the empty one given.

    Raises:
        ValueError: The bytes are no such PDU.
    """
    # pynetdicom takes a body that is cut off for one without presentation contexts: a peer that refuses everything
    if len(body) < _SHORTEST_BODY_BYTES[type(pdu)]:
        raise ValueError("the PDU is cut off")
    try:
        pdu.decode(bytes((kind, 0)) + len(body).to_bytes(4, "big") + body)
    except Exception as error:  # pynetdicom raises whatever a malformed item leads to
        raise ValueError("the PDU is malformed") from error
    return pdu


def agreements(accepted: A_ASSOCIATE_AC, contexts: tuple[ProposedContext, ...]) -> dict[int, Agreement]:
    """Gives the peer's answer to each proposed context, by context id."""
    answers = {2 * number + 1: Agreement(item, "", _RESULTS[_NO_REASON]) for number, item in enumerate(contexts)}
    for item in accepted.presentation_context:
        context_id = item.context_id or 0
        answer = answers.get(context_id)
        if answer is None:
            continue
        syntax = str(item.transfer_syntax or "") if item.result == _ACCEPTED else ""
        if syntax in answer.proposed.transfer_syntax_uids:  # a peer may answer with a syntax of its own: no agreement
            answers[context_id] = Agreement(answer.proposed, syntax)
        else:
            reason = _RESULTS.get(item.result or 0, _RESULTS[_NO_REASON])
            refused = item.result == _NO_SUCH_CLASS
            answers[context_id] = Agreement(answer.proposed, "", reason, class_refused=refused)
    return answers


def maximum_length(accepted: A_ASSOCIATE_AC) -> int:
    """The longest P-DATA PDU that the peer takes, in bytes; 0 means any."""
    information = accepted.user_information
    return (information.maximum_length or 0) if information else 0


def rejection(rejected: A_ASSOCIATE_RJ, *, called: str, calling: str) -> tuple[bool, str]:
    """Says whether a rejection is passing, and why it happened (PS3.8, table 9-21)."""
    key = (rejected.source or 0, rejected.reason_diagnostic or 0)
    if key == _CALLING_UNKNOWN:
        reason = f"it does not know our AE title {calling!r}; add it there, or set the peer's calling_ae_title"
    elif key == _CALLED_UNKNOWN:
        reason = f"it is not {called!r}; correct the peer's ae_title"
    else:
        reason = _REASONS.get(key, f"source {key[0]}, reason {key[1]}")
    return rejected.result == _TRANSIENT, reason


def abort_reason(body: bytes) -> str:
    """Says who aborted and why (PS3.8, 9.3.8); an application gives no reason, its log may."""
    source, reason = (*body[2:4], 0, 0)[:2]
    if source != _BY_PROVIDER:
        return "the peer aborted the association; its log may tell why"
    return f"the peer aborted the association: {_PROVIDER_REASONS.get(reason, 'it gives no reason')}"
