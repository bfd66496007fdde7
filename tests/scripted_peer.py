"""A DICOM peer that sends what a test wrote down, byte by byte: for answers that no real archive can be made to send.

Each connection is served by a script of its own, a function that reads from the wire and writes to it. The encoding
here is written by hand from PS3.7 and PS3.8, so that a fault of the package's own encoding cannot hide in both ends.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dcm_processor_service.models import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

__all__ = [
    "ABORT",
    "ASSOCIATE_AC",
    "ASSOCIATE_RJ",
    "PATIENCE_S",
    "RELEASE_RP",
    "RELEASE_RQ",
    "Request",
    "ScriptedPeer",
    "Wire",
    "abort",
    "acceptance",
    "answer",
    "command",
    "data",
    "event_report",
    "item",
    "pdu",
    "scripted_peer",
    "stores",
]

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
C_STORE_RSP = 0x8001
PATIENCE_S = 20.0
"""How long a script waits for the other side, in seconds: only a test that fails waits so long."""

_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_COMMAND_AND_LAST, _LAST = 3, 2
_TITLES = slice(4, 68)  # of an A-ASSOCIATE PDU's body: the called and the calling title and 32 reserved bytes
_FIRST_ITEM = 68
_PROPOSED, _ACCEPTED_CONTEXT, _TRANSFER_SYNTAX = 0x20, 0x21, 0x40


@dataclass
class Request:
    """One DIMSE message, with the lengths of the PDUs that it came in."""

    context_id: int
    command: Dataset
    data: bytes
    pdu_lengths: list[int]


@dataclass
class Wire:
    """One connection, with what arrived on it."""

    connection: socket.socket
    kinds: list[int] = field(default_factory=list)
    """The type of each PDU that arrived."""
    requests: list[Request] = field(default_factory=list)
    closed: bool = False
    """Whether the other side closed the connection after the script's end."""

    def read_pdu(self) -> tuple[int, bytes]:
        """Reads one PDU.

        Raises:
            ConnectionError: The other side closed the connection.
        """
        kind, _, length = struct.unpack(">BBI", self._read(6))
        self.kinds.append(kind)
        return kind, self._read(length)

    def peek_request(self) -> bytes:
        """Returns the body of the first PDU, and leaves it to be read."""
        head = b""
        while len(head) < 6 or len(head) < 6 + int.from_bytes(head[2:6], "big"):
            head = self.connection.recv(1 << 16, socket.MSG_PEEK)
        return head[6:]

    def read_request(self) -> Request:
        """Reads one request with its data set, if it has one.

        Raises:
            ConnectionError: The other side asks for the release, which is answered, or it aborted or closed.
        """
        encoded, content = bytearray(), bytearray()
        lengths: list[int] = []
        finished = False
        while not finished:
            kind, body = self.read_pdu()
            if kind == RELEASE_RQ:
                self.send(pdu(RELEASE_RP, bytes(4)))
            if kind != DATA:
                raise ConnectionError(f"a PDU of type {kind} in place of a request")
            lengths.append(len(body))
            length, context_id, control = struct.unpack_from(">IBB", body)
            assert length == len(body) - 4, "one fragment in each PDU"
            (encoded if control & 1 else content).extend(body[6:])
            finished = bool(control & _LAST) and (not control & 1 or not _has_data_set(bytes(encoded)))
        request = Request(context_id, _decode(bytes(encoded)), bytes(content), lengths)
        self.requests.append(request)
        return request

    def accept(
        self,
        *,
        largest_pdu: int = 16_384,
        result: int = 0,
        syntax: bytes | None = None,
        tell: bool = True,
        items: bytes = b"",
        context_items: bytes = b"",
        user_items: bytes = b"",
    ) -> None:
        """Answers the request of an association; gives each of its contexts the same answer.

        Args:
            largest_pdu: The longest P-DATA PDU that the peer takes, in bytes; 0 means any (PS3.8, D.1.1).
            result: The result for each context; 0 accepts it (PS3.8, table 9-18).
            syntax: The transfer syntax of each context; None means the first that was proposed for it.
            tell: False leaves the contexts out of the answer.
            items: More items of the PDU.
            context_items: More sub-items of each context, before its transfer syntax.
            user_items: More sub-items of the user information, before the others.
        """
        kind, body = self.read_pdu()
        assert kind == ASSOCIATE_RQ
        answered = acceptance(body, largest_pdu, result, syntax, (items, context_items, user_items), tell=tell)
        self.send(pdu(ASSOCIATE_AC, answered))

    def send(self, content: bytes) -> None:
        """Writes bytes."""
        self.connection.sendall(content)

    def reset(self) -> None:
        """Closes the connection so that the other side gets a reset of TCP."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _read(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            piece = self.connection.recv(count - len(content))
            if not piece:
                raise ConnectionError("closed")
            content += piece
        return bytes(content)


Script: TypeAlias = Callable[[Wire], None]


@dataclass
class ScriptedPeer:
    """A peer with the connections that it served."""

    peer: Peer
    wires: list[Wire] = field(default_factory=list)
    problems: list[BaseException] = field(default_factory=list)
    """The errors of the scripts themselves."""


@contextmanager
def scripted_peer(*scripts: Script) -> Iterator[ScriptedPeer]:
    """Listens on the loopback interface while the block runs; the last script serves all further connections.

    After its script a connection answers a release, until the other side closes.
    """
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = ScriptedPeer(Peer(name="SCRIPT", ae_title="SCRIPT", host="127.0.0.1", port=server.getsockname()[1]))

        def listen() -> None:
            while True:
                connection, _ = server.accept()
                if stopped.is_set():
                    connection.close()
                    return
                wire = Wire(connection)
                script = scripts[min(len(seen.wires), len(scripts) - 1)]
                seen.wires.append(wire)
                threads.append(threading.Thread(target=_serve, args=(wire, script, seen)))
                threads[-1].start()

        stopped = threading.Event()
        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield seen
        finally:
            stopped.set()
            socket.create_connection(server.getsockname()).close()
            listener.join()
            for thread in threads:
                thread.join()
    if seen.problems:
        raise seen.problems[0]


def _serve(wire: Wire, script: Script, seen: ScriptedPeer) -> None:
    with wire.connection as connection:
        connection.settimeout(PATIENCE_S)
        try:
            script(wire)
            while True:
                if wire.read_pdu()[0] == RELEASE_RQ:
                    wire.send(pdu(RELEASE_RP, bytes(4)))
        except ConnectionError:
            wire.closed = True
        except OSError:
            wire.closed = connection.fileno() < 0  # the script closed it itself; or the other side holds it open
        except BaseException as error:  # noqa: BLE001  raised in the test's own thread
            seen.problems.append(error)


def stores(status: int = 0x0000) -> Script:
    """Accepts an association and answers every C-STORE with that status."""

    def script(wire: Wire) -> None:
        wire.accept()
        while True:
            wire.send(answer(wire.read_request(), status))

    return script


def acceptance(
    request: bytes,
    largest_pdu: int = 16_384,
    result: int = 0,
    syntax: bytes | None = None,
    more: tuple[bytes, bytes, bytes] = (b"", b"", b""),
    *,
    tell: bool = True,
) -> bytes:
    """Encodes the body of an A-ASSOCIATE-AC for that of a request (PS3.8, 9.3.3); see :meth:`Wire.accept`."""
    items, context_items, user_items = more
    contexts = b"".join(
        item(
            _ACCEPTED_CONTEXT,
            bytes((number, 0, result, 0)) + context_items + item(_TRANSFER_SYNTAX, syntax or proposed),
        )
        for number, proposed in _proposed(request)
    )
    information = user_items + item(0x51, struct.pack(">I", largest_pdu)) + item(0x52, b"1.2.3.4")
    head = b"\0\1\0\0" + request[_TITLES] + items + item(0x10, _APPLICATION_CONTEXT)
    return head + (contexts if tell else b"") + item(0x50, information)


def pdu(kind: int, body: bytes) -> bytes:
    """Encodes a PDU (PS3.8, 9.3.1)."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """Encodes an item of an A-ASSOCIATE PDU (PS3.8, 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def data(context_id: int, fragment: bytes, control: int = _COMMAND_AND_LAST) -> bytes:
    """Encodes a P-DATA PDU with one fragment (PS3.8, 9.3.5)."""
    return pdu(DATA, struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment)


def abort(source: int = 0, reason: int = 0) -> bytes:
    """Encodes an A-ABORT (PS3.8, 9.3.8)."""
    return pdu(ABORT, bytes((0, 0, source, reason)))


def command(values: dict[int, bytes]) -> bytes:
    """Encodes a command set from values by element number of group 0000 (PS3.7, 6.3.1)."""
    body = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in sorted(values.items()))
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def answer(
    request: Request,
    status: int | None = 0x0000,
    *,
    message_id: int | None = None,
    kind: int = C_STORE_RSP,
    context_id: int | None = None,
    uid: bytes = b"",
) -> bytes:
    """Encodes the answer to a C-STORE, as a whole P-DATA PDU (PS3.7, 9.3.1.2).

    Args:
        request: The request to answer.
        status: The status; None leaves it out.
        message_id: The message id of the answered request; None means that of ``request``.
        kind: The command field.
        context_id: The presentation context; None means that of ``request``.
        uid: Affected SOP Instance UID; empty leaves it out, as the standard allows.
    """
    responded_to = int(request.command.MessageID) if message_id is None else message_id
    values = {0x0100: _us(kind), 0x0120: _us(responded_to), 0x0800: _us(0x0101)}
    if status is not None:
        values[0x0900] = _us(status)
    if uid:
        values[0x1000] = uid
    return data(request.context_id if context_id is None else context_id, command(values))


