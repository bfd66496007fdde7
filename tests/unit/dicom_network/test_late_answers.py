"""Late answers to requests for storage commitment: what is settled, asked again and told."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset

from dcm_processor_service.dicom_network.dimse import late_answers as module
from dcm_processor_service.dicom_network.dimse.commitment import HOLD_S, settled
from dcm_processor_service.dicom_network.dimse.late_answers import LateAnswers
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions, StorageCommitment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACS = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104, calling_ae_title="THERE")
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def begun(uid: str = "2.1", peer: Peer = PACS) -> StorageCommitment:
    record = InstanceRecord(sop_instance_uid=f"{uid}.1", outcome=Outcome.STORED)
    return StorageCommitment(
        transaction_uid=uid, peer=peer, asked_at=NOW, records=(record,), job_id="1b" * 12, sending="commitment-1"
    )


def answer(uid: str) -> Dataset:
    told, item = Dataset(), Dataset()
    told.TransactionUID, item.ReferencedSOPInstanceUID = uid, f"{uid}.1"
    told.ReferencedSOPSequence = [item]
    return told


class World:
    """A port and peers, with prepared answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[StorageCommitment] = []
        self.on_port: list[Dataset] = []
        self.asked: list[tuple[StorageCommitment, Peer, SendOptions, str]] = []
        self.answers_at_once = False
        self.port_tls: list[object] = []
        monkeypatch.setattr(module, "listening_for_answers", self._listening)
        monkeypatch.setattr(module, "request_commitment", self._request)

    @contextmanager
    def _listening(
        self, options: SendOptions, title: str, take: Callable[[Dataset], None], port_tls: object
    ) -> Iterator[None]:
        assert (options.listen_port, title) == (11112, "OURS")
        self.port_tls.append(port_tls)
        for one in self.on_port:
            take(one)
        yield

    def _request(
        self, commitment: StorageCommitment, peer: Peer, options: SendOptions, title: str, *, stays_open: bool
    ) -> tuple[StorageCommitment, str]:
        assert stays_open
        self.asked.append((commitment, peer, options, title))
        return (settled(commitment, answer("2.1")) if self.answers_at_once else commitment), ""

    def wait(
        self,
        *open_ones: StorageCommitment,
        port: int | None = 11112,
        ask_again: bool = False,
        seconds: float = 0.01,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[StorageCommitment]:
        options = SendOptions(listen_port=port, commitment_timeout_s=seconds)
        LateAnswers(options, "OURS", self.told.append, timeout_s=7).wait(
            open_ones, ask_again=ask_again, cancelled=cancelled
        )
        return self.told


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_an_answer_at_the_port_settles_its_transaction_once(world: World) -> None:
    world.on_port = [answer("2.9"), answer("2.1"), answer("2.1")]
    (one,) = world.wait(begun(), begun("2.2"))
    assert (one.transaction_uid, one.ok, one.is_open) == ("2.1", True, False)
    assert world.port_tls == [None]
    assert world.asked == []


def test_the_wait_ends_with_the_last_answer(world: World) -> None:
    world.on_port = [answer("2.1"), answer("2.2")]
    assert len(world.wait(begun(), begun("2.2"), seconds=3600)) == 2


def test_nothing_is_waited_for_without_a_port_or_when_nothing_is_open(world: World) -> None:
    assert world.wait(begun(), port=None, seconds=3600) == []
    assert world.wait(seconds=3600) == []
    assert world.port_tls == []
    assert world.wait(begun(), seconds=3600, cancelled=lambda: True) == []


@pytest.mark.parametrize(("port", "seconds", "wait_s"), [(None, 60, 60), (11112, 60, HOLD_S), (11112, 0.01, 0.01)])
def test_a_peer_is_asked_again_in_a_new_transaction_that_is_told_first(
    port: int | None, seconds: float, wait_s: float, world: World
) -> None:
    open_ones = [begun(), begun("2.2", PACS.model_copy(update={"calling_ae_title": None}))]
    noted: list[int] = []

    def cancelled() -> bool:
        noted.append(len(world.asked))
        return len(world.asked) == 2

    told = world.wait(*open_ones, port=port, seconds=seconds, ask_again=True, cancelled=cancelled)
    assert [one for one, *_ in world.asked] == told
    for before, (after, peer, options, title) in zip(open_ones, world.asked, strict=True):
        assert after.transaction_uid not in {"2.1", "2.2"}
        assert (after.job_id, after.sending, after.records) == (before.job_id, before.sending, before.records)
        assert (peer, title) == (before.peer, "THERE" if before.transaction_uid == "2.1" else "OURS")
        assert (options.listen_port, options.wait_for_commitment, options.dimse_timeout_s) == (None, True, 7)
        assert options.commitment_timeout_s == wait_s


def test_a_peer_that_answers_at_once_is_settled_in_the_new_transaction(world: World) -> None:
    world.answers_at_once = True
    asked, answered = world.wait(begun(), ask_again=True, port=None)
    assert asked.transaction_uid == answered.transaction_uid != "2.1"
    assert (asked.is_open, answered.is_open, answered.ok) == (True, False, True)


def test_what_was_answered_before_it_is_asked_again_is_left_alone(world: World) -> None:
    world.on_port = [answer("2.1")]
    assert [one.ok for one in world.wait(begun(), ask_again=True, seconds=3600)] == [True]
    assert world.asked == []


def test_an_answer_that_cannot_be_stored_is_an_error_here_and_for_the_peer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Exception] = []

    @contextmanager
    def listening(_o: object, _t: str, take: Callable[[Dataset], None], _s: object) -> Iterator[None]:
        try:
            take(answer("2.1"))
        except RuntimeError as error:
            refused.append(error)
        yield

    def tell(_commitment: StorageCommitment) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(module, "listening_for_answers", listening)
    told: Any = tell
    waiting = LateAnswers(SendOptions(listen_port=11112, commitment_timeout_s=60), "OURS", told)
    with pytest.raises(RuntimeError, match="disk full"):
        waiting.wait([begun()], ask_again=False, cancelled=lambda: False)
    assert len(refused) == 1
    assert world.told == []


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ({}, {}, False),
        ({"cert_file": "a"}, {"cert_file": "b"}, False),
        ({"tls": True}, {}, True),
        ({"tls": True, "cert_file": "a"}, {"tls": True, "cert_file": "b"}, True),
        ({"tls": True, "ca_file": "a"}, {"tls": True, "ca_file": "b"}, True),
        ({"tls": True, "cert_file": "a", "key_file": "a"}, {"tls": True, "cert_file": "a", "key_file": "b"}, True),
        ({"tls": True, "cert_file": "a"}, {"tls": True, "cert_file": "a"}, False),
    ],
)
def test_one_port_serves_peers_of_one_way_of_tls(
    first: dict[str, Any], second: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, differ: bool
) -> None:
    peers = [PACS.model_copy(update=first), PACS.model_copy(update={"name": "ARCHIVE", **second})]
    monkeypatch.setattr(module, "server_context", lambda peer: ("context of", peer))
    if differ:
        with pytest.raises(ConfigurationError, match="the peers ARCHIVE, PACS are not all reached"):
            module._port_tls(peers)
        return
    expected: Any = ("context of", peers[0]) if first.get("tls") else None
    assert module._port_tls(peers) == expected
