"""The peer that ``session.peers`` asks, and the answers that ``session.dicom.commitments`` keeps."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import SendIncompleteError, SendRejectedError
from dcm_processor_service.models import (
    FindQuery,
    FoundStudy,
    InstanceRecord,
    Outcome,
    Peer,
    SendOptions,
    SendReport,
    StorageCommitment,
)
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dcm_processor_service import Container, RuntimeContext

PACS = Peer(name="PACS", ae_title="ORTHANC", host="127.0.0.1", port=4242)
OTHER = Peer(name="OTHER", ae_title="OTHER", host="127.0.0.1", port=4243)
PORT = SendOptions(listen_port=11112)


class Answering:
    """A fake sender and retriever that answers with the name of its method, the peer and the further arguments."""

    def __getattr__(self, name: str) -> Any:
        return lambda peer, *arguments: (name, peer, *arguments)

    def find(self, peer: Peer, query: FindQuery) -> list[FoundStudy]:
        return [FoundStudy(study_instance_uid=f"1.{peer.port}", description=query.modality)]


def answering(container: Container) -> None:
    container.sender.override(Answering())
    container.retriever.override(Answering())


@pytest.mark.parametrize("asked", ["echo", "probe", "propose"])
def test_a_peer_is_asked_itself_whether_it_is_given_or_named(asked: str) -> None:
    peers = fake_context(peers=[PACS], customise=answering).session.peers
    assert getattr(peers, asked)("PACS") == (asked, peers.get("PACS"))
    assert getattr(peers, asked)(OTHER) == (asked, OTHER)


def test_a_search_goes_to_the_peer_that_is_given_or_named() -> None:
    peers = fake_context(peers=[PACS], customise=answering).session.peers
    (found,), (other,) = peers.find("PACS", modality="CT"), peers.find(OTHER, modality="MR")
    assert (found.study_instance_uid, found.description) == ("1.4242", "CT")
    assert (other.study_instance_uid, other.description) == ("1.4243", "MR")


class Promising:
    """A fake sender whose peers promise later to keep what they stored, if they do."""

    def __init__(self) -> None:
        self.promised: dict[str, Outcome] = {}
        """The outcome of the instances of a peer that answers, by the name of the peer."""
        self.waited: list[tuple[list[str], SendOptions, bool]] = []

    def check(self, peer: Peer) -> None:
        """Takes any certificate."""

    def identify(self, items: Sequence[object]) -> list[str]:
        return [str(item) for item in items]

    def send(self, items: object, peer: Peer, *, on_commitment: Callable[[StorageCommitment], None], **_: Any) -> Any:
        record = InstanceRecord(sop_instance_uid=f"1.{peer.port}", outcome=Outcome.STORED)
        asked_at = datetime(2026, 1, peer.port - 4240, tzinfo=timezone.utc)
        on_commitment(
            StorageCommitment(transaction_uid=f"2.{peer.port}", peer=peer, asked_at=asked_at, records=(record,))
        )
        return SendReport(peer=peer.address, records=(record,))

    def wait_for_commitments(
        self,
        open_ones: Sequence[StorageCommitment],
        *,
        options: SendOptions,
        ask_again: bool,
        on_commitment: Callable[[StorageCommitment], None],
        cancelled: Callable[[], bool],
    ) -> None:
        assert not cancelled()
        self.waited.append(([one.peer.name for one in open_ones], options, ask_again))
        for one in open_ones:
            outcome = self.promised.get(one.peer.name)
            if outcome is not None:
                records = tuple(record.model_copy(update={"outcome": outcome}) for record in one.records)
                answered = {"records": records, "answered_at": datetime(2026, 2, 1, tzinfo=timezone.utc)}
                on_commitment(one.model_copy(update=answered))


class World:
    """A job that has sent to two peers, and asked both for a storage commitment."""

    def __init__(self, **promised: Outcome) -> None:
        self.sender = Promising()
        self.sender.promised = promised
        self.containers: list[Container] = []
        self.ctx: RuntimeContext = fake_context(customise=self._customise)
        self.dicom = self.ctx.session.dicom
        for peer in (PACS, OTHER):
            self.dicom.send(["instance"], to=peer, options=SendOptions(commit=True, wait_for_commitment=False))

    def _customise(self, container: Container) -> None:
        container.sender.override(self.sender)
        self.containers.append(container)

    @property
    def settled(self) -> list[tuple[str, tuple[str, ...]]]:
        """The transactions whose answers the job's report shows, and what is unmet of each."""
        return [(one.transaction_uid, one.unmet) for one in self.containers[0].recording().sent if one.transaction_uid]


def test_only_answered_commitments_are_in_the_report_of_the_job() -> None:
    world = World(PACS=Outcome.COMMITTED)
    options = PORT.model_copy(update={"check": False})
    both = world.dicom.commitments.wait(options=options)
    assert [(one.peer.name, one.ok, one.is_open) for one in both] == [("PACS", True, False), ("OTHER", False, True)]
    assert world.sender.waited == [(["PACS", "OTHER"], options, False)]
    assert world.settled == [("2.4242", ())]
    assert [one.is_open for one in world.dicom.commitments.list()] == [False, True]
    world.sender.promised = {"OTHER": Outcome.FAILED}
    (late,) = world.dicom.commitments.wait(options=options)
    assert (late.peer.name, late.is_open) == ("OTHER", False)
    assert world.settled == [("2.4242", ()), ("2.4243", ("storage commitment",))]


@pytest.mark.parametrize("promised", [{}, {"PACS": Outcome.COMMITTED}], ids=["no answer", "one answer"])
def test_missing_answers_are_an_error_that_waiting_again_may_mend(promised: dict[str, Outcome]) -> None:
    world = World(**promised)
    with pytest.raises(SendIncompleteError) as caught:
        world.dicom.commitments.wait(options=PORT)
    assert caught.value.report is not None
    assert caught.value.report.peer == f"{PACS.address}, {OTHER.address}"


def test_a_refused_commitment_is_an_error_for_good() -> None:
    world = World(PACS=Outcome.FAILED)
    with pytest.raises(SendRejectedError) as caught:
        world.dicom.commitments.wait(options=PORT)
    assert not isinstance(caught.value, SendIncompleteError)


def test_waiting_for_one_peer_leaves_the_others_alone_and_nothing_open_is_not_waited_for() -> None:
    world = World(PACS=Outcome.COMMITTED)
    (one,) = world.dicom.commitments.wait(options=PORT, peer="PACS")
    assert (one.peer.name, one.ok) == ("PACS", True)
    assert world.dicom.commitments.wait(options=PORT, peer="PACS") == []
    assert world.dicom.commitments.wait(options=PORT, peer="THIRD") == []
    assert world.sender.waited == [(["PACS"], PORT, False)]
