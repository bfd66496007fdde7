"""Asks a peer to send instances, by C-GET over the same association or by C-MOVE to one of our ports.

PS3.4, sections C.4.2 and C.4.3, define the two services.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt

from dcm_processor_service.dicom_network.dimse import command_set, tls
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError, open_association
from dcm_processor_service.dicom_network.dimse.listener import listening
from dcm_processor_service.dicom_network.dimse.negotiation import ProposedContext
from dcm_processor_service.dicom_network.dimse.query import (
    decoded_identifier,
    encoded_identifier,
    is_temporary,
    query_status,
)
from dcm_processor_service.dicom_network.retrieval.contexts import TRANSFER_SYNTAXES, storage_contexts
from dcm_processor_service.dicom_network.retrieval.inbox import file_head
from dcm_processor_service.dicom_network.retrieval.rounds import Ending, NotOfferedError
from dcm_processor_service.errors import ConfigurationError, LocalFileError
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.values import texts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterator, Sequence

    from dcm_processor_service.dicom_network.dimse.association import Association, Message
    from dcm_processor_service.dicom_network.retrieval.inbox import Arrival, Inbox
    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries
    from dcm_processor_service.models import FetchOptions, Peer, SendOptions

__all__ = ["QUERY_SYNTAXES", "STUDY_ROOT_GET", "STUDY_ROOT_MOVE", "Line", "getting", "moving"]

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""The SOP class Study Root Query/Retrieve Information Model - GET."""

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
"""The SOP class Study Root Query/Retrieve Information Model - MOVE."""

QUERY_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_STORED, _OUT_OF_RESOURCES, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000


class Line:
    """An association over which we ask a peer to send instances.

    Args:
        association: The association; its first context is for the requests.
        encode: Function that encodes a request with a given message id.
        inbox: Receives the instances that arrive over this association.
        cancelled: Called after each message; returns whether to cancel the request.
    """

    def __init__(
        self, association: Association, encode: Callable[[int], bytes], inbox: Inbox, cancelled: Callable[[], bool]
    ) -> None:
        self._association = association
        self._encode = encode
        self._inbox = inbox
        self._cancelled = cancelled
        self._arrival: Arrival | None = None

    def ask(self, series: WantedSeries, sop_instance_uids: Sequence[str] = ()) -> Ending:
        """Asks the peer to send a series, or some of its instances, and waits for the last answer.

        Raises:
            AssociationLostError: The association ended before the last answer. Instances that were received completely
                are in the inbox.
            LocalFileError: An instance cannot be written.
        """
        request = Dataset()
        request.QueryRetrieveLevel = "IMAGE" if sop_instance_uids else "SERIES"
        request.StudyInstanceUID = series.study_instance_uid
        request.SeriesInstanceUID = series.series_instance_uid
        if sop_instance_uids:
            request.SOPInstanceUID = list(sop_instance_uids)
        implicit = self._association.agreed[1].transfer_syntax_uid == ImplicitVRLittleEndian
        try:
            last = self._association.converse(
                1,
                self._encode,
                encoded_identifier(request, implicit=implicit),
                self._take,
                sink_for=self._sink,
                stopped=self._cancelled,
            )
        finally:
            if self._arrival is not None:
                self._arrival.discard()
                self._arrival = None
        failed: tuple[str, ...] = ()
        if last.data:
            with contained():
                failed = texts(decoded_identifier(last.data, implicit=implicit), "FailedSOPInstanceUIDList")
        status = command_set.us(last.command, command_set.STATUS)
        if status == 0:
            count = command_set.us(last.command, command_set.FAILED_SUBOPERATIONS) or 0
            problem = f"the peer says that it could not send {count} of them" if count > len(failed) else ""
            return Ending(problem, failed=failed)
        said = "no status" if status is None else f"{status:04X} {query_status(status)}"
        return Ending(f"the peer ended the request with {said}", retryable=is_temporary(status), failed=failed)

    def _sink(self, context_id: int, command: command_set.CommandSet) -> Callable[[bytes], object] | None:
        if command_set.us(command, command_set.COMMAND_FIELD) != command_set.C_STORE_RQ:
            return None
        agreed = self._association.agreed.get(context_id)
        if agreed is None or not agreed.accepted:
            raise AssociationLostError("the peer sent an instance over a context that was not agreed on")
        arrival = self._arrival = self._inbox.open()
        sop_class_uid = command_set.uid(command, command_set.AFFECTED_SOP_CLASS_UID)
        sop_instance_uid = command_set.uid(command, command_set.AFFECTED_SOP_INSTANCE_UID)
        arrival.write(file_head(sop_class_uid, sop_instance_uid, agreed.transfer_syntax_uid))
        return arrival.write

    def _take(self, message: Message) -> None:
        kind = command_set.us(message.command, command_set.COMMAND_FIELD)
        if kind in {command_set.C_GET_RSP, command_set.C_MOVE_RSP}:
            return  # the message only reports progress
        arrival, self._arrival = self._arrival, None
        if kind != command_set.C_STORE_RQ or arrival is None:
            raise AssociationLostError("the peer sent a message that was not asked for")
        kept = self._inbox.take(
            arrival,
            command_set.uid(message.command, command_set.AFFECTED_SOP_INSTANCE_UID),
            command_set.uid(message.command, command_set.AFFECTED_SOP_CLASS_UID),
        )
        status = _STORED if kept else _NOT_UNDERSTOOD
        self._association.respond(message.context_id, command_set.c_store_rsp(message.command, status))


