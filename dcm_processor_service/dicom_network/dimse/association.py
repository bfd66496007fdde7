"""Requests an association, sends requests over it, waits for answers, and releases it (PS3.8).

The calling thread itself writes to the socket and reads from it. So no thread can be left behind, errors reach the
caller directly, each wait has a limit, and nothing polls. An instance is written in blocks of about a mebibyte, and its
answer is read as soon as it arrives.
"""

from __future__ import annotations

import math
import ssl
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse import command_set, negotiation
from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError, connect, handshake_failed
from dcm_processor_service.dicom_network.dimse.pdu_stream import (
    EMPTY_BODY,
    LEAST_BYTES,
    SPEAKS_TLS,
    AssociationLostError,
    PduKind,
    PduStream,
    encoded_pdu,
)
from dcm_processor_service.errors import LocalFileError, PeerUnreachableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import TypeAlias

    from typing_extensions import Self

    from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
    from dcm_processor_service.models import Peer, SendOptions

    SinkFor: TypeAlias = Callable[[int, command_set.CommandSet], Callable[[bytes], object] | None]

__all__ = ["Association", "AssociationLostError", "Message", "open_association"]

_PDV_HEADER_BYTES = 6  # length, context id and message control header, which count towards the peer's maximum
_LARGEST_PDU_BYTES = 131_072  # some peers mishandle larger PDUs, even if they announce that they accept them
_WRITE_BYTES = 1 << 20
_LARGEST_MESSAGE_BYTES = 1 << 26  # the limit for messages that are read into memory, such as answers
_COMMAND, _LAST = 1, 2
_UNASKED = "the peer sent a message that was not asked for"


@dataclass(frozen=True)
class Message:
    """One DIMSE message that the peer has sent."""

    context_id: int
    command: command_set.CommandSet
    data: bytes


def open_association(
    peer: Peer, contexts: tuple[ProposedContext, ...], options: SendOptions, calling_ae_title: str
) -> Association:
    """Connects to a peer and negotiates an association.

    Raises:
        PeerUnreachableError: Nothing listens at the address, or a transient rejection or a time-out occurred.
        PeerRefusesError: The peer rejected the association permanently, or a TLS check failed; the message says why.
    """
    began_s = time.monotonic()
    connection = connect(peer, options)
    association = Association(connection, peer, options)
    association.connect_s = time.monotonic() - began_s
    try:
        association.negotiate(contexts, calling_ae_title)
    except BaseException:
        association.close()
        raise
    association.accept_s = time.monotonic() - began_s - association.connect_s
    return association


