"""Of two different instances with one SOPInstanceUID, neither is sent, however they are given; copies are sent once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.derived.inputs import source_of
from dcm_processor_service.errors import DerivedObjectError, SendRejectedError
from dcm_processor_service.models import Verdict
from dcm_processor_service.testing import FakePacs
from tests.integration.dicom_network.stow_server import StowService, running_stow_service
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.dicom_network.sender import PynetdicomSender

UIDS = [str(make_ct(number).SOPInstanceUID) for number in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three instances; a copy of the first; another one under the UID of the second, and a copy of that."""
    for name, dataset in enumerate([make_ct(0), make_ct(1), make_ct(2)]):
        dataset.save_as(tmp_path / str(name), enforce_file_format=True)
    other = make_ct(1)
    other.PixelData = other.PixelData[::-1]
    other.save_as(tmp_path / "9", enforce_file_format=True)
    shutil.copy(tmp_path / "0", tmp_path / "0 copy")
    shutil.copy(tmp_path / "9", tmp_path / "9 copy")
    return tmp_path


def datasets() -> list[Dataset]:
    other = make_ct(1)
    other.SeriesDescription = "another"
    return [make_ct(0), make_ct(1), make_ct(2), other]


@pytest.fixture
def service() -> Iterator[StowService]:
    with running_stow_service() as running:
        yield running


def test_two_different_instances_in_a_folder_are_not_sent_and_both_are_named(
    sender: PynetdicomSender, folder: Path
) -> None:
    with FakePacs() as pacs:
        with pytest.raises(SendRejectedError) as caught:
            sender.send(folder, pacs.peer)
        assert pacs.arrivals == [UIDS[0], UIDS[2]]
    report: Any = caught.value.report
    refused = [record for record in report.records if not record.outcome.acknowledged]
    assert [record.sop_instance_uid for record in refused] == [UIDS[1]] * 2
    assert [record.path for record in refused] == [f"{folder}/1", f"{folder}/9"]
    assert "send the right one alone" in refused[0].meaning
    assert [left.path for left in report.left_out] == [f"{folder}/0 copy", f"{folder}/9 copy"]


@pytest.mark.parametrize("given", ["files", "datasets", "mixed"])
def test_two_different_instances_in_a_list_are_not_sent(sender: PynetdicomSender, folder: Path, given: str) -> None:
    files = [folder / name for name in ("0", "1", "2", "9")]
    choices: dict[str, list[Any]] = {"files": files, "datasets": datasets(), "mixed": [*datasets()[:3], files[3]]}
    items = choices[given]
    with FakePacs() as pacs:
        with pytest.raises(SendRejectedError):
            sender.send(items, pacs.peer)
        assert pacs.arrivals == [UIDS[0], UIDS[2]]


def test_two_different_instances_are_not_sent_to_a_peer_with_a_url(
    sender: PynetdicomSender, folder: Path, service: StowService
) -> None:
    with pytest.raises(SendRejectedError):
        sender.send(folder, service.peer)
    assert [[one.SOPInstanceUID for one in request] for request in service.requests] == [[UIDS[0], UIDS[2]]]


@pytest.mark.parametrize("given", ["folder", "datasets"])
def test_a_check_reports_two_different_instances(sender: PynetdicomSender, folder: Path, given: str) -> None:
    with FakePacs() as pacs:
        check = sender.check_sending(folder if given == "folder" else datasets(), pacs.peer)
    refused = [record for record in check.records if not record.verdict.can_be_sent]
    assert [(record.sop_instance_uid, record.verdict) for record in refused] == [(UIDS[1], Verdict.UNSOUND)] * 2
    assert "has the same SOPInstanceUID" in refused[0].meaning
    assert len(check.records) == 4


def test_what_was_acknowledged_before_does_not_hide_the_other(sender: PynetdicomSender, folder: Path) -> None:
    with FakePacs() as pacs:
        before = sender.send([folder / name for name in "012"], pacs.peer)
        acknowledged = {record.sop_instance_uid: record for record in before.records}
        with pytest.raises(SendRejectedError):
            sender.send(folder, pacs.peer, acknowledged=acknowledged)
        assert pacs.arrivals == UIDS


def test_no_object_is_made_like_a_folder_of_them(folder: Path) -> None:
    with pytest.raises(DerivedObjectError, match="different content: leave the wrong one out"):
        source_of([folder])
    (folder / "9").unlink()
    (folder / "9 copy").unlink()
    assert len(source_of([folder]).headers) == 3
