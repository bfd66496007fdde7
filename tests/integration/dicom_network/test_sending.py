from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom import _config

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import PeerUnreachableError, SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions, SendReport
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service.ports import Sendable, Sender

EXPLICIT, IMPLICIT, RLE = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(RLELossless)
J2K = str(JPEG2000)
UNCHECKED = SendOptions(check=False)


def data_file(name: str) -> str:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return path


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def test_files_folders_and_datasets_arrive_bit_by_bit(sender: PynetdicomSender, tmp_path: Path) -> None:
    write_series(tmp_path, 3)
    own = make_ct(9)
    items: list[Sendable] = [
        tmp_path,
        data_file("JPEG2000.dcm"),
        own,
        data_file("rtplan.dcm"),
        data_file("MR_small_RLE.dcm"),
    ]
    with FakePacs() as pacs:
        report = sender.send(iter(items), pacs.peer)
    assert outcomes(report) == ["stored"] * 7
    assert pacs.arrivals == [record.sop_instance_uid for record in report.records]
    assert pacs.titles == [("OURS", "FAKEPACS")]
    sent = [*(make_ct(number) for number in range(3)), dcmread(data_file("JPEG2000.dcm")), own]
    sent += [dcmread(data_file("rtplan.dcm")), dcmread(data_file("MR_small_RLE.dcm"))]
    for dataset, received in zip(sent, pacs.datasets(), strict=True):
        assert received.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
        assert received == dataset


def test_the_sender_implements_the_port_and_pynetdicom_logs_no_identifiers() -> None:
    port: Sender = PynetdicomSender()
    assert port.identify([make_ct()]) == [make_ct().SOPInstanceUID]
    assert not _config.LOG_REQUEST_IDENTIFIERS
    assert not _config.LOG_RESPONSE_IDENTIFIERS


def test_a_record_tells_what_happened(sender: PynetdicomSender) -> None:
    with FakePacs() as pacs:
        (record,) = sender.send(data_file("CT_small.dcm"), pacs.peer).records
    assert record.sop_class_uid == CTImageStorage
    assert (record.status, record.status_hex, record.meaning) == (0, "0000", "stored")
    assert (record.transfer_syntax_uid, record.transcoded_from, record.attempts) == (EXPLICIT, "", 1)
    assert record.duration_s > 0
    assert record.completed_at is not None
    assert record.completed_at.utcoffset() is not None


def test_more_than_128_kinds_need_a_second_association(sender: PynetdicomSender) -> None:
    from pynetdicom.presentation import AllStoragePresentationContexts

    series = []
    for number, context in enumerate(AllStoragePresentationContexts[:100]):
        dataset = make_ct(number)
        dataset.SOPClassUID = context.abstract_syntax
        series.append(dataset)
    with FakePacs() as pacs:
        report = sender.send(series, pacs.peer)
    assert report.ok
    assert len(pacs.titles) == 2


def test_calling_and_called_titles_are_sent(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(check_titles=True, calling_ae_titles=["SPECIAL"]), ae_title="PACS") as pacs:
        assert sender.send(make_ct(), pacs.peer.model_copy(update={"calling_ae_title": "SPECIAL"})).ok
        with pytest.raises(PeerUnreachableError, match="does not know our AE title 'OURS'") as ours:
            sender.send(make_ct(), pacs.peer)
        with pytest.raises(PeerUnreachableError, match="it is not 'WRONG'; correct") as theirs:
            sender.send(make_ct(), pacs.peer.model_copy(update={"ae_title": "WRONG"}))
    assert not ours.value.retryable
    assert not theirs.value.retryable
    assert ours.value.report is not None
    assert outcomes(ours.value.report) == ["not_attempted"]


def test_warnings_are_stored(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(status=0xB006)) as pacs:
        report = sender.send(make_ct(), pacs.peer)
    assert outcomes(report) == ["stored_with_warning"]
    assert report.ok


def test_what_is_refused_for_good_is_not_sent_again(sender: PynetdicomSender, pauses: list[float]) -> None:
    faults = Faults(status=0xA900, status_after=1, status_times=1)
    with FakePacs(faults) as pacs, pytest.raises(SendRejectedError, match="2 of 3 instances stored") as caught:
        sender.send([make_ct(number) for number in range(3)], pacs.peer)
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["stored", "refused", "stored"]
    assert caught.value.report.records[1].attempts == 1
    assert not pauses
    assert len(pacs.titles) == 1


