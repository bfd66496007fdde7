"""Messages that an association receives: of many fragments, without an end, and such as it skips."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.dicom_network.dimse import association as module
from dcm_processor_service.dicom_network.dimse import command_set
from dcm_processor_service.dicom_network.dimse.association import Association, AssociationLostError
from dcm_processor_service.models import Peer, SendOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)
OPTIONS = SendOptions(network_timeout_s=20, dimse_timeout_s=20, acse_timeout_s=20)
COMMAND, LAST = 1, 2
REPORT = command_set._encode(
    {
        command_set.AFFECTED_SOP_CLASS_UID: "1.2.840.10008.1.20.1",
        command_set.COMMAND_FIELD: command_set.N_EVENT_REPORT_RQ,
        command_set.MESSAGE_ID: 9,
        command_set.DATA_SET_TYPE: 1,
        command_set.AFFECTED_SOP_INSTANCE_UID: "1.2.840.10008.1.20.1.1",
        command_set.EVENT_TYPE_ID: 1,
    }
)


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def fragment(control: int, content: bytes, context_id: int = 3) -> bytes:
    return struct.pack(">IBB", len(content) + 2, context_id, control) + content


def data(*fragments: bytes) -> bytes:
    return pdu(4, b"".join(fragments))


@contextmanager
def connected() -> Iterator[tuple[Association, socket.socket]]:
    """Yields an association of ours, and the peer's end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname()[:2])
        theirs, _ = server.accept()
    theirs.settimeout(20)
    association = Association(ours, PEER, OPTIONS)
    association._fragment_bytes = 1000
    try:
        yield association, theirs
    finally:
        association.close()
        theirs.close()


def test_a_message_in_fragments_of_any_kind_is_put_together_and_answered() -> None:
    half = len(REPORT) // 2
    with connected() as (association, theirs):
        theirs.sendall(data(fragment(COMMAND, REPORT[:half]), fragment(COMMAND | LAST, REPORT[half:])))
        theirs.sendall(data(fragment(0, b"ab")) + data(fragment(0, b"cd"), fragment(LAST, b"ef")))
        report = association.wait_for_report(20)
        assert report is not None
        assert (report.context_id, report.data) == (3, b"abcdef")
        assert report.command == command_set.decode(REPORT)
        said = theirs.recv(65_536)
    assert said == data(fragment(COMMAND | LAST, command_set.n_event_report_rsp(report.command)))


def test_a_silent_peer_is_waited_for_no_longer_than_asked() -> None:
    with connected() as (association, _theirs):
        begun = time.monotonic()
        assert association.wait_for_report(0.05) is None
        assert 0.04 < time.monotonic() - begun < 10


@pytest.mark.parametrize(("control", "most"), [(COMMAND, 64), (0, 64), (0, 5)])
def test_a_message_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch, control: int, most: int) -> None:
    monkeypatch.setattr(module, "_LARGEST_MESSAGE_BYTES", most)
    with connected() as (association, theirs):
        theirs.sendall(data(fragment(control, bytes(most + 1))) + data(fragment(COMMAND | LAST, b"")))
        with pytest.raises(AssociationLostError, match="a message that does not end"):
            association.wait_for_report(20)


def test_a_message_of_the_largest_size_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_MESSAGE_BYTES", len(REPORT))
    with connected() as (association, theirs):
        theirs.sendall(data(fragment(COMMAND | LAST, REPORT), fragment(LAST, bytes(len(REPORT)))))
        report = association.wait_for_report(20)
    assert report is not None
    assert report.data == bytes(len(REPORT))


@pytest.mark.parametrize(
    ("sent", "reason", "by_end"),
    [
        (pdu(7, b"\0\0\2\1"), "the peer aborted the association: it did not know a PDU that we sent", False),
        (pdu(5, bytes(4)), "the peer released the association", True),
        (pdu(2, bytes(4)), "the peer sent an unexpected PDU of type 2", False),
        (pdu(4, fragment(COMMAND | LAST, b"nonsense")), "the peer's command set is malformed", False),
        (pdu(4, fragment(COMMAND | LAST, command_set.c_echo_rq(1))), "a message that was not asked for", False),
        (b"\x15\x03\x01\0\2\2", "it speaks TLS on this port", False),
        (struct.pack(">BBI", 4, 0, (1 << 24) + 1), "something that is not a DICOM message", False),
    ],
    ids=["abort", "release", "other", "nonsense", "request", "tls", "endless"],
)
def test_a_message_that_is_no_report_ends_the_association(sent: bytes, reason: str, *, by_end: bool) -> None:
    with connected() as (association, theirs):
        theirs.sendall(sent)
        with pytest.raises(AssociationLostError, match=reason) as caught:
            association.wait_for_report(20)
        assert (caught.value.by_end, caught.value.timed_out) == (by_end, False)


