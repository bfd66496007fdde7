from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from copy import deepcopy
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.pdu import P_DATA_TF

from dcm_processor_service.dicom_network.dimse import commitment
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import ConfigurationError, SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions
from dcm_processor_service.testing import fake_context
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.archives import make_authority
from tests.ports import free_port
from tests.scripted_peer import Wire, answer, event_report, scripted_peer, stores
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.testing.fake_certificates import FakeAuthority

COMMIT = SendOptions(commit=True, commitment_timeout_s=10)
NOT_REQUIRED = COMMIT.model_copy(update={"require_commit": False})


def test_stored_becomes_committed_over_the_same_association() -> None:
    told: list[InstanceRecord] = []
    with FakePacs() as pacs:
        series = [make_ct(number) for number in range(3)]
        report = PynetdicomSender().send(series, pacs.peer, options=COMMIT, on_record=told.append)
    assert report.ok
    assert report.count(Outcome.COMMITTED) == 3
    assert report.transaction_uid.startswith("2.25.")
    assert [record.outcome.value for record in told] == ["stored"] * 3 + ["committed"] * 3


def test_stored_becomes_committed_over_an_association_to_us() -> None:
    port = free_port()
    with FakePacs(Faults(commitment_port=port)) as pacs:
        options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": port})
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert report.count(Outcome.COMMITTED) == 1


def test_what_is_not_committed_failed() -> None:
    with (
        FakePacs(Faults(commitment="fail")) as pacs,
        pytest.raises(SendRejectedError, match="does not commit") as caught,
    ):
        PynetdicomSender().send(make_ct(), pacs.peer, options=COMMIT)
    assert caught.value.report is not None
    (record,) = caught.value.report.records
    assert (record.outcome, record.status_hex) == (Outcome.FAILED, "0112")


def test_a_peer_that_does_not_offer_it_stored_and_that_is_not_ok() -> None:
    with (
        FakePacs(Faults(commitment="none")) as pacs,
        pytest.raises(SendRejectedError, match="storage commitment was asked for and not given") as caught,
    ):
        PynetdicomSender().send(make_ct(), pacs.peer, options=COMMIT)
    report = caught.value.report
    assert report is not None
    assert not report.ok
    assert not report.retryable
    assert report.unmet == ("storage commitment",)
    assert report.stored == 1
    assert report.records[0].outcome is Outcome.STORED


def test_a_commitment_that_is_not_required_may_be_missing() -> None:
    options = NOT_REQUIRED
    with FakePacs(Faults(commitment="none")) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert report.ok
    assert report.records[0].meaning.startswith("stored; no storage commitment: the peer does not offer it")
    assert "no storage commitment" in str(report)


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_peer_that_never_answers_is_waited_for_so_long(where: str) -> None:
    options = SendOptions(commit=True, commitment_timeout_s=0.3)
    if where == "there":
        options = options.model_copy(update={"listen_host": "127.0.0.1", "listen_port": free_port()})
    options = options.model_copy(update={"check": False})
    with FakePacs(Faults(commitment="silent")) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert not report.ok
    assert report.records[0].meaning.startswith("stored; no storage commitment within 0.3 s")


def commits(*contents: Callable[[Dataset], Dataset], status: int = 0x0000, times: int = 1) -> Callable[[Wire], None]:
    """Makes a script that answers the request for commitment, and then sends the report that a function makes of it."""

    def script(wire: Wire) -> None:
        wire.accept()
        request = wire.read_request()
        wire.send(answer(request, status, kind=0x8130) * times)
        asked = read_dataset(BytesIO(request.data), is_implicit_VR=False, is_little_endian=True)
        for content in contents:
            wire.send(event_report(request.context_id, content(deepcopy(asked))))
            wire.read_request()

    return script


def of_another_transaction(asked: Dataset) -> Dataset:
    asked.TransactionUID = "1.2.3.4"
    return asked


def failed_without_a_reason(asked: Dataset) -> Dataset:
    asked.FailedSOPSequence = asked.ReferencedSOPSequence
    asked.ReferencedSOPSequence = []
    return asked


def without_the_first(asked: Dataset) -> Dataset:
    del asked.ReferencedSOPSequence[0]
    return asked