class Association:
    """An association; leaving it as a context manager releases it, or aborts it after an error."""

    def __init__(self, connection: socket.socket, peer: Peer, options: SendOptions) -> None:
        self._stream = PduStream(connection, options.network_timeout_s)
        self._peer = peer
        self._options = options
        self._message_id = 0
        self._fragment_bytes = 0
        self._last_answer: Message | None = None
        self.agreed: dict[int, Agreement] = {}
        self.connect_s = self.accept_s = 0.0
        """How long opening the connection (including TLS), and the negotiation, took, in seconds."""
        self.reports: list[Message] = []
        """N-EVENT-REPORT requests that arrived over this association and were answered."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def negotiate(self, contexts: tuple[ProposedContext, ...], calling_ae_title: str) -> None:
        """Requests the association, and stores the peer's answers to the proposed contexts in ``agreed``."""
        deadline = time.monotonic() + self._options.acse_timeout_s
        try:
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                # ignore the error here: a peer that has closed the connection may have sent the reason before
                self._stream.write(negotiation.request(self._peer, contexts, calling_ae_title))
            kind, body = self._stream.read_pdu(deadline)
        except (AssociationLostError, OSError) as error:
            raise self._no_answer(error) from error
        if kind == PduKind.ABORT:
            raise PeerUnreachableError(f"{self._peer.address}: no association; {negotiation.abort_reason(body)}")
        try:
            if kind == PduKind.ASSOCIATE_RJ:
                raise self._rejection(body, calling_ae_title)
            if kind != PduKind.ASSOCIATE_AC:
                said = f"it sent a PDU of type {kind}; is it a DICOM peer?"
                raise PeerUnreachableError(f"{self._peer.address}: no association; {said}")
            acceptance = negotiation.accepted(body, contexts)
        except ValueError as error:
            raise PeerUnreachableError(
                f"{self._peer.address}: the peer's answer is not a DICOM message; is it a DICOM peer?"
            ) from error
        self.agreed = acceptance.agreed
        bearable = self._peer.max_pdu_bytes or _LARGEST_PDU_BYTES
        largest = min(acceptance.maximum_length or bearable, bearable)
        self._fragment_bytes = max(largest - _PDV_HEADER_BYTES, 2) // 2 * 2  # fragments have even lengths (PS3.8, E.1)

    def request(
        self, context_id: int, encode: Callable[[int], bytes], content: Callable[[int], Iterator[bytes]] | None = None
    ) -> command_set.CommandSet:
        """Sends one request and waits for its answer.

        Args:
            context_id: The presentation context.
            encode: Function that returns the encoded command set for a message id.
            content: Function that yields the encoded data set in pieces of the given length; None if there is no data
                set.

        Raises:
            AssociationLostError: No answer came, because the association was aborted or closed, or timed out. The
                association cannot be used any more.
        """
        command = encode(self._next_message_id())
        with self._ending_on_errors():
            is_early = self._send(context_id, command, content)
            deadline = time.monotonic() + self._options.dimse_timeout_s
            return self._answer(context_id, command, deadline, is_early=is_early)

    def converse(
        self,
        context_id: int,
        encode: Callable[[int], bytes],
        content: Callable[[int], Iterator[bytes]],
        on_message: Callable[[Message], None],
        *,
        sink_for: SinkFor | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Message:
        """Sends one request that has many answers; returns the last answer.

        Args:
            context_id: The presentation context.
            encode: Function that returns the encoded command set for a message id.
            content: Function that yields the encoded data set in pieces of the given length.
            on_message: Called with each message that arrives before the last answer.
            sink_for: Called when a message begins. Returns the function to call with each piece of the message's data
                set, or None to collect the data set in the message.
            stopped: Called after each message. After it has returned True, the request is cancelled (C-CANCEL), but
                ``on_message`` is still called with messages that arrive.

        Raises:
            AssociationLostError: The last answer did not come. The association cannot be used any more.
        """
        command = encode(self._next_message_id())
        asked = command_set.decode(command)
        patience_s, until = self._options.dimse_timeout_s, math.inf
        with self._ending_on_errors():
            self._send(context_id, command, content)
            while True:
                message = self._read_message(min(until, time.monotonic() + patience_s), sink_for)
                if command_set.answers(message.command, asked) and not command_set.is_pending(message.command):
                    self._last_answer = message
                    return message
                if self._is_stale(message, asked):
                    continue
                on_message(message)
                if until == math.inf and stopped():
                    self._send(context_id, command_set.c_cancel_rq(asked), None)
                    until = time.monotonic() + patience_s

    def respond(self, context_id: int, command: bytes) -> None:
        """Answers a request of the peer with which :meth:`converse` has called ``on_message``."""
        self._send(context_id, command, None)

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    @contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        """Ends the association if a request fails."""
        try:
            yield
        except LocalFileError:  # an OSError too, but the connection is not its cause
            self.abort()
            raise
        except TimeoutError as error:
            self.abort()
            raise AssociationLostError("the peer did not answer in time", timed_out=True) from error
        except OSError as error:
            aborted = self._stream.last_words()
            self.close()
            broken = f"the connection broke ({error.strerror or type(error).__name__})"
            raise AssociationLostError(aborted or broken, by_end=not aborted) from error
        except AssociationLostError as error:
            if error.by_end:
                self.close()
            else:
                self.abort()
            raise
        except BaseException:
            self.abort()
            raise

    def wait_for_report(self, timeout_s: float) -> Message | None:
        """Waits for an N-EVENT-REPORT request and answers it; returns None if none came in time.

        Raises:
            AssociationLostError: The peer ended the association.
            OSError: The connection broke.
        """
        deadline = time.monotonic() + timeout_s
        while not self.reports:
            try:
                if not self._stream.has_begun:
                    self._stream.receive(deadline)
            except TimeoutError:
                return None
            # a message that has begun to arrive must be read to its end, because reading cannot resume in its middle
            message = self._read_message(time.monotonic() + self._options.network_timeout_s)
            if message != self._last_answer:  # some peers send the last answer twice
                self._take(message)
        return self.reports.pop(0)

    def release(self) -> None:
        """Releases the association; a peer may just close the connection, since all answers have come."""
        deadline = time.monotonic() + self._options.acse_timeout_s
        try:
            self._stream.write(encoded_pdu(PduKind.RELEASE_RQ, EMPTY_BODY))
            while (kind := self._stream.read_pdu(deadline)[0]) not in {PduKind.RELEASE_RP, PduKind.ABORT}:
                if kind == PduKind.RELEASE_RQ:  # both sides requested a release (PS3.8, section 9.2.3: collision)
                    self._stream.write(encoded_pdu(PduKind.RELEASE_RP, EMPTY_BODY))
        except (AssociationLostError, OSError):
            pass
        finally:
            self.close()

    def is_over(self) -> bool:
        """Returns, without waiting, whether the peer has ended the association since its last answer."""
        return self._stream.is_over()

    def abort(self) -> None:
        """Tells the peer that the association ends here, without waiting."""
        self._stream.abort()

    def close(self) -> None:
        """Closes the connection."""
        self._stream.close()

    def _send(self, context_id: int, command: bytes, content: Callable[[int], Iterator[bytes]] | None) -> bool:
        """Sends a message; returns whether the peer has sent something before the whole message was written."""
        parts = list(self._fragments(context_id, [command], _COMMAND))
        is_long = False
        if content is not None:
            piece_bytes = self._fragment_bytes * max(1, _WRITE_BYTES // self._fragment_bytes)
            buffered = 0
            for part in self._fragments(context_id, content(piece_bytes), 0):
                parts.append(part)
                buffered += len(part)
                if buffered >= _WRITE_BYTES:
                    self._stream.write(b"".join(parts))
                    parts.clear()
                    buffered, is_long = 0, True
        is_early = is_long and self._stream.has_arrived()
        self._stream.write(b"".join(parts))
        return is_early

    def _fragments(self, context_id: int, pieces: Iterable[bytes], kind: int) -> Iterator[bytes | memoryview]:
        """Splits pieces into P-DATA PDUs with one fragment each, and marks the last one (PS3.8, 9.3.5 and E.2)."""
        waiting: memoryview = memoryview(b"")
        for piece in pieces:
            view = memoryview(piece)
            for start in range(0, len(view), self._fragment_bytes):
                if waiting:
                    yield _fragment_header(context_id, len(waiting), kind)
                    yield waiting
                waiting = view[start : start + self._fragment_bytes]
        yield _fragment_header(context_id, len(waiting), kind | _LAST)
        yield waiting

    def _answer(
        self, context_id: int, request: bytes, deadline: float, *, is_early: bool = False
    ) -> command_set.CommandSet:
        asked = command_set.decode(request)
        while True:
            message = self._read_message(deadline)
            if self._is_stale(message, asked):
                is_early = False  # it was this message that arrived early, not the answer
                continue
            if not command_set.answers(message.command, asked):
                self._take(message)
                is_early = False  # it was this message that arrived early, not the answer
            elif is_early and not command_set.is_failure(message.command):
                raise AssociationLostError("the peer acknowledged the instance before it had received all of it")
            elif message.context_id != context_id or not command_set.same_instance(message.command, asked):
                raise AssociationLostError("the peer answered for another instance or presentation context")
            else:
                self._last_answer = message
                return message.command

    def _is_stale(self, message: Message, asked: command_set.CommandSet) -> bool:
        """Returns whether a message is not the answer to this request, but repeats the previous answer.

        Some peers send an answer twice.

        Raises:
            AssociationLostError: The message answers another request, and does not repeat the previous answer.
        """
        if not command_set.is_response(message.command) or command_set.answers(message.command, asked):
            return False
        if message != self._last_answer:
            raise AssociationLostError(_UNASKED)
        return True

    def _take(self, message: Message) -> None:
        if command_set.us(message.command, command_set.COMMAND_FIELD) != command_set.N_EVENT_REPORT_RQ:
            raise AssociationLostError(_UNASKED)
        self._send(message.context_id, command_set.n_event_report_rsp(message.command), None)
        self.reports.append(message)

    def _read_message(self, deadline: float, sink_for: SinkFor | None = None) -> Message:
        command, data = bytearray(), bytearray()
        decoded: command_set.CommandSet | None = None
        sink: Callable[[bytes], object] | None = None
        since_bytes = 0
        while True:
            for context_id, control, fragment in self._read_fragments(deadline):
                if control & _COMMAND:
                    command.extend(fragment)
                elif sink is None:
                    data.extend(fragment)
                else:  # an instance may be large, so each part of it may take as long as a whole answer
                    sink(fragment)
                    since_bytes += len(fragment)
                    if since_bytes >= LEAST_BYTES:
                        deadline, since_bytes = max(deadline, time.monotonic() + self._options.dimse_timeout_s), 0
                if control & _COMMAND and control & _LAST:
                    decoded = _decode_command(bytes(command))
                    sink = None if sink_for is None else sink_for(context_id, decoded)
                if len(data) > _LARGEST_MESSAGE_BYTES or len(command) > _LARGEST_MESSAGE_BYTES:
                    raise AssociationLostError("the peer sent a message that does not end")
                if (
                    decoded is not None
                    and control & _LAST
                    and not (control & _COMMAND and command_set.has_data_set(decoded))
                ):
                    return Message(context_id, decoded, bytes(data))

    def _read_fragments(self, deadline: float) -> list[tuple[int, int, bytes]]:
        kind, body = self._stream.read_pdu(deadline)
        if kind == PduKind.ABORT:
            raise AssociationLostError(negotiation.abort_reason(body))
        if kind == PduKind.RELEASE_RQ:
            self._stream.write(encoded_pdu(PduKind.RELEASE_RP, EMPTY_BODY))
            raise AssociationLostError("the peer released the association", by_end=True)
        if kind != PduKind.P_DATA:
            raise AssociationLostError(f"the peer sent an unexpected PDU of type {kind}")
        fragments = []
        position = 0
        while position + _PDV_HEADER_BYTES <= len(body):
            length, context_id, control = struct.unpack_from(">IBB", body, position)
            fragments.append((context_id, control, body[position + _PDV_HEADER_BYTES : position + 4 + length]))
            position += 4 + max(length, 2)
        return fragments

    def _no_answer(self, error: AssociationLostError | OSError) -> PeerUnreachableError:
        if self._peer.tls and not isinstance(error, TimeoutError):
            # with TLS 1.3, a peer that requires a certificate, or refuses ours, says so only after the handshake
            return handshake_failed(self._peer, error if isinstance(error, OSError) else ConnectionResetError())
        message = f"{self._peer.address}: no answer to the association request; {error}"
        if str(error) == SPEAKS_TLS:
            return PeerRefusesError(message)
        ended = isinstance(error, ConnectionError) or (isinstance(error, AssociationLostError) and error.by_end)
        if ended and not self._peer.tls:
            message += "; it may speak TLS on this port: then set the peer's tls"
        return PeerUnreachableError(message)

    def _rejection(self, body: bytes, calling_ae_title: str) -> PeerUnreachableError:
        temporary, reason = negotiation.rejection(body, called=self._peer.ae_title, calling=calling_ae_title)
        message = f"{self._peer.address}: rejected the association: {reason}"
        return PeerUnreachableError(message) if temporary else PeerRefusesError(message)


def _fragment_header(context_id: int, length: int, control: int) -> bytes:
    return struct.pack(">BBIIBB", PduKind.P_DATA, 0, length + _PDV_HEADER_BYTES, length + 2, context_id, control)


def _decode_command(encoded: bytes) -> command_set.CommandSet:
    try:
        return command_set.decode(encoded)
    except ValueError as error:
        raise AssociationLostError(str(error)) from error
