"""Asks a peer by C-FIND what it holds, in the Study Root information model (PS3.4, annex C)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError, open_association
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.status import explain
from dcm_processor_service.imaging.headers.containment import contained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.dimse.association import Association, Message
    from dcm_processor_service.models import Peer, SendOptions

__all__ = [
    "CONTEXT",
    "STUDY_ROOT_FIND",
    "NotAnsweredError",
    "TooManyAnswersError",
    "decoded_identifier",
    "encoded_identifier",
    "find",
    "finding",
    "is_temporary",
    "query_status",
]

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""The SOP class Study Root Query/Retrieve Information Model - FIND."""

_STATUSES = {
    0xA700: "the peer is out of resources; try again later",
    0xA701: "the peer lacks the resources to count what matches; try again later",
    0xA702: "the peer lacks the resources to send what matches; try again later",
    0xA801: "the peer does not know our AE title as a destination",
    0xA900: "the peer does not support these keys",
    0xB000: "the peer could not send everything",
    0xFE00: "the peer cancelled the request",
    0x0122: "the peer does not support this request",
    0x0124: "not authorised; ask the peer's operator to allow our AE title to query and retrieve",
}
_TEMPORARY = frozenset({0xA700, 0xA701, 0xA702, 0x0213})

CONTEXT = ProposedContext(STUDY_ROOT_FIND, (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)))


class NotAnsweredError(Exception):
    """A peer did not answer a query; the message says why."""

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


class TooManyAnswersError(NotAnsweredError):
    """The peer found more than the limit, and the query was cancelled."""


def finding(peer: Peer, options: SendOptions, calling_ae_title: str) -> Association:
    """Opens an association for queries by :func:`find`.

    Raises:
        NotAnsweredError: The peer does not offer queries.
        PeerUnreachableError: No association could be opened.
    """
    association = open_association(peer, (CONTEXT,), options, calling_ae_title)
    agreed = association.agreed[1]
    if not agreed.accepted:
        association.release()
        raise NotAnsweredError(f"the peer offers no query ({agreed.reason})")
    return association


def find(association: Association, query: Dataset, *, most: int) -> list[Dataset]:
    """Sends a query, and returns the answers.

    Args:
        association: The association, opened by :func:`finding`.
        query: QueryRetrieveLevel and the keys: a key with a value must match; for an empty key, the peer returns the
            value.
        most: The largest number of answers. If there are more, the query is cancelled and an error is raised, so that a
            query that matches everything comes to an end.

    Raises:
        NotAnsweredError: The peer refused the query, sent a malformed answer, or ended the association.
        TooManyAnswersError: The peer found more than ``most``.
    """
    implicit = association.agreed[1].transfer_syntax_uid == ImplicitVRLittleEndian
    found: list[Dataset] = []

    def take(message: Message) -> None:
        if command_set.us(message.command, command_set.COMMAND_FIELD) != command_set.C_FIND_RSP:
            raise AssociationLostError("the peer sent a message that was not asked for")
        if len(found) <= most:
            found.append(decoded_identifier(message.data, implicit=implicit))

    try:
        last = association.converse(
            1, _request, encoded_identifier(query, implicit=implicit), take, stopped=lambda: len(found) > most
        )
    except AssociationLostError as error:
        if len(found) <= most:
            raise NotAnsweredError(str(error), retryable=True) from error
    if len(found) > most:
        raise TooManyAnswersError(f"the peer found more than {most}; ask for less")
    status = command_set.us(last.command, command_set.STATUS)
    if status != 0:
        _refused(status)
    return found


def _request(message_id: int) -> bytes:
    return command_set.c_find_rq(message_id, STUDY_ROOT_FIND)


def encoded_identifier(identifier: Dataset, *, implicit: bool) -> Callable[[int], Iterator[bytes]]:
    """Encodes the data set of a request; returns a function that yields it in pieces of a given length."""
    with contained():
        encoded = encode(identifier, implicit, is_little_endian=True) or b""

    def content(piece_bytes: int) -> Iterator[bytes]:
        return (encoded[start : start + piece_bytes] for start in range(0, len(encoded), piece_bytes))

    return content


def decoded_identifier(encoded: bytes, *, implicit: bool) -> Dataset:
    """Decodes the data set of an answer.

    Raises:
        AssociationLostError: The bytes are not a data set.
    """
    try:
        return read_dataset(BytesIO(encoded), is_implicit_VR=implicit, is_little_endian=True)
    except Exception as error:  # pydicom may raise any error for damaged bytes
        raise AssociationLostError("the peer's answer is not a DICOM data set") from error


def _refused(status: int | None) -> NoReturn:
    meaning = "no status" if status is None else f"{status:04X} {query_status(status)}"
    raise NotAnsweredError(f"the peer refused the query ({meaning})", retryable=is_temporary(status))


def query_status(status: int) -> str:
    """Returns the meaning of the status of a query or a retrieval (PS3.4, C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4).

    Example:
        >>> query_status(0xA801), query_status(0xC123)
        ('the peer does not know our AE title as a destination', "the peer is unable to process it; see the peer's log")
    """
    if status in range(0xC000, 0xD000):
        return "the peer is unable to process it; see the peer's log"
    return _STATUSES.get(status) or explain(status).meaning


def is_temporary(status: int | None) -> bool:
    """Returns whether a status is temporary, so that the same request may succeed later."""
    return status in _TEMPORARY