@contextmanager
def getting(
    peer: Peer,
    options: SendOptions,
    calling_ae_title: str,
    sop_class_uids: Collection[str],
    inbox: Inbox,
    cancelled: Callable[[], bool],
) -> Iterator[Line]:
    """Opens an association for C-GET, over which the peer may send instances of the given SOP classes.

    Raises:
        NotOfferedError: The peer does not offer C-GET.
        PeerUnreachableError: No association could be opened.
    """
    contexts = (ProposedContext(STUDY_ROOT_GET, QUERY_SYNTAXES), *storage_contexts(sop_class_uids))
    encode = partial(command_set.c_get_rq, sop_class_uid=STUDY_ROOT_GET)
    with open_association(peer, contexts, options, calling_ae_title) as association:
        _require_offered(association, "C-GET")
        if not any(agreed.accepted for context_id, agreed in association.agreed.items() if context_id != 1):
            raise NotOfferedError("the peer offers C-GET, but accepts none of the SOP classes and transfer syntaxes")
        yield Line(association, encode, inbox, cancelled)


@contextmanager
def moving(
    peer: Peer,
    options: SendOptions,
    calling_ae_title: str,
    listen: FetchOptions,
    inbox: Inbox,
    cancelled: Callable[[], bool],
) -> Iterator[Line]:
    """Opens an association for C-MOVE, and listens for the associations over which the peer sends the instances.

    Raises:
        NotOfferedError: The peer does not offer C-MOVE.
        PeerUnreachableError: No association could be opened.
        ConfigurationError: This process cannot listen at the port, or the peer uses TLS and we have no certificate.
        LocalFileError: An instance could not be written.
    """
    encode = partial(command_set.c_move_rq, sop_class_uid=STUDY_ROOT_MOVE, destination=calling_ae_title)
    context = ProposedContext(STUDY_ROOT_MOVE, QUERY_SYNTAXES)
    with (
        _listening(listen, calling_ae_title, inbox, tls.server_context(peer) if peer.tls else None),
        open_association(peer, (context,), options, calling_ae_title) as association,
    ):
        _require_offered(association, "C-MOVE")
        yield Line(association, encode, inbox, cancelled)


def _require_offered(association: Association, name: str) -> None:
    agreed = association.agreed[1]
    if not agreed.accepted:
        raise NotOfferedError(f"the peer offers no {name} ({agreed.reason})")


@contextmanager
def _listening(
    options: FetchOptions, ae_title: str, inbox: Inbox, ssl_context: ssl.SSLContext | None
) -> Iterator[None]:
    """Accepts C-STORE requests while the ``with`` block runs, and passes the instances to the inbox."""
    failures: list[LocalFileError] = []

    def support_all(event: evt.Event) -> None:
        asked = {str(item.abstract_syntax) for item in event.assoc.requestor.requested_contexts}
        event.assoc.acceptor.supported_contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in asked]

    def store(event: evt.Event) -> int:
        request: Any = event.request
        try:
            arrival = inbox.open()
            try:
                arrival.write(event.encoded_dataset())
            except LocalFileError:
                arrival.discard()
                raise
            kept = inbox.take(arrival, str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID))
        except LocalFileError as error:
            failures.append(error)
            return _OUT_OF_RESOURCES
        return _STORED if kept else _NOT_UNDERSTOOD

    entity = AE(ae_title=ae_title)
    entity.add_supported_context(command_set.VERIFICATION)  # some peers send a C-ECHO first
    entity.network_timeout = options.network_timeout_s
    handlers = [(evt.EVT_REQUESTED, support_all), (evt.EVT_C_STORE, store)]
    port = options.listen_port or 0
    with ExitStack() as stack:
        try:
            stack.enter_context(listening(entity, (options.listen_host, port), handlers, ssl_context))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at port {port} for the peer's instances ({error.strerror}); choose another port"
            ) from error
        yield
    if failures:
        raise failures[0]