def test_a_lack_of_resources_is_tried_over_a_new_association(sender: PynetdicomSender, pauses: list[float]) -> None:
    with FakePacs(Faults(status=0xA700, status_after=1, status_times=1)) as pacs:
        report = sender.send([make_ct(number) for number in range(3)], pacs.peer)
    assert outcomes(report) == ["stored"] * 3
    assert [record.attempts for record in report.records] == [1, 2, 1]
    assert len(pacs.titles) == 2
    assert pauses == [0.5]


def test_attempts_come_to_an_end_with_growing_pauses(sender: PynetdicomSender, pauses: list[float]) -> None:
    options = SendOptions(check=False, attempts=5, backoff_limit_s=1.5)
    with FakePacs(Faults(status=0xA700)) as pacs:
        report = sender.send(make_ct(), pacs.peer, options=options)
    (record,) = report.records
    assert (record.outcome, record.attempts, record.status_hex) == (Outcome.FAILED, 5, "A700")
    assert record.transfer_syntax_uid == EXPLICIT
    assert pauses == [0.5, 1.0, 1.5, 1.5]


def test_an_abort_costs_one_attempt_of_one_instance(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(abort_after=2, abort_times=2)) as pacs:
        report = sender.send([make_ct(number) for number in range(6)], pacs.peer)
    assert outcomes(report) == ["stored"] * 6
    assert [record.attempts for record in report.records] == [1, 1, 2, 1, 1, 2]
    assert sorted(pacs.arrivals) == sorted(make_ct(number).SOPInstanceUID for number in range(6))
    assert len(pacs.titles) == 3


def test_an_acknowledgement_lost_on_its_way_ends_as_stored(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(abort_after=0, keep_aborted=True, duplicates=0x0111)) as pacs:
        (record,) = sender.send(make_ct(), pacs.peer).records
    assert (record.outcome, record.meaning) == (Outcome.STORED_WITH_WARNING, "stored by an earlier attempt")