def test_a_report_of_another_transaction_commits_to_nothing() -> None:
    options = COMMIT.model_copy(update={"commitment_timeout_s": 0.3, "require_commit": False})
    with scripted_peer(stores(), commits(of_another_transaction)) as seen:
        report = PynetdicomSender().send(make_ct(), seen.peer, options=options)
    assert report.count(Outcome.STORED) == 1
    assert "no storage commitment within 0.3 s" in report.records[0].meaning


def test_an_answer_to_the_request_that_comes_twice_does_not_keep_the_report_away() -> None:
    with scripted_peer(stores(), commits(lambda asked: asked, times=2)) as seen:
        report = PynetdicomSender().send(make_ct(), seen.peer, options=COMMIT)
    assert report.count(Outcome.COMMITTED) == 1


def test_a_report_of_another_transaction_is_answered_and_the_right_one_awaited() -> None:
    with scripted_peer(stores(), commits(of_another_transaction, lambda asked: asked)) as seen:
        report = PynetdicomSender().send(make_ct(), seen.peer, options=COMMIT)
    assert report.count(Outcome.COMMITTED) == 1
    first = seen.wires[1].requests[1].command
    assert (first.CommandField, first.Status, first.MessageIDBeingRespondedTo, first.EventTypeID) == (0x8100, 0, 7, 1)
    assert first.AffectedSOPClassUID == "1.2.840.10008.1.20.1"
    assert first.AffectedSOPInstanceUID == "1.2.840.10008.1.20.1.1"


def test_an_answer_of_another_transaction_over_an_association_to_us_is_passed_over() -> None:
    right, wrong = Dataset(), Dataset()
    right.TransactionUID, wrong.TransactionUID = "1.2.3", "1.2.4"
    answers: queue.Queue[Dataset] = queue.Queue()
    answers.put(wrong)
    answers.put(right)
    assert commitment._wait_there(answers, "1.2.3", time.monotonic() + 10) is right
    answers.put(wrong)
    assert commitment._wait_there(answers, "1.2.3", time.monotonic()) is None


def test_a_failure_without_a_reason_is_a_failure() -> None:
    options = COMMIT.model_copy(update={"check": False})
    with scripted_peer(stores(), commits(failed_without_a_reason)) as seen:
        (record,) = PynetdicomSender().send(make_ct(), seen.peer, options=options).records
    assert (record.outcome, record.status_hex) == (Outcome.FAILED, "0110")


def test_what_a_report_leaves_out_stays_stored_and_says_so() -> None:
    with scripted_peer(stores(), commits(without_the_first)) as seen:
        report = PynetdicomSender().send([make_ct(0), make_ct(1)], seen.peer, options=NOT_REQUIRED)
    assert [record.outcome for record in report.records] == [Outcome.STORED, Outcome.COMMITTED]
    assert report.records[0].meaning == "the peer's commitment leaves it out"


def test_a_request_that_is_refused_is_reported() -> None:
    with scripted_peer(stores(), commits(status=0x0110)) as seen:
        (record,) = PynetdicomSender().send(make_ct(), seen.peer, options=NOT_REQUIRED).records
    assert record.outcome is Outcome.STORED
    assert "no storage commitment: the peer refused the request (0110 processing failure" in record.meaning


def test_a_port_that_is_taken_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, FakePacs() as pacs:
        options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": taken.getsockname()[1]})
        with pytest.raises(ConfigurationError, match="cannot listen at port"):
            PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert not pacs.arrivals


def both(asked: Dataset) -> Dataset:
    asked.FailedSOPSequence = deepcopy(asked.ReferencedSOPSequence)
    return asked


def test_what_a_report_names_as_committed_and_as_failed_is_not_committed() -> None:
    with scripted_peer(stores(), commits(both)) as seen:
        report = PynetdicomSender().send(make_ct(), seen.peer, options=COMMIT.model_copy(update={"check": False}))
    assert [record.outcome for record in report.records] == [Outcome.FAILED]


def with_an_empty_reason(asked: Dataset) -> Dataset:
    failed = failed_without_a_reason(asked)
    failed.FailedSOPSequence[0].FailureReason = None
    return failed


