"""C-FIND: what a peer holds (PS3.4, annex C), by the Study Root information model."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.dimse.association import Association, Message
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["CONTEXT", "STUDY_ROOT_FIND", "NotAnsweredError", "find", "finding"]

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""The SOP class Study Root Query/Retrieve Information Model - FIND."""

CONTEXT = ProposedContext(STUDY_ROOT_FIND, (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)))


class NotAnsweredError(Exception):
    """Why a peer does not tell what it holds."""


def finding(peer: Peer, options: SendOptions, calling_ae_title: str) -> Association:
    """Opens an association to ask over with :func:`find`.

    Raises:
        NotAnsweredError: The peer does not offer it.
        PeerUnreachableError: No association.
    """
    association = open_association(peer, (CONTEXT,), options, calling_ae_title)
    agreed = association.agreed[1]
    if not agreed.accepted:
        association.release()
        raise NotAnsweredError(f"the peer offers no query ({agreed.reason})")
    return association


def find(association: Association, query: Dataset, *, most: int) -> list[Dataset]:
    """Asks, and returns what the peer holds of it.

    Args:
        association: Of :func:`finding`.
        query: QueryRetrieveLevel, and the keys: with a value to match, empty to be told.
        most: More answers are refused, so that a query that matches everything ends.

    Raises:
        NotAnsweredError: The peer refused, answered nonsense or with more than ``most``, or went away.
    """
    implicit = association.agreed[1].transfer_syntax_uid == ImplicitVRLittleEndian
    found: list[Dataset] = []

    def take(message: Message) -> None:
        if len(found) >= most:
            raise NotAnsweredError(f"the peer found more than {most}; ask for less")
        if command_set.us(message.command, command_set.COMMAND_FIELD) != command_set.C_FIND_RSP:
            raise AssociationLostError("the peer sent a message that nobody asked for")
        found.append(_decoded(message.data, implicit=implicit))

    encoded = encode(query, implicit, is_little_endian=True) or b""
    try:
        command = association.converse(1, _request, _pieces(encoded), take)
    except AssociationLostError as error:
        raise NotAnsweredError(str(error)) from error
    status = command_set.us(command, command_set.STATUS)
    if status != 0:
        _refused(status)
    return found


def _request(message_id: int) -> bytes:
    return command_set.c_find_rq(message_id, STUDY_ROOT_FIND)


def _pieces(encoded: bytes) -> Callable[[int], Iterator[bytes]]:
    def content(piece_bytes: int) -> Iterator[bytes]:
        return (encoded[start : start + piece_bytes] for start in range(0, len(encoded), piece_bytes))

    return content


def _decoded(encoded: bytes, *, implicit: bool) -> Dataset:
    try:
        return read_dataset(BytesIO(encoded), is_implicit_VR=implicit, is_little_endian=True)
    except Exception as error:  # pydicom raises whatever damaged bytes lead to
        raise AssociationLostError("the peer's answer is no DICOM data set") from error


def _refused(status: int | None) -> NoReturn:
    meaning = "no status" if status is None else f"{status:04X} {explain(status).meaning}"
    raise NotAnsweredError(f"the peer refused the query ({meaning})")