def test_a_duplicate_at_once_is_refused(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(duplicates=0x0111), holds=[make_ct()]) as pacs:
        report = sender.send([make_ct(), make_ct(1)], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["refused", "stored"]


def test_an_instance_that_makes_the_peer_abort_does_not_stand_in_the_way(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(abort_on=[make_ct(0).SOPInstanceUID])) as pacs:
        report = sender.send([make_ct(number) for number in range(4)], pacs.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed", "stored", "stored", "stored"]
    assert [record.attempts for record in report.records] == [3, 1, 1, 1]


def test_a_peer_that_never_answers_ends_the_sending(sender: PynetdicomSender, pauses: list[float]) -> None:
    options = SendOptions(dimse_timeout_s=0.1)
    told = "3 times in a row, the peer did not answer in time"
    with FakePacs(Faults(delay_s=60)) as pacs, pytest.raises(PeerUnreachableError, match=told) as caught:
        sender.send([make_ct(number) for number in range(20)], pacs.peer, options=options)
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["failed"] * 3 + ["not_attempted"] * 17
    assert pauses == [0.5, 1.0]


def test_after_a_temporary_rejection_the_sending_goes_on(sender: PynetdicomSender, pauses: list[float]) -> None:
    with FakePacs(Faults(reject=(2, 3, 2), reject_times=2)) as pacs:
        assert sender.send(make_ct(), pacs.peer).ok
    assert pauses == [0.5, 1.0]


def test_a_temporary_rejection_that_stays_is_reported_with_its_reason(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(reject=(2, 3, 1))) as pacs, pytest.raises(PeerUnreachableError, match="congested") as caught:
        sender.send(make_ct(), pacs.peer)
    assert caught.value.retryable


def test_no_peer_there_is_an_error_even_unchecked(sender: PynetdicomSender) -> None:
    with FakePacs() as pacs:
        gone = pacs.peer
    for options in (SendOptions(), UNCHECKED):
        with pytest.raises(PeerUnreachableError, match="nothing listens on this port"):
            sender.send(make_ct(), gone, options=options)


def test_an_unknown_host_is_an_error(sender: PynetdicomSender) -> None:
    peer = Peer(name="X", ae_title="X", host="no-such-host.invalid", port=104)
    with pytest.raises(PeerUnreachableError, match="cannot be resolved"):
        sender.send(make_ct(), peer)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address(sender: PynetdicomSender, host: str) -> None:
    with FakePacs(host="::1") as pacs:
        assert sender.send(make_ct(), pacs.peer.model_copy(update={"host": host})).ok


def test_unreadable_items_are_recorded_and_the_others_sent(sender: PynetdicomSender, tmp_path: Path) -> None:
    with (
        FakePacs() as pacs,
        pytest.raises(SendRejectedError, match=r"item 1 is unreadable \(FileNotFoundError\)") as caught,
    ):
        sender.send([tmp_path / "absent", make_ct()], pacs.peer)
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["failed", "stored"]


def test_a_file_that_goes_away_meanwhile_is_recorded(sender: PynetdicomSender, tmp_path: Path) -> None:
    paths = write_series(tmp_path, 3)
    with FakePacs() as pacs:
        report = sender.send(
            paths, pacs.peer, options=UNCHECKED, on_record=lambda _record: paths[1].unlink(missing_ok=True)
        )
    assert outcomes(report) == ["stored", "failed", "stored"]
    assert report.records[1].meaning == "the file cannot be read any more"


def test_several_associations_share_the_work(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(delay_s=0.05)) as pacs:
        report = sender.send([make_ct(number) for number in range(12)], pacs.peer, options=SendOptions(associations=3))
    assert report.ok
    assert len(pacs.titles) == 3
    assert sorted(pacs.arrivals) == sorted(record.sop_instance_uid for record in report.records)
    assert [record.sop_instance_uid for record in report.records] == [
        make_ct(number).SOPInstanceUID for number in range(12)
    ]


def test_an_association_that_finds_no_room_does_no_harm(sender: PynetdicomSender) -> None:
    with FakePacs(Faults(reject=(2, 3, 2), reject_times=1)) as pacs:
        report = sender.send([make_ct(number) for number in range(6)], pacs.peer, options=SendOptions(associations=2))
    assert outcomes(report) == ["stored"] * 6


def test_cancelling_leaves_the_rest(sender: PynetdicomSender) -> None:
    with FakePacs() as pacs:
        report = sender.send(
            [make_ct(number) for number in range(4)],
            pacs.peer,
            options=UNCHECKED,
            cancelled=lambda: len(pacs.arrivals) >= 2,
        )
    assert outcomes(report) == ["stored", "stored", "not_attempted", "not_attempted"]
    assert report.records[-1].meaning == "cancelled"


def test_an_error_of_the_listener_ends_the_sending_and_its_association(sender: PynetdicomSender) -> None:
    def fail(_record: InstanceRecord) -> None:
        raise LookupError("the store is gone")

    for associations in (1, 2):
        with FakePacs() as pacs, pytest.raises(LookupError, match="the store is gone"):
            sender.send(
                [make_ct(number) for number in range(4)],
                pacs.peer,
                on_record=fail,
                options=SendOptions(associations=associations),
            )
        assert len(pacs.arrivals) <= associations


def test_a_long_series_is_read_window_by_window(sender: PynetdicomSender) -> None:
    alive: list[int] = []

    def series() -> Iterator[Dataset]:
        for number in range(3):
            alive.append(len(pacs.arrivals))
            dataset = make_ct(number)
            dataset.Rows, dataset.PixelData = 20_000, bytes(40 << 20)
            yield dataset

    with FakePacs() as pacs:
        assert sender.send(series(), pacs.peer).ok
    assert alive == [0, 0, 2]
    assert len(pacs.titles) == 1


def test_nothing_to_send_is_no_association(sender: PynetdicomSender) -> None:
    with FakePacs() as pacs:
        assert sender.send([], pacs.peer).records == ()
    assert not pacs.titles


def test_big_instances_arrive_in_many_fragments(sender: PynetdicomSender, tmp_path: Path) -> None:
    dataset = make_ct(3, rows=1300)
    dataset.save_as(tmp_path / "big.dcm", enforce_file_format=True)
    with FakePacs() as pacs:
        assert sender.send(tmp_path, pacs.peer).ok
    assert pacs.datasets()[0].PixelData == dataset.PixelData
