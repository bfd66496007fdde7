"""Mistakes of a peer in the protocol: nothing counts as stored without an answer that says so, and nothing hangs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian

from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions, SendReport
from tests.scripted_peer import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    PATIENCE_S,
    RELEASE_RP,
    RELEASE_RQ,
    Request,
    Wire,
    abort,
    acceptance,
    answer,
    command,
    data,
    item,
    pdu,
    scripted_peer,
    stores,
)
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.sender import PynetdicomSender

TWICE = SendOptions(check=False, attempts=2, acse_timeout_s=5, dimse_timeout_s=5, network_timeout_s=5)
ONCE = TWICE.model_copy(update={"attempts": 1})
HUNDRED_MS = {"acse_timeout_s": 0.1, "dimse_timeout_s": 0.1, "network_timeout_s": 0.1}


def series(count: int) -> list[Dataset]:
    return [make_ct(number) for number in range(count)]


def outcomes(report: SendReport | None) -> list[str]:
    assert report is not None
    return [record.outcome.value for record in report.records]


def replies(*contents: Callable[[Request], bytes]) -> Callable[[Wire], None]:
    """A script that accepts an association and answers its first requests with these bytes."""

    def script(wire: Wire) -> None:
        wire.accept()
        for content in contents:
            wire.send(content(wire.read_request()))

    return script


NO_ANSWERS = {
    "a command set of another group": (lambda _: data(1, b"\xff" * 24), "malformed"),
    "a command set that is cut off": (lambda _: data(1, b"\0\0\0\1\2"), "cut off"),
    "a value longer than the command set": (lambda _: data(1, b"\0\0\0\1\xff\xff\xff\x7f\0"), "malformed"),
    "another message id": (lambda request: answer(request, message_id=77), "was not asked for"),
    "an answer to another operation": (lambda request: answer(request, kind=0x8030), "was not asked for"),
    "no message id": (
        lambda _: data(1, command({0x0100: b"\1\x80", 0x0800: b"\1\1", 0x0900: b"\0\0"})),
        "was not asked for",
    ),
    "no status": (lambda request: answer(request, None), "without a status"),
    "an abort": (lambda _: abort(), "the peer aborted the association; see its log"),
    "an abort with a reason": (lambda _: abort(2, 6), "a parameter that we sent was invalid"),
    "a release": (lambda _: pdu(RELEASE_RQ, bytes(4)), "released the association"),
    "an answer over another context": (lambda request: answer(request, context_id=3), "presentation context"),
    "an answer for another instance": (lambda request: answer(request, uid=b"1.2.3\0"), "another instance"),
    "a PDU of an unknown type": (lambda _: pdu(9, b"?"), "unexpected PDU of type 9"),
    "a PDU of two gigabytes": (lambda _: b"\4\0\x7f\xff\xff\xff", "not a DICOM message"),
}


@pytest.mark.parametrize("told", NO_ANSWERS)
def test_what_is_no_answer_acknowledges_nothing_and_is_sent_again(sender: PynetdicomSender, told: str) -> None:
    content, _ = NO_ANSWERS[told]
    with scripted_peer(replies(answer, content), stores()) as seen:
        report = sender.send(series(3), seen.peer, options=TWICE)
    assert outcomes(report) == ["stored"] * 3
    assert [record.attempts for record in report.records] == [1, 2, 1]
    assert [len(wire.requests) for wire in seen.wires] == [2, 2]
    assert all(wire.closed for wire in seen.wires)


@pytest.mark.parametrize("told", sorted(NO_ANSWERS.keys() - {"a release"}))
def test_what_is_no_answer_to_the_last_attempt_fails_with_its_reason(sender: PynetdicomSender, told: str) -> None:
    content, reason = NO_ANSWERS[told]
    with scripted_peer(replies(answer, content)) as seen:
        report = sender.send(series(2), seen.peer, options=ONCE)
    assert outcomes(report) == ["stored", "failed"]
    assert reason in report.records[1].meaning
    assert report.records[1].status is None
    assert report.records[1].completed_at is None
    assert report.records[1].checksum == ""
    assert all(wire.closed for wire in seen.wires)


@pytest.mark.parametrize("told", ["another message id", "no status", "a command set of another group"])
def test_a_peer_that_answers_nonsense_is_answered_by_an_abort(sender: PynetdicomSender, told: str) -> None:
    with scripted_peer(replies(NO_ANSWERS[told][0])) as seen:
        sender.send(make_ct(), seen.peer, options=ONCE)
    assert [wire.kinds[-1] for wire in seen.wires] == [ABORT]


def resets(after_pdus: int) -> Callable[[Wire], None]:
    def script(wire: Wire) -> None:
        wire.accept()
        for _ in range(after_pdus):
            wire.read_pdu()
        wire.reset()

    return script


@pytest.mark.parametrize("after_pdus", [0, 1, 3])
def test_a_connection_that_is_reset_within_a_request_costs_one_attempt(
    sender: PynetdicomSender, after_pdus: int
) -> None:
    big = make_ct(0, rows=2000)  # longer than the buffers at both ends of a connection
    with scripted_peer(resets(after_pdus), stores()) as seen:
        report = sender.send([big, *series(3)[1:]], seen.peer, options=TWICE)
    assert outcomes(report) == ["stored"] * 3
    assert [record.attempts for record in report.records] == [2, 1, 1]
    assert len(seen.wires) == 2


def test_connections_that_are_always_reset_end_the_sending_with_every_record(
    sender: PynetdicomSender, pauses: list[float]
) -> None:
    with scripted_peer(resets(1)) as seen, pytest.raises(PeerUnreachableError, match="2 times in a row") as caught:
        sender.send(series(4), seen.peer, options=TWICE)
    assert outcomes(caught.value.report) == ["failed"] * 2 + ["not_attempted"] * 2
    assert caught.value.retryable
    assert len(seen.wires) == 3  # the last association asks whether the peer is alive
    assert pauses == [0.5]


def test_what_was_stored_before_the_resets_stays_stored(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        wire.read_pdu()
        wire.reset()

    told: list[InstanceRecord] = []
    with scripted_peer(script, resets(1)) as seen:
        report = sender.send(series(2), seen.peer, options=TWICE, on_record=told.append)
    assert outcomes(report) == ["stored", "failed"]
    assert "connection" in report.records[1].meaning
    assert [record.outcome for record in told] == [Outcome.STORED, Outcome.FAILED]


@pytest.mark.parametrize("largest_pdu", [8, 64, 16_384, 1 << 31])
def test_no_pdu_is_longer_than_the_peer_takes(sender: PynetdicomSender, largest_pdu: int) -> None:
    def script(wire: Wire) -> None:
        wire.accept(largest_pdu=largest_pdu)
        wire.send(answer(wire.read_request()))

    dataset = make_ct(1, rows=200)
    with scripted_peer(script) as seen:
        assert sender.send(dataset, seen.peer).ok
    (request,) = seen.wires[0].requests
    assert max(request.pdu_lengths) == min(largest_pdu, 131_072) // 2 * 2 or len(request.data) < largest_pdu
    assert max(request.pdu_lengths) <= largest_pdu
    assert all(length % 2 == 0 for length in request.pdu_lengths)
    assert request.command.AffectedSOPClassUID == CTImageStorage
    assert request.command.AffectedSOPInstanceUID == dataset.SOPInstanceUID
    assert request.data.endswith(dataset.PixelData)


def test_a_maximum_of_zero_is_no_limit(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept(largest_pdu=0)
        wire.send(answer(wire.read_request()))

    dataset = make_ct(1, rows=1000)
    with scripted_peer(script) as seen:
        assert sender.send(dataset, seen.peer).ok
    (request,) = seen.wires[0].requests
    assert max(request.pdu_lengths) == 131_072
    assert len(request.pdu_lengths) < 20
    assert request.data.endswith(dataset.PixelData)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (1, "the peer does not want it"),
        (2, "the peer gives no reason"),
        (3, "the peer does not accept this SOP class"),
        (4, "the peer does not accept this transfer syntax"),
    ],
)
def test_an_association_without_an_accepted_context_sends_nothing(
    sender: PynetdicomSender, result: int, reason: str
) -> None:
    with scripted_peer(lambda wire: wire.accept(result=result)) as seen:
        report = sender.send(series(2), seen.peer, options=TWICE)
    assert outcomes(report) == ["refused"] * 2
    assert {record.meaning for record in report.records} == {reason}
    assert {(record.attempts, record.status) for record in report.records} == {(0, None)}
    assert not any(wire.requests for wire in seen.wires)
    assert all(RELEASE_RQ in wire.kinds and wire.closed for wire in seen.wires)
    # a refused class is refused in every syntax; otherwise, lossless compressions are proposed as well
    assert len(seen.wires) == (1 if result == 3 else 2)


def test_a_context_accepted_in_a_syntax_that_was_not_proposed_is_no_agreement(sender: PynetdicomSender) -> None:
    other = str(ExplicitVRBigEndian).encode()
    with scripted_peer(lambda wire: wire.accept(syntax=other)) as seen:
        report = sender.send(make_ct(), seen.peer, options=TWICE)
    assert outcomes(report) == ["refused"]
    assert not any(wire.requests for wire in seen.wires)


def test_a_context_that_the_answer_leaves_out_is_refused(sender: PynetdicomSender) -> None:
    with scripted_peer(lambda wire: wire.accept(tell=False)) as seen:
        report = sender.send(make_ct(), seen.peer, options=TWICE)
    assert outcomes(report) == ["refused"]
    assert report.records[0].meaning == "the peer gives no reason"
    assert not any(wire.requests for wire in seen.wires)


@pytest.mark.parametrize("associations", [1, 2])
def test_a_rejection_for_good_is_not_tried_again(
    sender: PynetdicomSender, pauses: list[float], associations: int
) -> None:
    def script(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(pdu(ASSOCIATE_RJ, bytes((0, 1, 1, 7))))

    options = TWICE.model_copy(update={"associations": associations})
    with scripted_peer(script) as seen, pytest.raises(PeerUnreachableError, match="it is not 'SCRIPT'") as caught:
        sender.send(series(4), seen.peer, options=options)
    assert not caught.value.retryable
    assert outcomes(caught.value.report) == ["not_attempted"] * 4
    assert len(seen.wires) <= associations
    assert not pauses


def test_a_record_tells_of_the_last_attempt_alone(sender: PynetdicomSender) -> None:
    with scripted_peer(replies(lambda request: answer(request, 0xA700)), replies(lambda _: abort())) as seen:
        (record,) = sender.send(make_ct(), seen.peer, options=TWICE).records
    assert (record.outcome, record.attempts, record.status, record.completed_at) == (Outcome.FAILED, 2, None, None)
    assert "aborted" in record.meaning


def test_a_peer_that_is_gone_is_not_asked_for_commitment(sender: PynetdicomSender) -> None:
    def stores_one(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        wire.read_pdu()
        wire.reset()

    with scripted_peer(stores_one, resets(0)) as seen:
        report = sender.send(series(3), seen.peer, options=TWICE.model_copy(update={"commit": True}))
    assert outcomes(report) == ["stored", "failed", "failed"]
    assert report.transaction_uid == ""
    assert report.records[0].meaning == "stored"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the peer closed the connection"),
        (b"\2\0\0\0", "the peer closed the connection"),
        (abort(), "the peer aborted the association"),
        (pdu(RELEASE_RP, bytes(4)), "it sent a PDU of type 6"),
        (pdu(ASSOCIATE_AC, b"no answer"), "is it a DICOM peer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a DICOM message"),
    ],
)
def test_what_is_no_answer_to_the_association_request_is_reported(
    sender: PynetdicomSender, content: bytes, reason: str
) -> None:
    def script(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(content)
        wire.connection.close()

    with scripted_peer(script) as seen, pytest.raises(PeerUnreachableError, match=reason) as caught:
        sender.send(series(2), seen.peer, options=ONCE)
    assert outcomes(caught.value.report) == ["not_attempted"] * 2
    assert seen.peer.address in str(caught.value)


def never_answers_the_association(wire: Wire) -> None:
    wire.read_pdu()


def never_answers(wire: Wire) -> None:
    wire.accept()
    wire.read_request()


def never_ends_its_answer(wire: Wire) -> None:
    wire.accept()
    wire.send(answer(wire.read_request())[:-3])


def answers_with_a_data_set_that_never_comes(wire: Wire) -> None:
    wire.accept()
    request = wire.read_request()
    responded_to = int(request.command.MessageID).to_bytes(2, "little")
    wire.send(data(1, command({0x0100: b"\1\x80", 0x0120: responded_to, 0x0800: b"\1\0", 0x0900: b"\0\0"})))


def takes_nothing_in(wire: Wire) -> None:
    wire.accept()
    assert released.wait(PATIENCE_S), "nobody ended the wait"


released = threading.Event()


@pytest.mark.parametrize(
    "script", [never_answers, never_ends_its_answer, answers_with_a_data_set_that_never_comes, takes_nothing_in]
)
def test_every_wait_for_an_answer_ends(sender: PynetdicomSender, script: Callable[[Wire], None]) -> None:
    released.clear()
    with scripted_peer(script) as seen:
        try:
            report = sender.send(make_ct(0, rows=2500), seen.peer, options=ONCE.model_copy(update=HUNDRED_MS))
        finally:
            released.set()
    assert outcomes(report) == ["failed"]
    assert report.records[0].meaning == "the peer did not answer in time"
    assert all(wire.closed for wire in seen.wires)


def test_the_wait_for_an_association_ends(sender: PynetdicomSender) -> None:
    with (
        scripted_peer(never_answers_the_association) as seen,
        pytest.raises(PeerUnreachableError, match=r"timed out|in time") as caught,
    ):
        sender.send(make_ct(), seen.peer, options=ONCE.model_copy(update=HUNDRED_MS))
    assert outcomes(caught.value.report) == ["not_attempted"]
    assert seen.wires[0].closed


def test_a_peer_that_never_answers_the_release_is_waited_for_no_longer_than_asked(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        while True:
            wire.read_pdu()

    with scripted_peer(script) as seen:
        report = sender.send(make_ct(), seen.peer, options=ONCE.model_copy(update={"acse_timeout_s": 0.1}))
    assert report.ok
    assert seen.wires[0].kinds[-1] == RELEASE_RQ
    assert seen.wires[0].closed


def test_a_peer_that_releases_at_the_same_time_is_answered(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        wire.read_pdu()
        wire.send(pdu(RELEASE_RQ, bytes(4)))
        wire.read_pdu()
        wire.send(pdu(RELEASE_RP, bytes(4)))

    with scripted_peer(script) as seen:
        assert sender.send(make_ct(), seen.peer, options=ONCE).ok
    assert seen.wires[0].kinds[-2:] == [RELEASE_RQ, RELEASE_RP]


def test_an_answer_in_many_pieces_is_put_together(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        encoded = answer(wire.read_request(), 0xB006)[12:]
        for start in range(0, len(encoded) - 10, 10):
            for byte in data(1, encoded[start : start + 10], 1):
                wire.send(bytes((byte,)))
        wire.send(data(1, encoded[(len(encoded) - 1) // 10 * 10 :]))

    with scripted_peer(script) as seen:
        report = sender.send(make_ct(), seen.peer, options=ONCE)
    assert outcomes(report) == ["stored_with_warning"]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_lane_that_is_aborted_takes_nothing_from_the_others(sender: PynetdicomSender, attempts: int) -> None:
    both_began = threading.Barrier(2)

    def good(wire: Wire) -> None:
        wire.accept()
        request = wire.read_request()
        both_began.wait(PATIENCE_S)
        wire.send(answer(request))
        while True:
            wire.send(answer(wire.read_request()))

    def bad(wire: Wire) -> None:
        wire.accept()
        wire.read_request()
        both_began.wait(PATIENCE_S)
        wire.send(abort(2, 6))

    with scripted_peer(good, bad, stores()) as seen:
        options = TWICE.model_copy(update={"associations": 2, "attempts": attempts})
        report = sender.send(series(6), seen.peer, options=options)
    lost = str(seen.wires[1].requests[0].command.AffectedSOPInstanceUID)
    assert [record.sop_instance_uid for record in report.records] == [str(one.SOPInstanceUID) for one in series(6)]
    by_uid = {record.sop_instance_uid: record for record in report.records}
    if attempts == 1:
        assert report.count(Outcome.STORED) == 5
        assert by_uid[lost].outcome is Outcome.FAILED
        assert "a parameter that we sent was invalid" in by_uid[lost].meaning
    else:
        assert report.ok
        assert by_uid[lost].attempts == 2
    assert all(record.attempts == 1 for uid, record in by_uid.items() if uid != lost)


def test_a_lane_that_is_refused_takes_nothing_from_the_others(sender: PynetdicomSender) -> None:
    refused = threading.Event()

    def good(wire: Wire) -> None:
        wire.accept()
        request = wire.read_request()
        assert refused.wait(PATIENCE_S)
        wire.send(answer(request))
        while True:
            wire.send(answer(wire.read_request()))

    def bad(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(pdu(ASSOCIATE_RJ, bytes((0, 1, 1, 7))))  # permanently, because the called title is unknown
        refused.set()

    with scripted_peer(good, bad) as seen:
        options = TWICE.model_copy(update={"associations": 2, "check": True})
        report = sender.send(series(6), seen.peer, options=options)
    assert outcomes(report) == ["stored"] * 6
    assert len(seen.wires) == 2


def test_an_unexpected_error_in_one_lane_ends_all_lanes_and_loses_no_record(sender: PynetdicomSender) -> None:
    told: list[str] = []
    both_began = threading.Barrier(2)

    def keep(record: InstanceRecord) -> None:
        told.append(record.sop_instance_uid)
        if len(told) == 1:
            raise ZeroDivisionError("a fault in the code that listens")

    def script(wire: Wire) -> None:
        wire.accept()
        request = wire.read_request()
        both_began.wait(PATIENCE_S)
        wire.send(answer(request))
        while True:
            wire.send(answer(wire.read_request()))

    with scripted_peer(script) as seen, pytest.raises(ZeroDivisionError, match="a fault in the code"):
        sender.send(series(50), seen.peer, on_record=keep, options=TWICE.model_copy(update={"associations": 2}))
    asked = [str(request.command.AffectedSOPInstanceUID) for wire in seen.wires for request in wire.requests]
    assert sorted(told) == sorted(asked)
    assert len(asked) < 50
    assert [wire.kinds[-1] for wire in seen.wires] == [ABORT, ABORT]
    assert all(wire.closed for wire in seen.wires)


def ends_after_each(end: Callable[[Wire], None]) -> Callable[[Wire], None]:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        end(wire)

    return script


ENDS: dict[str, Callable[[Wire], None]] = {
    "release": lambda wire: wire.send(pdu(RELEASE_RQ, bytes(4))),
    "close": lambda wire: wire.connection.close(),
    "reset": lambda wire: wire.reset(),
    "abort": lambda wire: wire.send(abort()),
}


@pytest.mark.parametrize("end", ["release", "close", "reset"])
def test_an_archive_that_ends_the_association_after_each_instance_gets_all_of_them(
    sender: PynetdicomSender, pauses: list[float], end: str
) -> None:
    with scripted_peer(ends_after_each(ENDS[end])) as seen:
        report = sender.send(series(40), seen.peer, options=ONCE)
    assert outcomes(report) == ["stored"] * 40
    assert len(seen.wires) >= 40
    assert set(pauses) <= {0.5}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_came_before_the_next_request_costs_no_attempt(sender: PynetdicomSender, end: str) -> None:
    ended = threading.Event()

    def first(wire: Wire) -> None:
        wire.accept()
        wire.send(answer(wire.read_request()))
        ENDS[end](wire)
        ended.set()

    def waits(record: InstanceRecord) -> None:
        assert record.outcome is Outcome.STORED
        assert ended.wait(PATIENCE_S)

    with scripted_peer(first, stores()) as seen:
        report = sender.send(series(3), seen.peer, options=ONCE, on_record=waits)
    assert outcomes(report) == ["stored"] * 3
    assert [record.attempts for record in report.records] == [1, 1, 1]
    assert len(seen.wires) == 2


def test_the_reason_of_an_abort_is_heard_while_the_instance_is_written(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.read_pdu()
        wire.send(abort(2, 6))  # the peer stops reading
        released.wait(PATIENCE_S)

    released.clear()
    with scripted_peer(script) as seen:
        try:
            report = sender.send(make_ct(0, rows=3000), seen.peer, options=ONCE.model_copy(update={"attempts": 1}))
        finally:
            released.set()
    assert outcomes(report) == ["failed"]
    assert report.records[0].meaning == "the peer aborted the association: a parameter that we sent was invalid"


def test_items_that_nobody_knows_are_passed_over_in_the_acceptance(sender: PynetdicomSender) -> None:
    unknown = item(0x7E, b"what a later edition adds")

    def script(wire: Wire) -> None:
        wire.accept(items=unknown, context_items=unknown, user_items=item(0x59, b"\x02\0\0\0") + unknown)
        while True:
            wire.send(answer(wire.read_request()))

    with scripted_peer(script) as seen:
        assert sender.send(series(2), seen.peer, options=ONCE).ok


@pytest.mark.parametrize("cut", [67, 70, 75, -3])
def test_an_acceptance_that_is_cut_off_is_no_dicom(sender: PynetdicomSender, cut: int) -> None:
    def script(wire: Wire) -> None:
        _, body = wire.read_pdu()
        wire.send(pdu(ASSOCIATE_AC, acceptance(body)[:cut]))

    with scripted_peer(script) as seen, pytest.raises(PeerUnreachableError, match="not a DICOM message"):
        sender.send(make_ct(), seen.peer, options=ONCE)


def test_a_rejection_that_is_cut_off_is_no_dicom(sender: PynetdicomSender) -> None:
    def script(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(pdu(ASSOCIATE_RJ, b"\0\1"))

    with scripted_peer(script) as seen, pytest.raises(PeerUnreachableError, match="not a DICOM message"):
        sender.send(make_ct(), seen.peer, options=ONCE)


@pytest.mark.parametrize("times", [2, 3])
def test_an_answer_that_comes_again_says_nothing_of_the_next_instance(sender: PynetdicomSender, times: int) -> None:
    statuses = iter([0x0000, 0xC000, 0x0000, 0xB007])

    def script(wire: Wire) -> None:
        wire.accept()
        while True:
            wire.send(answer(wire.read_request(), next(statuses)) * times)

    with scripted_peer(script) as seen:
        report = sender.send(series(4), seen.peer, options=TWICE)
    assert outcomes(report) == ["stored", "refused", "stored", "stored_with_warning"]
    assert {record.attempts for record in report.records} == {1}
    assert len(seen.wires) == 1


def test_an_answer_that_comes_again_while_a_long_instance_goes_is_not_taken_for_its_own(
    sender: PynetdicomSender,
) -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        while True:
            wire.send(answer(wire.read_request()) * 2)

    with scripted_peer(script) as seen:
        report = sender.send([make_ct(number, rows=2000) for number in range(3)], seen.peer, options=ONCE)
    assert outcomes(report) == ["stored"] * 3
    assert len(seen.wires) == 1


@pytest.mark.parametrize(("status", "outcome"), [(0x0000, "failed"), (0xB007, "failed"), (0xC000, "refused")])
def test_what_is_acknowledged_before_it_has_gone_is_not_stored(
    sender: PynetdicomSender, status: int, outcome: str
) -> None:
    def hasty(wire: Wire) -> None:
        wire.accept()
        wire.read_pdu()
        answered = {0x0100: b"\1\x80", 0x0120: b"\1\0", 0x0800: b"\1\1", 0x0900: status.to_bytes(2, "little")}
        wire.send(data(1, command(answered)))
        while True:
            wire.read_pdu()

    large = make_ct(rows=5000)  # more bytes than all buffers on the way hold
    with scripted_peer(hasty) as seen:
        report = sender.send(large, seen.peer, options=ONCE)
    assert outcomes(report) == [outcome]
    if outcome == "failed":
        assert report.records[0].meaning == "the peer acknowledged the instance before it had received all of it"
        assert report.retryable
