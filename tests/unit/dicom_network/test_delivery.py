"""The rounds of a sending, over fake lanes: which instances are tried again, when, and what ends the sending."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.dicom_network import delivery
from dcm_processor_service.dicom_network.delivery import Delivery
from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.parcels import Ledger
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from dcm_processor_service.dicom_network.parcels import Parcel

EXPLICIT = str(ExplicitVRLittleEndian)
PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)


class World:
    """A fake peer: its behaviour for each instance, and a record of what reached it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.poison: set[str] = set()
        self.timed_out = False
        self.excused = False
        self.no_association: list[Exception] = []
        """Errors raised in place of associations, in order; the last one repeats."""
        self.most_contexts = 128
        self.alive = False
        self.asked = 0
        self.pauses: list[float] = []
        self.rounds: list[list[str]] = []
        self.lanes: list[FakeLane] = []
        self.on_store: Callable[[str], None] = lambda _uid: None
        monkeypatch.setattr(delivery, "Lane", lambda *args: FakeLane(self, *args))
        monkeypatch.setattr(delivery, "is_alive", self._is_alive)

    def _is_alive(self, peer: Peer, options: SendOptions, calling: str) -> bool:
        assert (peer, calling) == (PEER, "OURS")
        assert isinstance(options, SendOptions)
        self.asked += 1
        return self.alive

    def send(self, *uids: str, cancelled: Callable[[], bool] = lambda: False, **options: Any) -> Delivery:
        self.ledger = Ledger()
        made = Delivery(PEER, SendOptions(**options), "OURS", self.ledger, self.pauses.append)
        instances: Any = [
            (
                number,
                SimpleNamespace(
                    sop_class_uid=uid.partition("#")[2] or "1.2", sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT
                ),
            )
            for number, uid in enumerate(uids)
        ]
        made.deliver(instances, cancelled)
        made.finish()
        return made

    def records(self) -> dict[str, InstanceRecord]:
        return {record.sop_instance_uid: record for record in self.ledger.records.values()}

    def outcomes(self) -> list[Outcome]:
        return [record.outcome for _, record in sorted(self.ledger.records.items())]


class FakeLane:
    """Takes from the queue as a lane does."""

    def __init__(self, world: World, peer: Peer, options: SendOptions, calling: str, ledger: Ledger) -> None:
        assert (peer, calling) == (PEER, "OURS")
        assert isinstance(options, SendOptions)
        self.world, self.ledger = world, ledger
        self.is_open = False
        self.ended: list[str] = []
        self.runs = 0
        world.lanes.append(self)

    def run(self, queue: deque[Parcel], contexts: tuple[object, ...], stopped: Callable[[], bool]) -> None:
        world = self.world
        self.runs += 1
        world.rounds.append([parcel.instance.sop_instance_uid for parcel in queue])
        while queue and not stopped():
            if world.no_association:
                kept = len(world.no_association) == 1
                raise world.no_association[0] if kept else world.no_association.pop(0)
            if len(contexts) > world.most_contexts:
                raise PeerUnreachableError("too many contexts")
            parcel = queue.popleft()
            parcel.attempts += 1
            uid = parcel.instance.sop_instance_uid
            if uid in world.poison:
                parcel.problem, parcel.timed_out = "the peer aborted", world.timed_out
                parcel.excused += world.excused
                return
            world.on_store(uid)
            parcel.timed_out = False
            self.ledger.put(parcel.position, parcel.record(Outcome.STORED, "stored"))

    def renew(self) -> None:
        self.ended.append("renew")

    def release(self) -> None:
        self.ended.append("release")

    def abort(self) -> None:
        self.ended.append("abort")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def uids(count: int) -> list[str]:
    return [f"1.{number}" for number in range(count)]


def test_instances_stored_at_once_need_one_round_and_no_pause(world: World) -> None:
    made = world.send(*uids(4))
    assert world.outcomes() == [Outcome.STORED] * 4
    assert world.rounds == [uids(4)]
    assert (world.pauses, world.asked, made.failure) == ([], 0, None)
    assert made.where == PEER.address
    assert [lane.ended for lane in world.lanes] == [["renew", "release"]]
    made.abort()
    assert world.lanes[0].ended[-1] == "abort"


