from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service.dicom_network import DicomSender
from dcm_processor_service.errors import InvalidSeriesError, PeerUnreachableError
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.archives import program
from tests.unit.dicom_network.instances import make_ct, write_dicomdir, write_series

if TYPE_CHECKING:
    from pathlib import Path

IMPLICIT = "1.2.840.10008.1.2"


def sender_to(pacs: FakePacs, **settings: Any) -> DicomSender:
    peer = pacs.peer
    return DicomSender("OURS", peer.host, str(peer.port), server_ae_title=peer.ae_title, **settings)


def codes(statuses: list[Dataset]) -> list[int | None]:
    return [status.get("Status") for status in statuses]


def test_a_folder_is_sent_without_its_subfolders_and_other_files(tmp_path: Path) -> None:
    write_series(tmp_path, 3)
    write_series(tmp_path / "below", 1)
    (tmp_path / "notes.txt").write_text("no DICOM")
    with FakePacs(Faults(check_titles=True, calling_ae_titles=["OURS"])) as pacs:
        statuses = sender_to(pacs).send_dicom_from_path(str(tmp_path))
    assert codes(statuses) == [0, 0, 0]
    assert pacs.arrivals == [make_ct(number).SOPInstanceUID for number in range(3)]


def test_without_a_called_title_any_is_called() -> None:
    with FakePacs() as pacs:
        DicomSender("OURS", pacs.peer.host, pacs.peer.port).send_dicom_from_dataset([make_ct()])
    assert pacs.titles == [("OURS", "ANY-SCP")]


def test_a_filter_leaves_out_and_may_change_what_it_sees(tmp_path: Path) -> None:
    paths = write_series(tmp_path, 3)

    def odd(dataset: Dataset) -> bool:
        dataset.SeriesDescription = "seen"
        return bool(dataset.InstanceNumber % 2 == 1)

    with FakePacs() as pacs:
        assert codes(sender_to(pacs).send_dicom_from_filelist(paths, odd)) == [0, 0]
        assert codes(sender_to(pacs).send_dicom_from_path(tmp_path, filter_callback=lambda _dataset: False)) == []
    assert [dataset.SeriesDescription for dataset in pacs.datasets()] == ["seen", "seen"]


def test_datasets_are_converted_and_stay_as_they_are() -> None:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    dataset = dcmread(path)
    before = deepcopy(dataset)
    with FakePacs(Faults(accept_syntaxes=[IMPLICIT])) as pacs:
        assert codes(sender_to(pacs).send_dicom_from_dataset([dataset])) == [0]
    assert dataset == before
    assert dataset.file_meta == before.file_meta
    assert pacs.datasets()[0].file_meta.TransferSyntaxUID == IMPLICIT


def test_compressed_and_plain_go_together() -> None:
    files = [
        get_testdata_file("MR_small.dcm"),
        get_testdata_file("MR_small_RLE.dcm"),
        get_testdata_file("JPEG2000.dcm"),
    ]
    with FakePacs() as pacs:
        assert codes(sender_to(pacs).send_dicom_from_filelist([str(file) for file in files])) == [0, 0, 0]


def test_a_dicomdir_is_sent(tmp_path: Path) -> None:
    for number in range(2):
        make_ct(number).save_as(tmp_path / f"IM{number}", enforce_file_format=True)
    dicomdir = write_dicomdir(tmp_path, ("IM1",), ("IM0",))
    with FakePacs() as pacs:
        assert codes(sender_to(pacs).send_dicom_from_dicomdir(str(dicomdir))) == [0, 0]
    assert pacs.arrivals == [make_ct(number).SOPInstanceUID for number in (1, 0)]


def test_a_class_that_is_not_accepted_has_its_old_status() -> None:
    with FakePacs(Faults(refuse_classes=["1.2.840.10008.5.1.4.1.1.2"])) as pacs:
        assert codes(sender_to(pacs).send_dicom_from_dataset([make_ct()])) == [0xC001]


def test_a_failure_has_its_status_and_no_answer_an_empty_one() -> None:
    with FakePacs(Faults(status=0xA900, status_times=1, abort_on=[make_ct(1).SOPInstanceUID])) as pacs:
        statuses = sender_to(pacs).send_dicom_from_dataset([make_ct(number) for number in range(3)])
    assert codes(statuses) == [0xA900, None, 0]
    assert not statuses[1]


def test_a_port_without_listener_is_an_error_that_tells() -> None:
    with FakePacs() as pacs:
        sender = sender_to(pacs)
    with pytest.raises(PeerUnreachableError, match="nothing listens"):
        sender.send_dicom_from_dataset([make_ct()])


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with FakePacs() as pacs:
        with pytest.raises(FileNotFoundError):
            sender_to(pacs).send_dicom_from_path(tmp_path / "absent")
        with pytest.raises(InvalidSeriesError, match="file 1 of those to send"):
            sender_to(pacs).send_dicom_from_filelist([tmp_path / "absent"])
        with pytest.raises(InvalidSeriesError, match="the file DICOMDIR is unreadable"):
            sender_to(pacs).send_dicom_from_dicomdir(tmp_path / "DICOMDIR")
    assert not pacs.received


def test_a_call_may_go_elsewhere(tmp_path: Path) -> None:
    program("openssl")
    with FakePacs() as first, FakePacs(ae_title="SECOND", tls=True) as second:
        sender = sender_to(first, tls_trusted_ca=True)
        assert second.authority is not None
        statuses = sender.send_dicom_from_dataset(
            [make_ct()],
            host="localhost",
            port=second.peer.port,
            aet="SECOND",
            tls=True,
            ca_file=second.authority.ca_file,
            trusted_ca=False,
        )
        assert codes(statuses) == [0]
        with pytest.raises(TypeError, match="'hots' cannot be overridden for one call"):
            sender.send_dicom_from_path(tmp_path, hots="localhost")
    assert not first.received
    assert second.titles == [("OURS", "SECOND")]


def test_an_echo_gives_its_status_or_none(caplog: pytest.LogCaptureFixture) -> None:
    with FakePacs() as pacs:
        status = sender_to(pacs).send_echo()
        assert status is not None
        assert status.Status == 0
    assert sender_to(pacs).send_echo() is None
    assert "nothing listens" in caplog.text
