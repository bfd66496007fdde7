"""Answers to requests for storage commitment that come after the sending: in a later call, or to a later process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import ConfigurationError, SendIncompleteError, SendRejectedError
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions, StorageCommitment
from dcm_processor_service.ports import JobKey
from dcm_processor_service.session.network.commitment_store import PART_RECORDS, CommitmentStore
from dcm_processor_service.testing import fake_async_context, fake_context
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.command_line import ROOT
from tests.integration.dicom_network.test_resuming import open_session
from tests.ports import free_port
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.runtime.context import AsyncRuntimeContext

LATER = SendOptions(commit=True, wait_for_commitment=False)
COUNT = 3

# sends a folder from a session of a workspace and asks for commitment; kills itself before it asks, if told so
SCRIPT = """
import os, signal, sys
from dcm_processor_service.dicom_network.dimse import commitment
from dcm_processor_service.models import Peer, SendOptions
from tests.integration.dicom_network.test_resuming import open_session

folder, workspace, peer, killed = sys.argv[1], sys.argv[2], Peer.model_validate_json(sys.argv[3]), sys.argv[4]
if killed == "killed":
    commitment.request_commitment = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with open_session(workspace) as session:
    session.dicom.send(folder, to=peer, options=SendOptions(commit=True, wait_for_commitment=False))
