"""Encodes and decodes the messages that negotiate an association (PS3.8, sections 9.3.2 to 9.3.4 and annex D).

Unknown items and sub-items are skipped, as PS3.8, section 9.3.1, note 2, requires.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.models import Peer

__all__ = [
    "LARGEST_PDU_RECEIVED_BYTES",
    "MOST_CONTEXTS",
    "Acceptance",
    "Agreement",
    "ProposedContext",
    "abort_reason",
    "accepted",
    "rejection",
    "request",
]

MOST_CONTEXTS = 128
"""The most presentation contexts of one association; their ids are the odd numbers of a byte (PS3.8, 9.3.2.2)."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7, A.2.1
LARGEST_PDU_RECEIVED_BYTES = 65_536
_PROTOCOL_VERSION = 1
_TITLE_BYTES, _RESERVED_BYTES = 16, 32
_FIRST_ITEM = 68  # position of the first item in the body of an A-ASSOCIATE-RQ or -AC
_REJECTION_BYTES = 4  # PS3.8, 9.3.4

_APPLICATION_CONTEXT_ITEM, _PROPOSED_ITEM, _ANSWERED_ITEM = 0x10, 0x20, 0x21
_ABSTRACT_SYNTAX_ITEM, _TRANSFER_SYNTAX_ITEM, _USER_ITEM = 0x30, 0x40, 0x50
_MAXIMUM_LENGTH_ITEM, _IMPLEMENTATION_ITEM, _ROLE_ITEM, _VERSION_ITEM = 0x51, 0x52, 0x54, 0x55

_ACCEPTED, _USER_REJECTION, _NO_REASON, _NO_SUCH_CLASS, _NO_SUCH_SYNTAX = range(5)
_RESULTS = {
    _USER_REJECTION: "the peer does not want it",
    _NO_REASON: "the peer gives no reason",
    _NO_SUCH_CLASS: "the peer does not accept this SOP class",
    _NO_SUCH_SYNTAX: "the peer does not accept this transfer syntax",
}

_TRANSIENT = 2
_CALLING_UNKNOWN, _CALLED_UNKNOWN = (1, 3), (1, 7)
_REASONS = {
    (1, 1): "it gives no reason; see its log",
    (1, 2): "it does not know the application context of DICOM; is it a DICOM peer?",
    (2, 1): "it gives no reason; see its log",
    (2, 2): "it does not know the protocol version of DICOM; is it a DICOM peer?",
    (3, 1): "it is congested; try again later",
    (3, 2): "it has as many associations as it allows; try again later",
}

_BY_PROVIDER = 2
_PROVIDER_REASONS = {
    1: "it did not know a PDU that we sent",
    2: "it did not expect a PDU that we sent",
    4: "it did not know a parameter that we sent",
    5: "it did not expect a parameter that we sent",
    6: "a parameter that we sent was invalid",
}


@dataclass(frozen=True)
class ProposedContext:
    """One SOP class, and the transfer syntaxes from which the peer accepts one."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]
    stored_by_peer: bool = False
    """Whether the peer sends instances to us in this context, as in a C-GET, so that we propose the role of the SCP for
    us (PS3.7, section D.3.3.4)."""


@dataclass(frozen=True)
class Agreement:
    """The peer's answer to one proposed context."""

    proposed: ProposedContext
    transfer_syntax_uid: str
    reason: str = ""
    class_refused: bool = False

    @property
    def accepted(self) -> bool:
        """Whether instances may be sent over this context."""
        return bool(self.transfer_syntax_uid)


@dataclass(frozen=True)
class Acceptance:
    """The peer's answer to the request for an association."""

    agreed: dict[int, Agreement]
    """The answer to each proposed context, by context id."""

    maximum_length: int
    """The longest P-DATA PDU that the peer accepts, in bytes; 0 means any."""


def request(peer: Peer, contexts: tuple[ProposedContext, ...], calling_ae_title: str) -> bytes:
    """Encodes the request for an association as a whole PDU (PS3.8, section 9.3.2)."""
    proposed = b"".join(
        _item(
            _PROPOSED_ITEM,
            bytes((2 * number + 1, 0, 0, 0))
            + _text_item(_ABSTRACT_SYNTAX_ITEM, context.sop_class_uid)
            + b"".join(_text_item(_TRANSFER_SYNTAX_ITEM, uid) for uid in context.transfer_syntax_uids),
        )
        for number, context in enumerate(contexts)
    )
    information = (
        _item(_MAXIMUM_LENGTH_ITEM, struct.pack(">I", LARGEST_PDU_RECEIVED_BYTES))
        + _text_item(_IMPLEMENTATION_ITEM, PYNETDICOM_IMPLEMENTATION_UID)
        + _roles(contexts)
        + _text_item(_VERSION_ITEM, PYNETDICOM_IMPLEMENTATION_VERSION)
    )
    body = (
        struct.pack(">HH", _PROTOCOL_VERSION, 0)
        + peer.ae_title.encode("ascii").ljust(_TITLE_BYTES)
        + calling_ae_title.encode("ascii").ljust(_TITLE_BYTES)
        + bytes(_RESERVED_BYTES)
        + _text_item(_APPLICATION_CONTEXT_ITEM, _APPLICATION_CONTEXT)
        + proposed
        + _item(_USER_ITEM, information)
    )
    return struct.pack(">BBI", 1, 0, len(body)) + body