def test_a_failure_with_an_empty_reason_is_a_failure() -> None:
    with scripted_peer(stores(), commits(with_an_empty_reason)) as seen:
        report = PynetdicomSender().send(make_ct(), seen.peer, options=COMMIT.model_copy(update={"check": False}))
    assert report.records[0].status_hex == "0110"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> FakeAuthority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ours(authority: FakeAuthority) -> dict[str, str]:
    certificate = authority.issue("ours")
    return {"cert_file": certificate.cert_file, "key_file": certificate.key_file}


def test_an_answer_to_us_comes_over_tls_where_the_peer_is_reached_so(
    authority: FakeAuthority, ours: dict[str, str]
) -> None:
    port = free_port()
    options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": port})
    faults = Faults(commitment_port=port, commitment_retries=True)
    with FakePacs(faults, tls=True, authority=authority) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer.model_copy(update=ours), options=options)
    assert report.count(Outcome.COMMITTED) == 1


def test_without_a_certificate_of_ours_nothing_is_sent_that_would_be_answered_without_tls(
    authority: FakeAuthority,
) -> None:
    options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": free_port()})
    with (
        FakePacs(tls=True, authority=authority) as pacs,
        pytest.raises(ConfigurationError, match="cert_file is not set"),
    ):
        PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert not pacs.received


def test_who_speaks_no_tls_at_the_port_commits_to_nothing_and_holds_nobody_up(
    authority: FakeAuthority, ours: dict[str, str]
) -> None:
    port = free_port()
    options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": port, "commitment_timeout_s": 1.0})
    with FakePacs(Faults(commitment="silent"), tls=True, authority=authority) as pacs:
        peer = pacs.peer.model_copy(update=ours)
        heard = threading.Thread(target=knock, args=(port,))
        heard.start()
        report = PynetdicomSender().send(make_ct(), peer, options=options.model_copy(update={"check": False}))
        heard.join()
    assert report.records[0].outcome is Outcome.STORED


def knock(port: int) -> None:
    """Requests an association without TLS, as soon as something listens at the port."""
    for _ in range(200):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            time.sleep(0.02)
            continue
        with connection, suppress(OSError):
            connection.sendall(b"\1\0\0\0\0\4\0\1\0\0")
            assert not connection.recv(1000).startswith(b"\2")
        return


def test_late_answers_come_over_tls_too_and_one_port_does_not_speak_two_ways(
    authority: FakeAuthority, ours: dict[str, str]
) -> None:
    ctx, port = fake_context(), free_port()
    later = SendOptions(commit=True, wait_for_commitment=False)
    options = SendOptions(listen_host="127.0.0.1", listen_port=port, commitment_timeout_s=20)
    faults = Faults(commitment_port=port, commitment_retries=True)
    with FakePacs(Faults(commitment="silent")) as plain, FakePacs(faults, tls=True, authority=authority) as pacs:
        peer = pacs.peer.model_copy(update={**ours, "name": "SECURE"})
        ctx.session.dicom.send(make_ct(0), to=plain.peer, options=later)
        ctx.session.dicom.send(make_ct(1), to=peer, options=later)
        with pytest.raises(ConfigurationError, match="wait for the answers of one peer after the other"):
            ctx.session.dicom.commitments.wait(options=options)
        (settled,) = ctx.session.dicom.commitments.wait(options=options, peer="SECURE")
    assert settled.ok


def test_the_fake_archive_reports_once_its_answer_to_the_request_is_written() -> None:
    """Otherwise the parts of the two messages could be mixed on the association."""
    order: list[str] = []

    class Seen(FakePacs):
        def _on_sent(self, event: Any) -> None:
            if isinstance(event.pdu, P_DATA_TF):
                order.append("message")
            super()._on_sent(event)

        def _report(self, association: Any, request: Any) -> None:
            order.append("report")
            super()._report(association, request)

    ctx = fake_context()
    with Seen(Faults(commitment="silent")) as pacs:
        ctx.session.dicom.send(make_ct(), to=pacs.peer, options=SendOptions(commit=True, wait_for_commitment=False))
        pacs.faults = Faults()
        order.clear()
        (settled,) = ctx.session.dicom.commitments.wait(ask_again=True)
    assert settled.ok
    assert order[:2] == ["message", "report"]