def test_an_instance_that_makes_the_peer_abort_lets_the_others_go_first(world: World) -> None:
    world.poison = {"1.1"}
    made = world.send(*uids(4), attempts=3)
    assert world.outcomes() == [Outcome.STORED, Outcome.FAILED, Outcome.STORED, Outcome.STORED]
    assert world.rounds == [uids(4), ["1.2", "1.3", "1.1"], ["1.1"]]
    lost = world.records()["1.1"]
    assert (lost.attempts, lost.meaning, lost.retryable) == (3, "the peer aborted", True)
    assert (world.pauses, world.asked, made.failure) == ([0.5, 0.5], 0, None)


def test_an_absent_peer_ends_the_sending_after_as_many_rounds_as_attempts(world: World) -> None:
    world.no_association = [PeerUnreachableError("nothing listens")]
    made = world.send(*uids(3), attempts=3)
    assert made.failure is world.no_association[0]
    assert world.pauses == [0.5, 1.0]
    assert world.asked == 1
    assert world.outcomes() == [Outcome.NOT_ATTEMPTED] * 3
    assert {(one.meaning, one.retryable) for one in world.records().values()} == {("nothing listens", True)}


def test_pauses_double_up_to_their_limit_and_begin_anew_with_progress(world: World) -> None:
    world.no_association = [PeerUnreachableError("nothing listens")]
    world.send("1.1", attempts=5, backoff_s=4.0, backoff_limit_s=10.0)
    assert world.pauses == [4.0, 8.0, 10.0, 10.0]


def test_a_refusal_for_good_is_not_tried_again(world: World) -> None:
    world.no_association = [PeerRefusesError("it does not know our title")]
    made = world.send(*uids(2), attempts=3)
    assert made.failure is world.no_association[0]
    assert (world.pauses, world.asked, len(world.rounds)) == ([], 0, 1)
    assert {(one.outcome, one.retryable) for one in world.records().values()} == {(Outcome.NOT_ATTEMPTED, False)}


def test_a_peer_that_comes_back_gets_everything(world: World) -> None:
    def pause(seconds: float) -> None:
        world.pauses.append(seconds)
        world.no_association = world.no_association[:-1]

    world.no_association = [PeerUnreachableError("nothing listens")] * 2
    ledger = world.ledger = Ledger()
    made = Delivery(PEER, SendOptions(attempts=3), "OURS", ledger, pause)
    one: Any = SimpleNamespace(sop_class_uid="1.2", sop_instance_uid="1.1", transfer_syntax_uid=EXPLICIT)
    made.deliver([(0, one)], lambda: False)
    assert world.outcomes() == [Outcome.STORED]
    assert made.failure is None


def test_instances_left_by_a_cancelled_sending_are_retryable(world: World) -> None:
    stored: list[str] = []
    world.on_store = stored.append
    made = world.send(*uids(4), cancelled=lambda: len(stored) == 2)
    assert world.outcomes() == [Outcome.STORED] * 2 + [Outcome.NOT_ATTEMPTED] * 2
    left = world.records()["1.3"]
    assert (left.meaning, left.retryable) == ("cancelled", True)
    assert made.failure is None


def test_a_living_peer_that_refuses_all_gets_each_as_often_as_asked(world: World) -> None:
    world.poison, world.alive = set(uids(6)), True
    made = world.send(*uids(6), "2.1", attempts=2)
    assert world.outcomes() == [Outcome.FAILED] * 6 + [Outcome.STORED]
    assert {record.attempts for record in world.records().values() if record.outcome is Outcome.FAILED} == {2}
    assert world.asked >= 2
    assert made.failure is None


def test_a_peer_that_is_gone_is_not_tried_with_the_rest(world: World) -> None:
    world.poison = set(uids(6))
    made = world.send(*uids(6), attempts=2)
    assert str(made.failure) == f"{PEER.address}: 2 times in a row, the peer aborted"
    assert [record.attempts for _, record in sorted(world.ledger.records.items())] == [1, 1, 0, 0, 0, 0]
    assert [one.value for one in world.outcomes()] == ["failed"] * 2 + ["not_attempted"] * 4
    assert world.asked == 1


