from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.parcels import Ledger
from dcm_processor_service.dicom_network.repeats import Repeats
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.dicom_network.sources import Outgoing, survey
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions, SendReport
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dcm_processor_service.ports import Sendable
    from dcm_processor_service.session.session import Session

COUNT = 12
KILLED_AFTER = 5

# sends a folder, writes each record into a file, and kills itself after one of them
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


@contextmanager
def opened_store(workspace: str, *, ae_title: str = DEFAULT_AE_TITLE) -> Iterator[Container]:
    """Opens the store of one job in SQLite."""
    url = f"sqlite:///{workspace}/store.db"
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=url, db_name="store", session_id="5" * 24, job_id="1" * 24, ae_title=ae_title
    )
    with opened(Container(settings=settings)) as container:
        yield container


@contextmanager
def open_session(workspace: str, *, ae_title: str = DEFAULT_AE_TITLE) -> Iterator[Session]:
    """The session of one job in a store of SQLite."""
    with opened_store(workspace, ae_title=ae_title) as container:
        yield container.session()


def test_two_processes_that_send_the_same_at_once_both_succeed(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    write_series(folder, COUNT)
    reports: list[SendReport] = []
    both_began = threading.Barrier(2)

    def send(pacs: FakePacs) -> None:
        waited: list[bool] = []

        def wait_once() -> None:
            if not waited:
                waited.append(True)
                both_began.wait(60)

        with open_session(str(tmp_path)) as session:
            reports.append(session.dicom.send(folder, to=pacs.peer, on_record=wait_once))

    with FakePacs(Faults(duplicates=0x0111)) as pacs:
        threads = [threading.Thread(target=send, args=(pacs,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with open_session(str(tmp_path)) as session:
            # no lock is left that would prevent a third sending
            refused = session.dicom.send(folder, to=pacs.peer, options=SendOptions(check=False))
    assert [report.ok for report in reports] == [True, True]
    assert len(pacs.arrivals) == COUNT
    assert {record.outcome for record in refused.records} == {Outcome.REFUSED}


@pytest.mark.parametrize("duplicates", [0x0000, 0x0111])
def test_what_is_given_twice_is_stored_once_and_told_twice(duplicates: int) -> None:
    with FakePacs(Faults(duplicates=duplicates)) as pacs:
        report = PynetdicomSender().send([make_ct(0), make_ct(1), make_ct(0)], pacs.peer)
    assert report.stored == 3
    assert len(pacs.received) == 2


@pytest.mark.parametrize("web", [False, True])
@pytest.mark.parametrize("apart", [0, 1])
def test_of_two_that_differ_and_come_one_by_one_the_second_is_not_sent(*, apart: int, web: bool) -> None:
    other = make_ct(0)
    other.SeriesDescription = "another"
    given = [make_ct(0), *(make_ct(number + 1) for number in range(apart)), other]
    with FakePacs() as pacs, running_stow_service() as service:
        peer = service.peer if web else pacs.peer
        report = PynetdicomSender().send(iter(given), peer, options=SendOptions(check=False))
        held = [*pacs.datasets(), *(one for request in service.requests for one in request)]
    assert [record.outcome for record in report.records] == [*[Outcome.STORED] * (apart + 1), Outcome.REFUSED]
    assert "send the right one alone" in report.records[-1].meaning
    assert {one.get("SeriesDescription") for one in held} == {make_ct(0).get("SeriesDescription")}


@pytest.mark.parametrize("known_first", [False, True])
def test_of_two_that_differ_one_of_which_the_peer_has_the_second_is_refused(*, known_first: bool) -> None:
    other = make_ct(0)
    other.SeriesDescription = "another"
    given = [make_ct(0), other] if known_first else [other, make_ct(0)]
    with FakePacs() as pacs:
        first = PynetdicomSender().send(make_ct(0), pacs.peer).records
        options = SendOptions(check=False)
        report = PynetdicomSender().send(iter(given), pacs.peer, options=options, acknowledged=by_uid(first))
    assert [record.outcome for record in report.records] == [Outcome.STORED, Outcome.REFUSED]
    assert len(pacs.arrivals) == (1 if known_first else 2)


def test_of_two_that_differ_far_apart_the_second_is_known_by_the_record_of_the_first() -> None:
    other = make_ct(0)
    other.SeriesDescription = "another"
    ledger = Ledger()
    with FakePacs() as pacs:
        (record,) = PynetdicomSender().send(make_ct(0), pacs.peer).records
    ledger.put(0, record)
    first, second, third = survey([make_ct(0), other, make_ct(1)])
    assert isinstance(first, Outgoing)
    assert isinstance(second, Outgoing)
    assert isinstance(third, Outgoing)
    repeats = Repeats(ledger)
    repeats.comes(first)
    assert [repeats.differs(one) for one in (first, second, third)] == [False, True, False]
    repeats.forget()
    assert [repeats.differs(one) for one in (second, third)] == [True, False]
