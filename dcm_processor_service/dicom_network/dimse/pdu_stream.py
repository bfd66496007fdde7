"""The PDUs of one connection, written and read by the thread that calls (PS3.8, 9.3)."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from contextlib import suppress

from dcm_processor_service.dicom_network.dimse import negotiation

__all__ = ["EMPTY_BODY", "LEAST_BYTES", "SPEAKS_TLS", "AssociationLostError", "PduKind", "PduStream", "encoded_pdu"]

EMPTY_BODY = b"\0\0\0\0"
"""Of the PDUs that say nothing but what they are: of a release, and of an abort of ours."""

LEAST_BYTES = 4096
"""How much of an instance comes at least in the time that an answer may take: what trickles slower is no answer."""

SPEAKS_TLS = "it speaks TLS on this port; set the peer's tls"
"""Why there is no PDU where the peer sent an alert of TLS."""

_CLOSED = "the peer closed the connection"
_TLS_ALERT = b"\x15\x03"  # RFC 8446, 5.1 and 6
_LARGEST_RECEIVED_BYTES = 1 << 24  # an answer is a few hundred bytes; more is no DICOM
_LAST_WORDS_S = 0.2  # for an abort that is on its way when the connection breaks
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class PduKind:
    """The types of PDUs (PS3.8, 9.3.1)."""

    ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(2, 8)


class AssociationLostError(Exception):
    """The association ended before the answer; what was asked is unacknowledged."""

    def __init__(self, reason: str, *, by_end: bool = False, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.by_end = by_end
        """The peer released it or closed the connection; not by an abort, by a wrong answer or by none."""


class PduStream:
    """Writes and reads PDUs; every wait has its limit."""

    def __init__(self, connection: socket.socket, network_timeout_s: float) -> None:
        self._socket = connection
        self._network_timeout_s = network_timeout_s
        self._received = bytearray()

    @property
    def has_begun(self) -> bool:
        """Something arrived that was not read yet."""
        return bool(self._received)

    def abort(self) -> None:
        """Tells the peer that the association ends here, without waiting."""
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(encoded_pdu(PduKind.ABORT, EMPTY_BODY))
        except OSError:
            pass  # the connection is gone: the peer knows already
        finally:
            self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def is_over(self) -> bool:
        """Looks whether the peer ended the association since its last answer; without waiting.

        Many archives end it after each instance, or when nothing came for a while. A request that is written then would
        be lost without a fault of its own.
        """
        try:
            if not self._received:
                self._take_in()
        except (AssociationLostError, OSError):
            self.close()
            return True
        return self._is_ending()

    def has_arrived(self) -> bool:
        """Looks whether the peer has sent something that was not read yet; without waiting.

        Raises:
            AssociationLostError: The peer closed the connection.
            OSError: The connection broke.
        """
        if not self._received:
            self._take_in()
        return bool(self._received)

    def _is_ending(self) -> bool:
        """Whether what has arrived begins with the end of the association; answers it then."""
        kind = self._received[0] if self._received else PduKind.P_DATA
        if kind == PduKind.P_DATA:  # a report perhaps: it is taken with the next answer
            return False
        if kind == PduKind.RELEASE_RQ:
            with suppress(OSError):
                self._socket.settimeout(1.0)
                self._socket.sendall(encoded_pdu(PduKind.RELEASE_RP, EMPTY_BODY))
        self.close()
        return True

    def _take_in(self) -> None:
        """Reads what has arrived, without waiting."""
        self._socket.settimeout(0)
        try:
            received = self._socket.recv(65_536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        if not received:
            raise AssociationLostError(_CLOSED, by_end=True)
        self._received += received

    def last_words(self) -> str:
        """Why the peer aborted, where that arrived before the connection broke."""
        with suppress(AssociationLostError, OSError):
            while True:
                kind, body = self.read_pdu(time.monotonic() + _LAST_WORDS_S)
                if kind == PduKind.ABORT:
                    return negotiation.abort_reason(body)
        return ""

    def read_pdu(self, deadline: float) -> tuple[int, bytes]:
        """Reads one PDU, and returns its type and its body.

        Raises:
            AssociationLostError: What arrives is not a PDU, or the peer closed the connection.
            OSError: The connection broke, or the deadline passed.
        """
        head = self._read(6, deadline)
        if head.startswith(_TLS_ALERT):
            raise AssociationLostError(SPEAKS_TLS)
        kind, _, length = struct.unpack(">BBI", head)
        if length > _LARGEST_RECEIVED_BYTES:
            raise AssociationLostError("the peer sent something that is no DICOM message")
        return kind, self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        while len(self._received) < count:
            self.receive(deadline)
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def receive(self, deadline: float) -> None:
        """Waits for more to arrive."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the peer did not answer in time")
        if _QUICKACK is not None:
            # a peer that collects bytes before sending waits for our acknowledgement: 40 ms an instance otherwise
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._socket.settimeout(left_s)
        received = self._socket.recv(65_536)
        if not received:
            raise AssociationLostError(_CLOSED, by_end=True)
        self._received += received

    def write(self, content: bytes) -> None:
        """Writes all; hears a peer that ends the association meanwhile, and does not read what is written.

        Raises:
            AssociationLostError: It does; the message tells why.
            TimeoutError: It takes nothing in.
        """
        deadline = time.monotonic() + self._network_timeout_s
        view = memoryview(content)
        self._socket.settimeout(0)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if _wait(self._socket, deadline):
                    self._hear()

    def _hear(self) -> None:
        """Takes in what arrived while something is written.

        Raises:
            AssociationLostError: It ends the association.
        """
        if len(self._received) < _LARGEST_RECEIVED_BYTES:
            self._take_in()
        if self._received and self._received[0] == PduKind.ABORT:
            raise AssociationLostError(negotiation.abort_reason(bytes(self._received[6:10])))
        if self._is_ending():
            raise AssociationLostError("the peer released the association", by_end=True)


def _wait(connection: socket.socket, deadline: float) -> bool:
    """Waits until something arrived or can be written; says whether something arrived."""
    left_s = deadline - time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        ready = selector.select(left_s) if left_s > 0 else []
    if not ready:
        raise TimeoutError("the peer takes nothing in")
    return bool(ready[0][1] & selectors.EVENT_READ)


def encoded_pdu(kind: int, body: bytes) -> bytes:
    """Encodes a PDU."""
    return struct.pack(">BBI", kind, 0, len(body)) + body