def event_report(context_id: int, content: Dataset) -> bytes:
    """Encodes an N-EVENT-REPORT request of the storage commitment class, in explicit VR (PS3.7, 10.3.1.1)."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, content)
    values = {
        0x0002: b"1.2.840.10008.1.20.1",
        0x0100: _us(0x0100),
        0x0110: _us(7),
        0x0800: _us(0x0001),
        0x1000: b"1.2.840.10008.1.20.1.1",
        0x1002: _us(1),
    }
    values = {number: value + b"\0" * (len(value) % 2) for number, value in values.items()}
    return data(context_id, command(values)) + data(context_id, buffer.getvalue(), _LAST)


def _us(value: int) -> bytes:
    return struct.pack("<H", value)


def _proposed(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the context ids of an A-ASSOCIATE-RQ, each with its first transfer syntax."""
    for kind, content in _items(body[_FIRST_ITEM:]):
        if kind == _PROPOSED:
            syntaxes = [uid for sub, uid in _items(content[4:]) if sub == _TRANSFER_SYNTAX]
            yield content[0], syntaxes[0]


def _items(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(content):
        kind, _, length = struct.unpack_from(">BBH", content, position)
        yield kind, content[position + 4 : position + 4 + length]
        position += 4 + length


def _decode(encoded: bytes) -> Dataset:
    return read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)


def _has_data_set(encoded: bytes) -> bool:
    return bool(_decode(encoded).CommandDataSetType != 0x0101)