def test_a_peer_that_closes_has_ended_it() -> None:
    with connected() as (association, theirs):
        assert not association.is_over()
        theirs.close()
        with pytest.raises(AssociationLostError, match="closed the connection") as caught:
            association.wait_for_report(20)
        assert caught.value.by_end
        assert association.is_over()


@pytest.mark.parametrize(
    ("sent", "over"),
    [(b"", False), (data(fragment(0, b"x")), False), (pdu(5, bytes(4)), True), (pdu(7, bytes(4)), True)],
)
def test_an_end_that_has_arrived_is_noticed_without_waiting(sent: bytes, *, over: bool) -> None:
    with connected() as (association, theirs):
        theirs.sendall(sent)
        until = time.monotonic() + 10
        while not association.is_over() and over and time.monotonic() < until:
            time.sleep(0.01)  # until it has come
        assert association.is_over() == over
        if sent.startswith(b"\5"):
            assert theirs.recv(100) == pdu(6, bytes(4))


def test_a_request_goes_out_in_fragments_no_longer_than_the_peer_takes() -> None:
    with connected() as (association, theirs):
        answer = command_set.c_store_rsp(command_set.decode(command_set.c_store_rq(1, "1.2", "1.2.3")), 0)
        theirs.sendall(data(fragment(COMMAND | LAST, answer, 1)))
        asked: list[int] = []

        def content(piece_bytes: int) -> Iterator[bytes]:
            asked.append(piece_bytes)
            yield from (bytes(1500), b"", b"end.")

        told = association.request(1, lambda number: command_set.c_store_rq(number, "1.2", "1.2.3"), content)
        assert command_set.us(told, command_set.STATUS) == 0
        association.close()
        found = b"".join(iter(lambda: theirs.recv(65_536), b""))
    assert asked[0] % 1000 == 0
    assert 1_000_000 <= asked[0] <= 1 << 20
    lengths, controls, whole = [], [], b""
    while found:
        kind, _, length, inner, context_id, control = struct.unpack(">BBIIBB", found[:12])
        assert (kind, context_id, inner) == (4, 1, length - 4)
        lengths.append(inner - 2)
        controls.append(control)
        whole += found[12 : 6 + length]
        found = found[6 + length :]
    assert lengths[1:] == [1000, 500, 4]
    assert controls == [COMMAND | LAST, 0, 0, LAST]
    assert whole == command_set.c_store_rq(1, "1.2", "1.2.3") + bytes(1500) + b"end."


@pytest.mark.parametrize(
    ("context_id", "uid", "reason"),
    [
        (3, "1.2.3", "another instance or presentation context"),
        (1, "1.2.4", "another instance or presentation context"),
    ],
)
def test_an_answer_for_another_instance_acknowledges_nothing(context_id: int, uid: str, reason: str) -> None:
    with connected() as (association, theirs):
        answer = command_set.c_store_rsp(command_set.decode(command_set.c_store_rq(1, "1.2", uid)), 0)
        theirs.sendall(data(fragment(COMMAND | LAST, answer, context_id)))
        with pytest.raises(AssociationLostError, match=reason):
            association.request(1, lambda number: command_set.c_store_rq(number, "1.2", "1.2.3"))


def test_message_ids_count_up_and_begin_anew_after_the_largest() -> None:
    with connected() as (association, _theirs):
        assert [association._next_message_id() for _ in range(2)] == [1, 2]
        association._message_id = 0xFFFE
        assert [association._next_message_id() for _ in range(2)] == [0xFFFF, 1]


def test_a_write_ignores_a_silent_peer_and_notices_an_abort() -> None:
    with connected() as (association, theirs):
        association._stream._hear()
        theirs.sendall(pdu(7, b"\0\0\2\1"))
        until = time.monotonic() + 10
        while not association._stream.has_arrived() and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(AssociationLostError, match="it did not know a PDU that we sent"):
            association._stream._hear()
