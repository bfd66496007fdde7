"""One lane over fake associations: which instance is blamed for an end, and when another association is opened."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.dimse import command_set, lane
from dcm_processor_service.dicom_network.dimse.association import AssociationLostError
from dcm_processor_service.dicom_network.dimse.lane import Lane
from dcm_processor_service.dicom_network.dimse.negotiation import Agreement, ProposedContext
from dcm_processor_service.dicom_network.parcels import Ledger, Parcel
from dcm_processor_service.dicom_network.planning import Kind
from dcm_processor_service.dicom_network.sources import UnreadableInstanceError
from dcm_processor_service.errors import PeerUnreachableError, UnsupportedTransferSyntaxError
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)
CONTEXTS = (ProposedContext("1.2", (EXPLICIT,)), ProposedContext("1.2", (IMPLICIT,)))


class FakeAssociation:
    """A fake association that answers with prepared commands."""

    def __init__(self, world: World, contexts: tuple[ProposedContext, ...]) -> None:
        self.world = world
        self.over = False
        self.ended = ""
        self.agreed = {
            2 * number + 1: Agreement(one, one.transfer_syntax_uids[0] if world.takes(one) else "", "no")
            for number, one in enumerate(contexts)
        }

    def is_over(self) -> bool:
        return self.over

    def release(self) -> None:
        self.ended = "released"

    def abort(self) -> None:
        self.ended = "aborted"

    def request(
        self, context_id: int, encode: Callable[[int], bytes], content: Callable[[int], Iterator[bytes]]
    ) -> command_set.CommandSet:
        asked = command_set.decode(encode(7))
        self.world.sent.append((context_id, command_set.uid(asked, command_set.AFFECTED_SOP_INSTANCE_UID)))
        b"".join(content(1024))
        said = self.world.answers.pop(0) if self.world.answers else 0
        if isinstance(said, Exception):
            raise said
        answer = command_set.decode(command_set.c_store_rsp(asked, said or 0))
        if said is None:
            del answer[command_set.STATUS]
        return answer


class FakeInstance:
    """An instance of a few bytes."""

    sop_class_uid = "1.2"
    transfer_syntax_uid = EXPLICIT

    def __init__(self, uid: str) -> None:
        self.sop_instance_uid = uid
        self.fault: Exception | None = None
        self.opened: list[str] = []
        self.files: list[io.BytesIO] = []
        self.looked_at = 0

    def require_sound(self) -> None:
        self.looked_at += 1

    def open_file(self, transfer_syntax_uid: str) -> BinaryIO:
        self.opened.append(transfer_syntax_uid)
        if self.fault is not None:
            raise self.fault
        self.files.append(io.BytesIO(b"content"))
        return self.files[-1]

    def read(self, file: BinaryIO, _piece_bytes: int) -> Iterator[bytes]:
        yield file.read()


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[int | Exception | None] = []
        self.associations: list[FakeAssociation] = []
        self.no_association: Exception | None = None
        self.takes: Callable[[ProposedContext], bool] = lambda _context: True
        self.sent: list[tuple[int, str]] = []
        self.begun: list[list[str]] = []
        self.ledger = Ledger(on_begin=lambda uids: self.begun.append(list(uids)))
        self.options = SendOptions(attempts=2)
        monkeypatch.setattr(lane, "open_association", self._open)
        self.lane = Lane(PEER, self.options, "OURS", self.ledger)

    def _open(self, peer: Peer, contexts: tuple[ProposedContext, ...], options: SendOptions, calling: str) -> Any:
        assert (peer, options, calling) == (PEER, self.options, "OURS")
        if self.no_association is not None:
            raise self.no_association
        self.associations.append(FakeAssociation(self, contexts))
        return self.associations[-1]

    def run(self, *parcels: Parcel, contexts: tuple[ProposedContext, ...] = CONTEXTS) -> deque[Parcel]:
        queue = deque(parcels)
        self.lane.run(queue, contexts, lambda: False)
        return queue

    def record(self, parcel: Parcel) -> InstanceRecord:
        return self.ledger.records[parcel.position]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def parcels(count: int, **kind: Any) -> list[Parcel]:
    instances: list[Any] = [FakeInstance(f"1.{number}") for number in range(count)]
    return [Parcel(number, one, Kind("1.2", EXPLICIT, **kind)) for number, one in enumerate(instances)]


def instance_of(parcel: Parcel) -> Any:
    return parcel.instance


def test_all_go_over_one_association_and_each_is_announced_with_the_next(world: World) -> None:
    three = parcels(3)
    states = [world.lane.is_open]
    assert world.run(*three) == deque()
    assert [*states, world.lane.is_open] == [False, True]
    assert world.sent == [(1, "1.0"), (1, "1.1"), (1, "1.2")]
    assert world.begun == [["1.0", "1.1"], ["1.1", "1.2"], ["1.2"]]
    assert [world.record(one).outcome for one in three] == [Outcome.STORED] * 3
    assert [(one.attempts, one.status, one.checksum[-2:]) for one in three] == [(1, 0, "-7")] * 3
    assert [instance_of(one).looked_at for one in three] == [1, 0, 0]  # before an association is opened for it
    assert all(file.closed for one in three for file in instance_of(one).files)
    assert len(world.associations) == 1
    world.lane.renew()
    assert world.associations[0].ended == ""
    world.lane.release()
    assert (world.associations[0].ended, world.lane.is_open) == ("released", False)


@pytest.mark.parametrize("by_end", [True, False])
def test_an_end_before_the_first_answer_is_the_fault_of_the_instance(world: World, *, by_end: bool) -> None:
    (first, second) = parcels(2)
    world.answers = [AssociationLostError("it closed", by_end=by_end)]
    assert world.run(first, second) == deque([second])
    assert (first.attempts, first.counted, first.unacknowledged, first.problem) == (1, 1, True, "it closed")
    assert not first.timed_out
    assert not world.lane.is_open


def test_an_end_after_an_answer_is_excused_and_an_abort_or_a_time_out_is_not(world: World) -> None:
    losses = [
        (AssociationLostError("it closed", by_end=True), 0, False),
        (AssociationLostError("it aborted"), 1, False),
        (AssociationLostError("no answer", timed_out=True), 1, True),
    ]
    for loss, counted, timed_out in losses:
        first, second = parcels(2)
        world.answers = [0, loss]
        world.run(first, second)
        assert (second.attempts, second.counted, second.timed_out) == (1, counted, timed_out)
        assert second.unacknowledged
        # the next association begins anew: what is at fault itself is the first one of it
        world.answers = [AssociationLostError("it closed", by_end=True)]
        world.run(second)
        assert (second.attempts, second.counted, second.timed_out) == (2, counted + 1, False)
    assert len(world.associations) == 6


def test_an_association_is_kept_where_it_fits_and_opened_anew_where_it_does_not(world: World) -> None:
    one, two, three, four = parcels(4)
    world.run(one)
    world.run(two, contexts=CONTEXTS[:1])  # less than was proposed
    assert len(world.associations) == 1
    world.run(three, contexts=(*CONTEXTS, ProposedContext("1.3", (EXPLICIT,))))
    assert (len(world.associations), world.associations[0].ended) == (2, "released")
    world.associations[1].over = True
    world.run(four)
    assert (len(world.associations), world.associations[1].ended) == (3, "")
    assert len(world.sent) == 4


def test_without_an_association_nothing_of_the_queue_is_lost(world: World) -> None:
    first, second = parcels(2)
    queue = deque([first, second])
    world.no_association = PeerUnreachableError("nothing listens")
    with pytest.raises(PeerUnreachableError, match="nothing listens"):
        world.lane.run(queue, CONTEXTS, lambda: False)
    assert queue == deque([first, second])
    assert (first.attempts, world.ledger.records, world.begun) == (0, {}, [])


def test_a_temporary_failure_is_tried_again_over_a_new_association(world: World) -> None:
    (one,) = parcels(1)
    world.answers = [0xA700, 0xA700]
    world.run(one)
    assert world.ledger.records == {}
    assert (one.status, one.problem) == (0xA700, "the peer is out of resources; try again later")
    world.lane.renew()
    assert world.associations[0].ended == "released"
    world.run(one)
    record = world.record(one)
    assert (record.outcome, record.status, record.retryable, record.attempts) == (Outcome.FAILED, 0xA700, True, 2)
    assert len(world.associations) == 2


def test_a_refusal_is_for_good_and_names_the_elements(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = parcels(1)
    world.answers = [0xC000]
    monkeypatch.setattr(command_set, "offending_elements", lambda _command: "(0010,0010)")
    world.run(one)
    record = world.record(one)
    assert (record.outcome, record.status, record.retryable) == (Outcome.REFUSED, 0xC000, False)
    assert record.meaning.endswith("see the peer's log (0010,0010)")
    assert record.checksum == ""


def test_an_answer_without_a_status_ends_the_association(world: World) -> None:
    (one,) = parcels(1)
    world.answers = [None]
    world.run(one)
    assert (world.associations[0].ended, world.lane.is_open) == ("aborted", False)
    assert (one.problem, one.unacknowledged) == ("the peer answered without a status", True)
    assert world.ledger.records == {}


def test_a_duplicate_that_may_be_ours_counts_as_stored(world: World) -> None:
    (one,) = parcels(1)
    world.answers = [AssociationLostError("no answer", timed_out=True), 0x0111]
    world.run(one)
    world.run(one)
    record = world.record(one)
    assert (record.outcome, record.meaning) == (Outcome.STORED_WITH_WARNING, "stored by an earlier attempt")


def test_an_instance_that_cannot_be_opened_costs_no_association(world: World) -> None:
    first, second, third = parcels(3)
    instance_of(first).fault = UnreadableInstanceError("cut off")
    instance_of(second).fault = UnsupportedTransferSyntaxError("it has no codec")
    world.run(first, second, third)
    assert (world.record(first).outcome, world.record(first).meaning) == (Outcome.FAILED, "cut off")
    assert world.record(second).outcome is Outcome.REFUSED
    assert world.record(third).outcome is Outcome.STORED
    assert len(world.associations) == 1
    assert world.sent == [(1, "1.2")]


def test_an_instance_sent_in_half_ends_its_association(world: World) -> None:
    first, second = parcels(2)
    world.answers = [UnreadableInstanceError("it went away")]
    world.run(first, second)
    assert (world.record(first).outcome, world.record(first).attempts) == (Outcome.FAILED, 1)
    assert world.record(second).outcome is Outcome.STORED
    assert len(world.associations) == 2


def test_a_refused_syntax_is_converted_or_compressed_in_the_next_round(world: World) -> None:
    (one,) = parcels(1)
    world.takes = lambda context: context.transfer_syntax_uids == (IMPLICIT,)
    world.run(one)
    assert instance_of(one).opened == [IMPLICIT]
    assert world.record(one).transcoded_from == EXPLICIT
    (two,) = parcels(1)
    world.takes = lambda _context: False
    world.lane.release()
    world.ledger.records.clear()
    world.run(two)
    assert two.kind.recompress
    assert world.ledger.records == {}
    world.lane.renew()
    assert world.associations[-1].ended == "released"
    world.run(two)
    assert (world.record(two).outcome, world.record(two).meaning) == (Outcome.REFUSED, "no")


def test_an_instance_that_cannot_be_converted_to_the_preferred_syntax_goes_as_it_is(world: World) -> None:
    (one,) = parcels(1, preferred=IMPLICIT)
    failing = instance_of(one)
    open_file = failing.open_file

    def opening(syntax: str) -> BinaryIO:
        failing.fault = UnsupportedTransferSyntaxError("no") if syntax == IMPLICIT else None
        file: BinaryIO = open_file(syntax)
        return file

    failing.open_file = opening
    world.run(one)
    assert failing.opened == [IMPLICIT, EXPLICIT]
    assert world.record(one).outcome is Outcome.STORED
    assert one.kind.preferred == ""


def test_an_association_that_ended_while_an_instance_was_converted_is_opened_anew(world: World) -> None:
    (one,) = parcels(1)
    world.takes = lambda context: context.transfer_syntax_uids == (IMPLICIT,)
    slow = instance_of(one)
    open_file = slow.open_file

    def opening(syntax: str) -> BinaryIO:
        world.associations[-1].over = len(world.associations) == 1
        world.takes = lambda _context: True  # another word than just now
        file: BinaryIO = open_file(syntax)
        return file

    slow.open_file = opening
    world.run(one)
    assert slow.opened == [IMPLICIT, EXPLICIT]
    assert [file.closed for file in slow.files] == [True, True]
    assert world.record(one).outcome is Outcome.STORED
    assert world.record(one).transcoded_from == ""
    assert len(world.associations) == 2


def test_a_lane_that_is_stopped_takes_no_more(world: World) -> None:
    queue = deque(parcels(2))
    world.lane.run(queue, CONTEXTS, lambda: len(world.sent) == 1)
    assert len(queue) == 1
    world.lane.abort()
    assert (world.associations[0].ended, world.lane.is_open) == ("aborted", False)
    world.lane.abort()
    world.lane.release()


def test_an_error_of_ours_leaves_the_instance_in_the_queue(world: World) -> None:
    first, second = parcels(2)
    queue = deque([first, second])
    world.answers = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        world.lane.run(queue, CONTEXTS, lambda: False)
    assert queue == deque([first, second])