def test_a_peer_that_never_answers_is_tried_with_a_few_instances(world: World) -> None:
    many = uids(100)
    world.poison, world.alive, world.timed_out = set(many), True, True
    made = world.send(*many, attempts=2)
    assert made.failure is not None
    tried = [int(uid[2:]) for uid, record in world.records().items() if record.attempts]
    assert len(tried) == 10  # 2 attempts, and 7 for a hundred, in rounds of 2
    assert max(tried) - min(tried) > 50
    world.rounds.clear()


def test_an_excused_attempt_does_not_count(world: World) -> None:
    world.poison, world.alive, world.excused = {"1.0"}, True, True
    stored: list[int] = []

    def cancelled() -> bool:
        stored.append(1)
        return len(stored) > 40

    world.send("1.0", attempts=2, cancelled=cancelled)
    assert world.records()["1.0"].attempts > 2


def test_contexts_are_halved_while_the_peer_refuses_associations(world: World) -> None:
    several = [f"1.{number}#1.2.{number}" for number in range(8)]  # each of a class of its own: two contexts each
    world.most_contexts, world.alive = 4, True
    made = world.send(*several, attempts=2)
    assert world.outcomes() == [Outcome.STORED] * 8
    assert made.failure is None
    assert world.asked >= 1


def test_a_class_whose_association_is_refused_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run, refused = FakeLane.run, list[int]()

    def refusing(self: FakeLane, queue: deque[Parcel], contexts: tuple[Any, ...], stopped: Callable[[], bool]) -> None:
        if any(context.sop_class_uid == "1.2.3" for context in contexts):
            refused.append(len(contexts))
            raise PeerUnreachableError("no association of this kind")
        run(self, queue, contexts, stopped)

    monkeypatch.setattr(FakeLane, "run", refusing)
    world.alive = True
    made = world.send(*(f"1.{number}#1.2.{number}" for number in range(6)), attempts=3)
    assert made.failure is None
    # three rounds with all, then with half of them four (in the first the other half was stored), and three alone
    assert refused == [12] * 3 + [6] * 4 + [2] * 3
    assert world.outcomes() == [*[Outcome.STORED] * 3, Outcome.NOT_ATTEMPTED, *[Outcome.STORED] * 2]
    assert world.records()["1.3#1.2.3"].meaning == "no association of this kind"


def test_a_lane_that_finds_no_room_does_no_harm_while_another_empties_the_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FakeLane.run

    def crowded(
        self: FakeLane, queue: deque[Parcel], contexts: tuple[object, ...], stopped: Callable[[], bool]
    ) -> None:
        if self is world.lanes[1]:
            raise PeerRefusesError("it has as many associations as it allows")
        run(self, queue, contexts, stopped)

    monkeypatch.setattr(FakeLane, "run", crowded)
    made = world.send(*uids(5), associations=2)
    assert world.outcomes() == [Outcome.STORED] * 5
    assert (made.failure, world.pauses) == (None, [])
    assert len(world.lanes) == 2


def test_an_open_association_is_used_before_another_one_is_asked_for(world: World) -> None:
    made = Delivery(PEER, SendOptions(associations=3), "OURS", Ledger(), world.pauses.append)
    world.lanes[1].is_open = True
    used: list[bool] = []
    world.on_store = lambda _uid: used.append(True)
    one: Any = SimpleNamespace(sop_class_uid="1.2", sop_instance_uid="1.1", transfer_syntax_uid=EXPLICIT)
    made.deliver([(0, one)], lambda: False)
    assert used == [True]
    assert [lane.runs for lane in world.lanes] == [0, 1, 0]


def test_an_error_in_one_lane_stops_the_others(world: World) -> None:
    both, stored = threading.Barrier(2), list[str]()

    def store(uid: str) -> None:
        if uid in {"1.0", "1.1"}:
            both.wait(30)
        if uid == "1.0":
            raise ZeroDivisionError
        stored.append(uid)
        time.sleep(0.05)  # the others take ten seconds

    world.on_store = store
    with pytest.raises(ZeroDivisionError):
        world.send(*uids(200), associations=2)
    assert len(stored) < 199