def _roles(contexts: tuple[ProposedContext, ...]) -> bytes:
    """Encodes our roles: we are SCP, not SCU, of each SOP class whose instances the peer sends to us."""
    classes = dict.fromkeys(context.sop_class_uid.encode("ascii") for context in contexts if context.stored_by_peer)
    return b"".join(_item(_ROLE_ITEM, struct.pack(">H", len(uid)) + uid + b"\0\1") for uid in classes)


def accepted(body: bytes, contexts: tuple[ProposedContext, ...]) -> Acceptance:
    """Decodes the body of an A-ASSOCIATE-AC (PS3.8, 9.3.3).

    Raises:
        ValueError: The bytes are not an A-ASSOCIATE-AC.
    """
    if len(body) < _FIRST_ITEM:
        raise ValueError("the answer is cut off")
    agreed = {2 * number + 1: Agreement(item, "", _RESULTS[_NO_REASON]) for number, item in enumerate(contexts)}
    maximum_length = 0
    for kind, content in _items(body, _FIRST_ITEM):
        if kind == _ANSWERED_ITEM:
            context_id, _, result = struct.unpack_from("BBB", content.ljust(4, b"\0"))
            answer = agreed.get(context_id)
            if answer is not None:
                agreed[context_id] = _agreement(answer.proposed, result, content[4:])
        elif kind == _USER_ITEM:
            for sub_kind, value in _items(content, 0):
                if sub_kind == _MAXIMUM_LENGTH_ITEM and len(value) == 4:  # noqa: PLR2004  an unsigned long
                    maximum_length = int.from_bytes(value, "big")
    return Acceptance(agreed, maximum_length)


def _agreement(proposed: ProposedContext, result: int, sub_items: bytes) -> Agreement:
    syntax = ""
    if result == _ACCEPTED:
        found = (value for kind, value in _items(sub_items, 0) if kind == _TRANSFER_SYNTAX_ITEM)
        syntax = next(found, b"").rstrip(b"\0 ").decode("ascii", "replace")
    if syntax in proposed.transfer_syntax_uids:  # some peers answer with a syntax that was not proposed
        return Agreement(proposed, syntax)
    reason = _RESULTS.get(result, _RESULTS[_NO_REASON])
    return Agreement(proposed, "", reason, class_refused=result == _NO_SUCH_CLASS)


def _items(content: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position < len(content):
        if position + 4 > len(content):
            raise ValueError("an item is cut off")
        kind, _, length = struct.unpack_from(">BBH", content, position)
        position += 4 + length
        if position > len(content):
            raise ValueError("an item is longer than the item or PDU around it")
        yield kind, content[position - length : position]


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _text_item(kind: int, text: str) -> bytes:
    return _item(kind, text.encode("ascii"))


def rejection(body: bytes, *, called: str, calling: str) -> tuple[bool, str]:
    """Returns whether a rejection is transient, and its reason (PS3.8, table 9-21).

    Raises:
        ValueError: The bytes are not a rejection.
    """
    if len(body) < _REJECTION_BYTES:
        raise ValueError("the rejection is cut off")
    _, result, source, diagnostic = body[:_REJECTION_BYTES]
    if (source, diagnostic) == _CALLING_UNKNOWN:
        reason = f"it does not know our AE title {calling!r}; add it there, or set the peer's calling_ae_title"
    elif (source, diagnostic) == _CALLED_UNKNOWN:
        reason = f"it is not {called!r}; correct the peer's ae_title"
    else:
        reason = _REASONS.get((source, diagnostic), f"source {source}, reason {diagnostic}")
    return result == _TRANSIENT, reason


def abort_reason(body: bytes) -> str:
    """Returns a sentence that says who aborted and why (PS3.8, 9.3.8)."""
    source, reason = (*body[2:], 0, 0)[:2]
    if source != _BY_PROVIDER:
        return "the peer aborted the association; see its log"
    return f"the peer aborted the association: {_PROVIDER_REASONS.get(reason, 'it gives no reason')}"
