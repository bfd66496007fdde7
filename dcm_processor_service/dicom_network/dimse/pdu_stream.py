"""Writes and reads the PDUs of one connection in the calling thread (PS3.8, 9.3)."""

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
"""The body of a PDU without content: a release, or an abort by us."""

LEAST_BYTES = 4096
"""So many bytes of an instance must arrive within the time for an answer; slower data counts as no answer."""

SPEAKS_TLS = "it speaks TLS on this port; set the peer's tls"
"""The text of the error if the peer sent a TLS alert instead of a PDU."""

_CLOSED = "the peer closed the connection"
_TLS_ALERT = b"\x15\x03"  # RFC 8446, 5.1 and 6
_LARGEST_RECEIVED_BYTES = 1 << 24  # a PDU that claims to be longer is not DICOM
_LAST_WORDS_S = 0.2  # the time to read an abort that the peer sent before the connection broke
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class PduKind:
    """The types of PDUs (PS3.8, 9.3.1)."""

    ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(2, 8)


class AssociationLostError(Exception):
    """The association ended before the answer came, so that it is unknown whether the peer carried out the request."""

    def __init__(self, reason: str, *, by_end: bool = False, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.by_end = by_end
        """Whether the peer released the association or closed the connection, without an abort or a wrong answer."""


class PduStream:
    """Writes and reads PDUs; every wait has a limit."""

    def __init__(self, connection: socket.socket, network_timeout_s: float) -> None:
        self._socket = connection
        self._network_timeout_s = network_timeout_s
        self._received = bytearray()

    @property
    def has_begun(self) -> bool:
        """Whether bytes have arrived that were not read yet."""
        return bool(self._received)

    def abort(self) -> None:
        """Tells the peer that the association ends here, without waiting."""
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(encoded_pdu(PduKind.ABORT, EMPTY_BODY))
        except OSError:
            pass  # the connection is broken, so the peer knows already
        finally:
            self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def is_over(self) -> bool:
        """Returns, without waiting, whether the peer has ended the association since its last answer.

        Many archives end an association after each instance, or after some idle time. A request that is written later
        would be lost, although nothing is wrong with it.
        """
        try:
            if not self._received:
                self._take_in()
        except (AssociationLostError, OSError):
            self.close()
            return True
        return self._is_ending()

    def has_arrived(self) -> bool:
        """Returns, without waiting, whether the peer has sent something that was not read yet.

        Raises:
            AssociationLostError: The peer closed the connection.
            OSError: The connection broke.
        """
        if not self._received:
            self._take_in()
        return bool(self._received)

    def _is_ending(self) -> bool:
        """Returns whether the next PDU, of which bytes have arrived, ends the association; answers a release."""
        kind = self._received[0] if self._received else PduKind.P_DATA
        if kind == PduKind.P_DATA:  # perhaps an N-EVENT-REPORT, which is read together with the next answer
            return False
        if kind == PduKind.RELEASE_RQ:
            with suppress(OSError):
                self._socket.settimeout(1.0)
                self._socket.sendall(encoded_pdu(PduKind.RELEASE_RP, EMPTY_BODY))
        self.close()
        return True

    def _take_in(self) -> None:
        """Reads the bytes that have arrived, without waiting."""
        self._socket.settimeout(0)
        try:
            received = self._socket.recv(65_536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        if not received:
            raise AssociationLostError(_CLOSED, by_end=True)
        self._received += received

    def last_words(self) -> str:
        """Returns why the peer aborted, if its abort arrived before the connection broke; empty if none arrived."""
        with suppress(AssociationLostError, OSError):
            while True:
                kind, body = self.read_pdu(time.monotonic() + _LAST_WORDS_S)
                if kind == PduKind.ABORT:
                    return negotiation.abort_reason(body)
        return ""

    def read_pdu(self, deadline: float) -> tuple[int, bytes]:
        """Reads one PDU; returns its type and its body.

        Raises:
            AssociationLostError: The bytes are not a PDU, or the peer closed the connection.
            OSError: The connection broke, or the deadline passed.
        """
        head = self._read(6, deadline)
        if head.startswith(_TLS_ALERT):
            raise AssociationLostError(SPEAKS_TLS)
        kind, _, length = struct.unpack(">BBI", head)
        if length > _LARGEST_RECEIVED_BYTES:
            raise AssociationLostError("the peer sent something that is not a DICOM message")
        return kind, self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        while len(self._received) < count:
            self.receive(deadline)
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def receive(self, deadline: float) -> None:
        """Waits for more bytes, and adds them to the bytes that were not read yet."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the peer did not answer in time")
        if _QUICKACK is not None:
            # acknowledge at once: a peer that uses Nagle's algorithm waits for that, up to 40 ms for each instance
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._socket.settimeout(left_s)
        received = self._socket.recv(65_536)
        if not received:
            raise AssociationLostError(_CLOSED, by_end=True)
        self._received += received

    def write(self, content: bytes) -> None:
        """Writes all bytes, and checks meanwhile whether the peer ends the association.

        Raises:
            AssociationLostError: The peer ended the association; the message says why.
            TimeoutError: The peer does not read the bytes in time.
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
        """Reads bytes that have arrived during a write.

        Raises:
            AssociationLostError: The bytes end the association.
        """
        if len(self._received) < _LARGEST_RECEIVED_BYTES:
            self._take_in()
        if self._received and self._received[0] == PduKind.ABORT:
            raise AssociationLostError(negotiation.abort_reason(bytes(self._received[6:10])))
        if self._is_ending():
            raise AssociationLostError("the peer released the association", by_end=True)


def _wait(connection: socket.socket, deadline: float) -> bool:
    """Waits until bytes have arrived or can be written; returns whether bytes have arrived."""
    left_s = deadline - time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        ready = selector.select(left_s) if left_s > 0 else []
    if not ready:
        raise TimeoutError("the peer does not read what is sent to it")
    return bool(ready[0][1] & selectors.EVENT_READ)


def encoded_pdu(kind: int, body: bytes) -> bytes:
    """Encodes a PDU with its header."""
    return struct.pack(">BBI", kind, 0, len(body)) + body
