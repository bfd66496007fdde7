"""kill -9 of a process that sends, at many points, against archives that overwrite and that refuse duplicates.

One interpreter forks a child for each point, which sends a folder from a session of a workspace of its own. What is
counted are the requests that went out, the answers that came, and both ends of each write to the journal.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydicom.uid import generate_uid

from dcm_processor_service.models import Outcome
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.network.journal import Journal
from dcm_processor_service.session.network.sending import journal_key
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.command_line import ROOT
from tests.integration.dicom_network.test_resuming import opened_store
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dcm_processor_service.models import Peer, SendReport

COUNT = 5
POINTS = 4 * COUNT + 2
DUPLICATE = 0x0111

SCRIPT = """
import os, signal, sys
from pathlib import Path
from dcm_processor_service.dicom_network.dimse.association import Association
from dcm_processor_service.models import Peer
from dcm_processor_service.session.network.journal import Journal
from tests.integration.dicom_network.test_resuming import open_session

root, peer = Path(sys.argv[1]), Peer.model_validate_json(sys.argv[2])
answer, write = Association._answer, Journal._write
left = 0

def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted_answer(self, *arguments, **more):
    count()
    command = answer(self, *arguments, **more)
    count()
    return command

async def counted_write(self):
    count()
    await write(self)
    count()

Association._answer, Journal._write = counted_answer, counted_write
for place in sorted(root.iterdir()):
    child = os.fork()
    if child == 0:
        left = int(place.name)
        with open_session(str(place)) as session:
            session.dicom.send(place / "series", to=peer)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(place.name, os.waitstatus_to_exitcode(status))
"""


def write_series_of(place: Path) -> dict[str, bytes]:
    """Writes a series for one point of time, with its own UIDs; returns its pixels by SOPInstanceUID."""
    (place / "series").mkdir(parents=True)
    written = {}
    for number in range(COUNT):
        dataset = make_ct(number)
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[place.name, str(number)])
        dataset.save_as(place / "series" / f"{number}.dcm", enforce_file_format=True)
        written[str(dataset.SOPInstanceUID)] = dataset.PixelData
    return written


def remembered(place: Path, peer: Peer, uids: Iterable[str]) -> set[str]:
    """Returns which instances are stored according to the journal that a killed process left."""
    with opened_store(str(place)) as container:
        journal = Journal(container.data_repository(), container.job_key(), journal_key(peer, uids))
        return set(run_inline(journal.read()))


def finish(place: Path, peer: Peer) -> SendReport:
    """Sends again what a killed process was sending; afterwards, its journal is empty."""
    with opened_store(str(place)) as container:
        report: SendReport = container.session().dicom.send(place / "series", to=peer)
        assert run_inline(container.data_repository().scan(container.job_key(), values=False)) == []
    return report


@pytest.mark.parametrize("duplicates", [0x0000, DUPLICATE])
def test_what_a_killed_process_was_sending_is_finished_and_told_as_it_is(tmp_path: Path, duplicates: int) -> None:
    places = {number: tmp_path / f"{number:02}" for number in range(1, POINTS + 2)}
    series = {number: write_series_of(place) for number, place in places.items()}
    with FakePacs(Faults(duplicates=duplicates)) as pacs:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), pacs.peer.model_dump_json()]
        ran = subprocess.run(command, check=True, timeout=120, cwd=ROOT, capture_output=True, text=True)
        ends = dict.fromkeys(range(1, POINTS + 1), -signal.SIGKILL) | {POINTS + 1: 0}
        assert [line.split() for line in ran.stdout.splitlines()] == [
            [f"{number:02}", str(end)] for number, end in ends.items()
        ]
        for number in range(1, POINTS + 1):
            sent = series[number]
            stored = remembered(places[number], pacs.peer, sent)
            assert stored <= pacs.received.keys(), "what is lost was told to be stored"
            report = finish(places[number], pacs.peer)
            assert {record.sop_instance_uid for record in report.records} == sent.keys()
            assert report.ok, "what is stored was told to be lost"
            doubtful = {
                record.sop_instance_uid for record in report.records if record.outcome is Outcome.STORED_WITH_WARNING
            }
            assert len(doubtful) <= (1 if duplicates else 0)
            assert doubtful.isdisjoint(stored)
            again = [uid for uid in sent if pacs.arrivals.count(uid) > 1]
            assert len(again) <= 1
            assert stored.isdisjoint(again), "what was known to be stored was sent again"
    held = {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in pacs.datasets()}
    assert held == {uid: pixels for sent in series.values() for uid, pixels in sent.items()}
