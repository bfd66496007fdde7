from __future__ import annotations

import socket

import pytest

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import ConfigurationError, SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.archives import free_port
from tests.unit.dicom_network.instances import make_ct

COMMIT = SendOptions(commit=True, commitment_timeout_s=10)


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


def test_a_peer_that_does_not_offer_it_stored_and_the_record_says_so() -> None:
    with FakePacs(Faults(commitment="none")) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=COMMIT)
    assert report.ok
    assert report.records[0].meaning.startswith("stored; no storage commitment: the peer does not offer it")
    assert "no storage commitment" in str(report)


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_peer_that_never_answers_is_waited_for_so_long(where: str) -> None:
    options = SendOptions(commit=True, commitment_timeout_s=0.3)
    if where == "there":
        options = options.model_copy(update={"listen_host": "127.0.0.1", "listen_port": free_port()})
    with FakePacs(Faults(commitment="silent")) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert report.records[0].meaning.startswith("stored; no storage commitment within 0.3 s")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, FakePacs() as pacs:
        options = COMMIT.model_copy(update={"listen_host": "127.0.0.1", "listen_port": taken.getsockname()[1]})
        with pytest.raises(ConfigurationError, match="cannot listen at port"):
            PynetdicomSender().send(make_ct(), pacs.peer, options=options)
    assert not pacs.arrivals
