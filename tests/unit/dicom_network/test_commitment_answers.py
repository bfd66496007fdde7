"""What the answers of a peer that was asked for storage commitment once and again make of the records."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from dcm_processor_service.dicom_network.dimse.commitment import begun, settled
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, StorageCommitment

PEER = Peer(name="PACS", ae_title="PACS", host="pacs", port=104)
A, B = "1.2.3", "1.2.4"
NO_SUCH_INSTANCE = 0x0112
LEFT_OUT = "the peer's commitment leaves it out"
STORED, COMMITTED = (Outcome.STORED, None, ""), (Outcome.COMMITTED, None, "")


def answer(*promised: str, refused: tuple[str, ...] = ()) -> Dataset:
    told = Dataset()
    told.ReferencedSOPSequence = [item(uid) for uid in promised]
    told.FailedSOPSequence = [item(uid) for uid in refused]
    for one in told.FailedSOPSequence:
        one.FailureReason = NO_SUCH_INSTANCE
    return told


def item(uid: str) -> Dataset:
    one = Dataset()
    one.ReferencedSOPInstanceUID = uid
    return one


def told_of(commitment: StorageCommitment) -> dict[str, tuple[Outcome, int | None, str]]:
    return {one.sop_instance_uid: (one.outcome, one.status, one.meaning) for one in commitment.records}


def asked() -> StorageCommitment:
    return begun(PEER, [InstanceRecord(sop_instance_uid=uid, outcome=Outcome.STORED) for uid in (A, B)])


def test_a_refusal_is_told_with_its_reason() -> None:
    first = told_of(settled(asked(), answer(B, refused=(A,))))
    assert first[B] == COMMITTED
    assert first[A][:2] == (Outcome.FAILED, NO_SUCH_INSTANCE)
    assert first[A][2].startswith("stored, but the peer does not commit to keep it: ")


@pytest.mark.parametrize("first", [answer(B, refused=(A,)), answer(B)], ids=["refused", "left out"])
def test_nothing_of_an_earlier_answer_is_left_of_what_is_asked_anew(first: Dataset) -> None:
    again = begun(PEER, settled(asked(), first).records)
    assert again.is_open
    assert told_of(again) == {A: STORED, B: COMMITTED}
    assert told_of(settled(again, answer(A, B))) == {A: COMMITTED, B: COMMITTED}


def test_a_later_answer_takes_no_promise_back_by_leaving_it_out() -> None:
    again = begun(PEER, settled(asked(), answer(B, refused=(A,))).records)
    done = settled(again, answer(A))
    assert done.ok
    assert told_of(done) == {A: COMMITTED, B: COMMITTED}


def test_what_a_later_answer_leaves_out_without_a_promise_is_told() -> None:
    again = begun(PEER, settled(asked(), answer(B, refused=(A,))).records)
    assert told_of(settled(again, answer())) == {A: (Outcome.STORED, None, LEFT_OUT), B: COMMITTED}


def test_a_promise_that_a_later_answer_takes_back_is_gone() -> None:
    again = begun(PEER, settled(asked(), answer(A, B)).records)
    assert told_of(settled(again, answer(A, refused=(B,))))[B][:2] == (Outcome.FAILED, NO_SUCH_INSTANCE)


def test_a_warning_of_the_storing_is_kept() -> None:
    warned = InstanceRecord(
        sop_instance_uid=A, outcome=Outcome.STORED_WITH_WARNING, status=0xB000, meaning="coercion of data elements"
    )
    again = begun(PEER, settled(begun(PEER, [warned]), answer()).records)
    assert (again.records[0].outcome, again.records[0].status) == (Outcome.STORED_WITH_WARNING, 0xB000)
