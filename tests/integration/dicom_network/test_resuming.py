from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendReport
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.unit.dicom_network.instances import write_series

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dcm_processor_service.ports import Sendable

COUNT = 12
KILLED_AFTER = 5

# sends a folder, keeps each record in a file, and is killed by one of them
SCRIPT = f"""
import os, signal, sys
from pathlib import Path
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import Peer, SendReport

folder, kept, peer = sys.argv[1], Path(sys.argv[2]), Peer.model_validate_json(sys.argv[3])
records = []

def keep(record):
    records.append(record)
    kept.write_text(SendReport(records=tuple(records)).model_dump_json())
    if len(records) == {KILLED_AFTER}:
        os.kill(os.getpid(), signal.SIGKILL)

PynetdicomSender().send(folder, peer, on_record=keep)
"""


def test_a_sending_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, kept = tmp_path / "series", tmp_path / "records.json"
    write_series(folder, COUNT)
    sender = PynetdicomSender()
    with FakePacs() as pacs:
        command = [sys.executable, "-c", SCRIPT, str(folder), str(kept), pacs.peer.model_dump_json()]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
        assert len(pacs.arrivals) == KILLED_AFTER
        before = SendReport.model_validate_json(kept.read_text()).records
        report = sender.send(folder, pacs.peer, acknowledged=by_uid(before))
    uids = sender.identify(folder)
    assert report.ok
    assert [record.sop_instance_uid for record in report.records] == uids
    assert report.records[:KILLED_AFTER] == before
    assert pacs.arrivals == uids


def by_uid(records: Iterable[InstanceRecord]) -> dict[str, InstanceRecord]:
    return {record.sop_instance_uid: record for record in records}


@pytest.mark.parametrize("as_datasets", [True, False])
def test_an_instance_that_was_made_anew_under_its_uid_goes_again(tmp_path: Path, *, as_datasets: bool) -> None:
    paths = write_series(tmp_path, 3)
    changed = dcmread(paths[1])

    def items() -> list[Sendable]:
        return [dcmread(path) for path in paths] if as_datasets else [*paths]

    with FakePacs() as pacs:
        first = PynetdicomSender().send(items(), pacs.peer)
        same = PynetdicomSender().send(items(), pacs.peer, acknowledged=by_uid(first.records))
        changed.SeriesDescription = "another"
        changed.save_as(paths[1])
        again = PynetdicomSender().send(items(), pacs.peer, acknowledged=by_uid(first.records))
    uids = PynetdicomSender.identify(paths)
    assert same.records == first.records
    assert pacs.arrivals == [*uids, uids[1]]
    assert [dataset.get("SeriesDescription") == "another" for dataset in pacs.datasets()] == [False, True, False]
    assert [new == old for new, old in zip(again.records, first.records, strict=True)] == [True, False, True]


def test_an_instance_that_was_converted_for_the_peer_is_known_again(tmp_path: Path) -> None:
    paths = write_series(tmp_path, 2)
    with FakePacs(Faults(accept_syntaxes=[ImplicitVRLittleEndian])) as pacs:
        first = PynetdicomSender().send(paths, pacs.peer)
        PynetdicomSender().send(paths, pacs.peer, acknowledged=by_uid(first.records))
    assert {record.transfer_syntax_uid for record in first.records} == {ImplicitVRLittleEndian}
    assert {record.transcoded_from for record in first.records} == {ExplicitVRLittleEndian}
    assert len(pacs.arrivals) == 2


def test_what_is_acknowledged_is_not_sent_and_stays_in_the_report(tmp_path: Path) -> None:
    paths = write_series(tmp_path, 3)
    uids = PynetdicomSender.identify(paths)
    known = InstanceRecord(sop_instance_uid=uids[1], outcome=Outcome.STORED_WITH_WARNING, status=0xB000, attempts=2)
    with FakePacs() as pacs:
        report = PynetdicomSender().send(paths, pacs.peer, acknowledged={uids[1]: known})
    assert pacs.arrivals == [uids[0], uids[2]]
    assert report.records[1] == known


def test_when_all_is_acknowledged_nobody_is_asked(tmp_path: Path) -> None:
    paths = write_series(tmp_path, 2)
    known = {
        uid: InstanceRecord(sop_instance_uid=uid, outcome=Outcome.STORED) for uid in PynetdicomSender.identify(paths)
    }
    nobody = Peer(name="GONE", ae_title="GONE", host="127.0.0.1", port=1)
    assert PynetdicomSender().send(paths, nobody, acknowledged=known).ok