"""


def listening(port: int, *, timeout_s: float = 30, check: bool = True) -> SendOptions:
    """Options to listen at a port of the loopback interface."""
    return SendOptions(listen_host="127.0.0.1", listen_port=port, commitment_timeout_s=timeout_s, check=check)


@pytest.mark.parametrize("end", ["done", "killed"])
def test_a_later_process_takes_the_answer_to_one_that_is_gone(tmp_path: Path, end: str) -> None:
    folder, port = tmp_path / "series", free_port()
    write_series(folder, COUNT)
    with FakePacs(Faults(commitment_port=port, commitment_retries=True)) as pacs:
        arguments = [str(folder), str(tmp_path), pacs.peer.model_dump_json(), end]
        ran = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], check=False, timeout=60, cwd=ROOT)
        assert ran.returncode == (-signal.SIGKILL if end == "killed" else 0)
        with open_session(str(tmp_path)) as session:
            (asked,) = session.dicom.commitments.list()
            assert (asked.is_open, asked.ok, len(asked.records)) == (True, False, COUNT)
            # a request is answered to the port; a process that was killed before must ask again
            (settled,) = session.dicom.commitments.wait(options=listening(port), ask_again=end == "killed")
        with open_session(str(tmp_path)) as session:
            assert session.dicom.commitments.list() == [settled]
            assert session.dicom.commitments.wait(options=listening(port)) == []
            assert session.data.keys() == []
    assert settled.ok
    assert settled.answered_at is not None
    assert {record.outcome for record in settled.records} == {Outcome.COMMITTED}
    assert (settled.transaction_uid == asked.transaction_uid) == (end == "done")


def test_who_does_not_wait_has_all_stored_and_is_reported_that_the_answer_is_to_come() -> None:
    with FakePacs(Faults(commitment="silent")) as pacs:
        report = PynetdicomSender().send(make_ct(), pacs.peer, options=LATER)
    assert report.ok
    assert report.transaction_uid
    assert report.records[0].outcome is Outcome.STORED
    assert report.records[0].meaning == "stored; storage commitment was requested, its answer is still to come"


def test_who_does_not_wait_is_reported_of_a_peer_that_offers_none() -> None:
    ctx = fake_context()
    with (
        FakePacs(Faults(commitment="none")) as pacs,
        pytest.raises(SendRejectedError, match="storage commitment was asked for and not given"),
    ):
        ctx.session.dicom.send(make_ct(), to=pacs.peer, options=LATER)
    (refused,) = ctx.session.dicom.commitments.list()
    assert not refused.is_open
    assert refused.problem.startswith("the peer does not offer it")


def test_what_the_peer_does_not_keep_is_raised_and_kept_as_failed() -> None:
    ctx, port = fake_context(), free_port()
    with FakePacs(Faults(commitment="fail", commitment_port=port, commitment_retries=True)) as pacs:
        ctx.session.dicom.send([make_ct(0), make_ct(1)], to=pacs.peer, options=LATER)
        with pytest.raises(SendRejectedError, match="commits to keep 0 of 2 instances") as caught:
            ctx.session.dicom.commitments.wait(options=listening(port))
    assert not isinstance(caught.value, SendIncompleteError)
    assert caught.value.report is not None
    assert caught.value.report.count(Outcome.FAILED) == 2
    (settled,) = ctx.session.dicom.commitments.list()
    assert [record.status_hex for record in settled.records] == ["0112", "0112"]


def test_an_answer_that_does_not_come_may_be_waited_for_again() -> None:
    ctx, port = fake_context(), free_port()
    with FakePacs(Faults(commitment="silent")) as pacs:
        ctx.session.dicom.send(make_ct(), to=pacs.peer, options=LATER)
        with pytest.raises(SendIncompleteError, match="has not answered yet whether it keeps 1 of 1"):
            ctx.session.dicom.commitments.wait(options=listening(port, timeout_s=0.1))
        (left,) = ctx.session.dicom.commitments.wait(options=listening(port, timeout_s=0.1, check=False))
    assert left.is_open
    assert ctx.session.dicom.commitments.list() == [left]


def test_without_a_port_of_ours_nobody_is_waited_for() -> None:
    with pytest.raises(ConfigurationError, match="listen_port"):
        fake_context().session.dicom.commitments.wait()


def test_an_asynchronous_job_waits_too() -> None:
    port = free_port()

    async def run(ctx: AsyncRuntimeContext, peer: Peer) -> list[StorageCommitment]:
        await ctx.session.dicom.send(make_ct(), to=peer, options=LATER)
        return await ctx.session.dicom.commitments.wait(options=listening(port))

    with FakePacs(Faults(commitment_port=port, commitment_retries=True)) as pacs:
        (settled,) = asyncio.run(run(fake_async_context(), pacs.peer))
    assert settled.ok


def test_the_same_sending_again_takes_the_place_of_its_open_transaction() -> None:
    ctx, ct = fake_context(), make_ct()
    with FakePacs(Faults(commitment="silent")) as pacs:
        for _ in range(2):
            ctx.session.dicom.send(ct, to=pacs.peer, options=LATER)
            (asked,) = ctx.session.dicom.commitments.list()
        ctx.session.dicom.send(make_ct(1), to=pacs.peer, options=LATER)
    assert [one == asked for one in ctx.session.dicom.commitments.list()] == [True, False]


def test_an_answer_that_could_not_be_kept_is_taken_when_the_peer_sends_it_again() -> None:
    port, kept = free_port(), list[StorageCommitment]()
    sender = PynetdicomSender()

    def fail(_commitment: StorageCommitment) -> None:
        raise OSError("the disk is full")

    with FakePacs(Faults(commitment_port=port, commitment_retries=True)) as pacs:
        sender.send(make_ct(), pacs.peer, options=LATER, on_commitment=kept.append)
        asked = kept.pop()
        with pytest.raises(OSError, match="the disk is full"):
            sender.wait_for_commitments([asked], options=listening(port), on_commitment=fail)
        sender.wait_for_commitments([asked], options=listening(port), on_commitment=kept.append)
    assert [one.ok for one in kept] == [True]


def test_a_cancelled_job_waits_no_longer() -> None:
    kept: list[StorageCommitment] = []
    with FakePacs(Faults(commitment="silent")) as pacs:
        PynetdicomSender().send(make_ct(), pacs.peer, options=LATER, on_commitment=kept.append)
        PynetdicomSender().wait_for_commitments(
            kept, options=listening(free_port()), on_commitment=kept.append, cancelled=lambda: True
        )
    assert len(kept) == 1


def test_an_answer_of_another_transaction_settles_nothing() -> None:
    port, asked = free_port(), list[StorageCommitment]()
    told: list[StorageCommitment] = []
    with FakePacs(Faults(commitment_port=port, commitment_retries=True)) as pacs:
        PynetdicomSender().send(make_ct(), pacs.peer, options=LATER, on_commitment=asked.append)
        other = asked[0].model_copy(update={"transaction_uid": "2.25.1"})
        PynetdicomSender().wait_for_commitments(
            [other], options=listening(port, timeout_s=1), on_commitment=told.append
        )
    assert told == []


def test_as_many_records_as_there_are_come_back_from_the_store() -> None:
    backend, job = MemoryStore().backend(), JobKey("5" * 24, "1" * 24)
    store = CommitmentStore(backend.data)
    commitment = StorageCommitment(
        transaction_uid="2.25.7",
        peer=Peer(name="PACS", ae_title="PACS", host="pacs", port=104, url="https://pacs/?token=secret"),
        asked_at=datetime(2026, 1, 31, tzinfo=timezone.utc),
        records=tuple(InstanceRecord(sop_instance_uid=f"1.2.{number}") for number in range(2 * PART_RECORDS)),
        sending=f"commitment-{'0a' * 16}",
    )

    async def run() -> list[StorageCommitment]:
        await store.put(job, commitment)
        return await store.list(job)

    assert asyncio.run(run()) == [commitment]


def test_who_asks_again_asks_for_what_was_refused_too_and_not_for_what_is_promised() -> None:
    ctx, port = fake_context(), free_port()
    with FakePacs(Faults(commitment="fail"), port=free_port()) as refusing, FakePacs() as keeping:
        known = refusing.peer.model_copy(update={"name": "SAME"})
        ctx.session.dicom.send(make_ct(0), to=keeping.peer, options=SendOptions(commit=True))
        with pytest.raises(SendRejectedError):
            ctx.session.dicom.send(make_ct(1), to=known, options=SendOptions(commit=True))
        before = ctx.session.dicom.commitments.list()
        assert ctx.session.dicom.commitments.wait(options=listening(port)) == []  # no transaction is open
        asked_again = ctx.session.dicom.commitments.wait(options=SendOptions(check=False), ask_again=True)
    assert [one.peer.name for one in asked_again] == ["SAME"]
    assert not asked_again[0].ok
    assert asked_again[0].records[0].status_hex == "0112"
    assert asked_again[0].transaction_uid not in {one.transaction_uid for one in before}
    with FakePacs(port=known.port, holds=[make_ct(1)]) as willing:
        assert willing.peer.address == known.address
        (settled,) = ctx.session.dicom.commitments.wait(ask_again=True)
        assert ctx.session.dicom.commitments.wait(ask_again=True) == []
    assert settled.ok
    assert [(one.outcome, one.status, one.meaning) for one in settled.records] == [(Outcome.COMMITTED, None, "")]
    assert [one.ok for one in ctx.session.dicom.commitments.list()] == [True, True]
