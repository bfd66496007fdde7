"""Verified sending: after a peer has acknowledged instances, it is asked whether it holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.archives import running_orthanc
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.sender import PynetdicomSender
    from dcm_processor_service.models import SendReport

VERIFY = SendOptions(verify=True)
UNCHECKED = SendOptions(verify=True, check=False)


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def of_another_series(number: int) -> Dataset:
    dataset = make_ct(number)
    dataset.SeriesInstanceUID = "1.2.3"
    return dataset


def test_what_the_peer_lists_is_verified_by_one_query_for_each_series(
    sender: PynetdicomSender, tmp_path: Path, pauses: list[float]
) -> None:
    write_series(tmp_path, 4)
    told: list[InstanceRecord] = []
    with FakePacs() as pacs:
        report = sender.send([tmp_path, of_another_series(7)], pacs.peer, options=VERIFY, on_record=told.append)
    assert report.ok
    assert outcomes(report) == ["verified"] * 5
    assert {record.meaning for record in report.records} == {"stored"}
    assert [(query.QueryRetrieveLevel, bool(query.SOPInstanceUID)) for query in pacs.queries] == [("IMAGE", False)] * 2
    assert [record.outcome.value for record in told] == ["stored"] * 5 + ["verified"] * 5
    assert not pauses
    assert "verified" not in str(report)  # the records have no remark


def test_what_the_peer_acknowledged_and_does_not_hold_failed(sender: PynetdicomSender, pauses: list[float]) -> None:
    lost = str(make_ct(1).SOPInstanceUID)
    with FakePacs(Faults(forgets=[lost])) as pacs:
        report = sender.send([make_ct(number) for number in range(3)], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["verified", "failed", "verified"]
    assert report.records[1].meaning == "acknowledged, but the peer does not list it: send it again"
    assert not report.ok
    assert report.retryable
    assert pauses == [0.5, 1.0]  # the peer may list the instance a little later
    assert len(pacs.queries) == 3


def test_another_instance_that_the_peer_kept_under_the_uid_is_reported(sender: PynetdicomSender) -> None:
    first, second = make_ct(0), make_ct(0)
    second.InstanceNumber, second.ContentTime = 77, "101010"
    with FakePacs(Faults(keeps_first=True)) as pacs:
        assert sender.send(first, pacs.peer, options=VERIFY).ok
        report = sender.send(second, pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed"]
    assert report.records[0].meaning == (
        "the peer holds another instance under this UID: it differs in InstanceNumber; remove it there, or send this "
        "one under another UID, which revision= gives to a derived object"
    )
    assert not report.retryable


@pytest.mark.parametrize(
    ("faults", "reason"),
    [(Faults(query="none"), "offers no query"), (Faults(query="fail"), "refused the query .A700")],
)
def test_a_peer_that_does_not_tell_stored_and_that_is_not_ok(
    sender: PynetdicomSender, faults: Faults, reason: str
) -> None:
    with (
        FakePacs(faults) as pacs,
        pytest.raises(SendRejectedError, match="verification was asked for and not given") as caught,
    ):
        sender.send(make_ct(), pacs.peer, options=VERIFY)
    report = caught.value.report
    assert report is not None
    assert outcomes(report) == ["stored"]
    assert report.records[0].meaning.startswith("stored; not verified: ")
    assert caught.match(reason)


def test_what_was_acknowledged_before_is_verified_too(sender: PynetdicomSender) -> None:
    series = [make_ct(number) for number in range(3)]
    with FakePacs() as pacs:
        first = sender.send(series, pacs.peer)
        known = {record.sop_instance_uid: record for record in first.records}
        report = sender.send(series, pacs.peer, options=VERIFY, acknowledged=known)
    assert outcomes(report) == ["verified"] * 3
    assert len(pacs.arrivals) == 3


def test_what_is_committed_was_verified_before(sender: PynetdicomSender) -> None:
    lost = str(make_ct(1).SOPInstanceUID)
    options = SendOptions(verify=True, commit=True, check=False)
    with FakePacs(Faults(forgets=[lost])) as pacs:
        report = sender.send([make_ct(0), make_ct(1)], pacs.peer, options=options)
    assert outcomes(report) == ["committed", "failed"]


@pytest.mark.parametrize("web", [True, False])
def test_orthanc_is_asked_what_it_holds(sender: PynetdicomSender, tmp_path: Path, *, web: bool) -> None:
    write_series(tmp_path / "series", 5)
    with running_orthanc(tmp_path, OverwriteInstances=False) as orthanc:
        peer = orthanc.peer
        if web:
            peer = peer.model_copy(update={"url": f"{orthanc.url}/dicom-web"})
        assert outcomes(sender.send(tmp_path / "series", peer, options=VERIFY)) == ["verified"] * 5
        other = make_ct(2)
        other.InstanceNumber = 99
        report = sender.send(other, peer, options=UNCHECKED)
    assert outcomes(report) == ["failed"]
    assert "differs in InstanceNumber" in report.records[0].meaning


def test_a_web_peer_that_does_not_tell_is_not_ok(sender: PynetdicomSender) -> None:
    with running_stow_service() as service:
        report = sender.send(make_ct(), service.peer, options=UNCHECKED)
    assert outcomes(report) == ["stored"]
    assert report.unmet == ("verification",)
    assert "HTTP 501" in report.records[0].meaning


def test_without_the_wish_nobody_is_asked(sender: PynetdicomSender) -> None:
    with FakePacs() as pacs:
        report = sender.send(make_ct(), pacs.peer)
    assert report.records[0].outcome is Outcome.STORED
    assert not pacs.queries


@pytest.mark.parametrize("elsewhere", ["0020000D", "0020000E"])
def test_an_instance_that_the_peer_holds_in_another_study_or_series_is_not_verified(
    sender: PynetdicomSender, elsewhere: str
) -> None:
    told = {"00080018": {"vr": "UI", "Value": [str(make_ct().SOPInstanceUID)]}}
    with running_stow_service() as service:
        service.told = 200, json.dumps([told]).encode()
        assert sender.send(make_ct(), service.peer, options=UNCHECKED).count(Outcome.VERIFIED) == 1
        service.told = 200, json.dumps([{**told, elsewhere: {"vr": "UI", "Value": ["1.9"]}}]).encode()
        report = sender.send(make_ct(), service.peer, options=UNCHECKED)
    assert report.records[0].meaning == "acknowledged, but the peer does not list it: send it again"
    assert not report.ok
