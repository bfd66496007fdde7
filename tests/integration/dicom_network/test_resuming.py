from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.fake_pacs import FakePacs
from dcm_processor_service.models import InstanceRecord, Outbox, Outcome, Peer
from tests.unit.dicom_network.instances import write_series

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 12
KILLED_AFTER = 5

# sends a folder, keeps its outbox in a file after each record, and is killed by it
SCRIPT = f"""
import json, os, signal, sys
from pathlib import Path
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import Outbox, Peer

folder, kept, peer = sys.argv[1], Path(sys.argv[2]), Peer.model_validate_json(sys.argv[3])
sender = PynetdicomSender()
box = Outbox.for_send(peer, sender.identify(folder))

def keep(record):
    global box
    box = box.with_record(record)
    kept.write_text(json.dumps([box.key, box.to_value()]))
    if len(box.records) == {KILLED_AFTER}:
        os.kill(os.getpid(), signal.SIGKILL)

sender.send(folder, peer, on_record=keep)
"""


def test_a_sending_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, kept = tmp_path / "series", tmp_path / "outbox.json"
    write_series(folder, COUNT)
    sender = PynetdicomSender()
    with FakePacs() as pacs:
        command = [sys.executable, "-c", SCRIPT, str(folder), str(kept), pacs.peer.model_dump_json()]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
        assert len(pacs.arrivals) == KILLED_AFTER
        key, value = json.loads(kept.read_text())
        box = Outbox.for_send(pacs.peer, sender.identify(folder))
        assert box.key == key
        before = box.restored(value)
        report = sender.send(folder, pacs.peer, acknowledged=before.acknowledged)
    uids = sender.identify(folder)
    assert report.ok
    assert [record.sop_instance_uid for record in report.records] == uids
    assert report.records[:KILLED_AFTER] == before.records
    assert pacs.arrivals == uids


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
