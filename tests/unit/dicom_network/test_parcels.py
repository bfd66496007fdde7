"""Instances that are being sent: their records, further attempts, and duplicates that count as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dcm_processor_service.dicom_network.parcels import Ledger, Parcel, why_unsendable
from dcm_processor_service.dicom_network.planning import Choice, Kind
from dcm_processor_service.dicom_network.repeats import Repeats, conflicting, is_what_was_sent
from dcm_processor_service.dicom_network.sources import Outgoing, UnreadableInstanceError, survey
from dcm_processor_service.dicom_network.status import DUPLICATE_SOP_INSTANCE, explain
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.models import InstanceRecord, Outcome
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pathlib import Path

EXPLICIT, IMPLICIT, J2K = map(str, (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless))
UID = "1.2.3"
DUPLICATE = explain(DUPLICATE_SOP_INSTANCE)


def outgoing(seed: int = 0, *, uid: str = UID, rows: int = 8) -> Outgoing:
    dataset = make_ct(seed, rows=rows)
    dataset.SOPInstanceUID = uid
    (one,) = survey(dataset)
    assert isinstance(one, Outgoing)
    return one


def parcel(**values: Any) -> Parcel:
    instance = outgoing()
    return Parcel(5, instance, Kind(instance.sop_class_uid, instance.transfer_syntax_uid), **values)


def stored(uid: str = UID, checksum: str = "aa-1", **values: Any) -> InstanceRecord:
    return InstanceRecord(sop_instance_uid=uid, outcome=Outcome.STORED, checksum=checksum, **values)


def test_a_record_tells_all_that_happened() -> None:
    sent = parcel(attempts=3, duration_s=1.5, status=0, checksum="aa-1")
    record = sent.record(Outcome.STORED, "stored", Choice(1, IMPLICIT))
    assert (record.sop_class_uid, record.sop_instance_uid) == (sent.instance.sop_class_uid, UID)
    assert (record.outcome, record.status, record.meaning) == (Outcome.STORED, 0, "stored")
    assert (record.transfer_syntax_uid, record.transcoded_from) == (IMPLICIT, EXPLICIT)
    assert (record.checksum, record.attempts, record.duration_s, record.retryable) == ("aa-1", 3, 1.5, False)
    assert record.completed_at is not None
    assert record.completed_at.tzinfo is not None


def test_an_unconverted_record_says_so_and_an_unstored_one_has_no_checksum() -> None:
    as_it_is = parcel(status=0xC000, checksum="aa-1").record(Outcome.REFUSED, "no", Choice(1, EXPLICIT), retryable=True)
    assert (as_it_is.transfer_syntax_uid, as_it_is.transcoded_from) == (EXPLICIT, "")
    assert (as_it_is.checksum, as_it_is.retryable) == ("", True)
    never = parcel().record(Outcome.REFUSED, "no")
    assert (never.transfer_syntax_uid, never.transcoded_from, never.completed_at) == ("", "", None)


@pytest.mark.parametrize(
    ("values", "counted"),
    [({"attempts": 3}, 3), ({"attempts": 3, "excused": 1}, 2), ({"attempts": 3, "excused": 2, "denied": 4}, 5)],
)
def test_attempts_that_are_excused_do_not_count_and_denied_associations_do(
    values: dict[str, int], counted: int
) -> None:
    assert parcel(**values).counted == counted


def test_an_untried_instance_is_not_attempted_and_a_tried_one_failed() -> None:
    never = parcel().give_up("cancelled", retryable=False)
    assert (never.outcome, never.meaning, never.retryable) == (Outcome.NOT_ATTEMPTED, "cancelled", False)
    tried = parcel(attempts=1, problem="no answer").give_up("cancelled")
    assert (tried.outcome, tried.meaning, tried.retryable) == (Outcome.FAILED, "no answer", True)


def test_an_instance_that_cannot_be_opened_is_refused_or_failed_with_the_reason() -> None:
    cannot = UnsupportedTransferSyntaxError("it cannot be converted")
    assert why_unsendable(cannot) == (
        Outcome.REFUSED,
        "the peer does not accept its transfer syntax, and it cannot be converted",
    )
    unreadable = parcel().unsendable(UnreadableInstanceError("cut off"))
    assert (unreadable.outcome, unreadable.meaning, unreadable.retryable) == (Outcome.FAILED, "cut off", False)


def test_a_ledger_keeps_the_last_record_of_a_place_and_the_first_acknowledged_of_a_uid() -> None:
    told: list[InstanceRecord] = []
    begun: list[list[str]] = []
    ledger = Ledger(told.append, lambda uids: begun.append(list(uids)))
    failed = InstanceRecord(sop_instance_uid=UID, outcome=Outcome.FAILED)
    first, second = stored(), stored(checksum="bb-2")
    for record in (failed, first, second):
        ledger.put(7, record)
    ledger.begin([UID, "1.2.4"])
    assert told == [failed, first, second]
    assert ledger.records == {7: second}
    assert ledger.acknowledged == {UID: first}
    assert begun == [[UID, "1.2.4"]]
    silent = Ledger()
    silent.put(1, first)
    silent.begin([UID])
    assert silent.records == {1: first}


@pytest.mark.parametrize(
    ("before", "sent", "unacknowledged", "ours", "meaning"),
    [
        ("", "aa-1", True, False, "stored by an earlier attempt"),
        ("", "aa-1", False, True, "stored by another of our sendings, which was cut off or ran at the same time; "),
        ("aa-1", "aa-1", False, False, "stored before, because it was given twice"),
        ("aa-1", "aa-1", False, True, "stored before, because it was given twice"),
        ("aa-1", "bb-2", False, False, ""),
        ("none", "", False, False, ""),
        ("", "aa-1", False, False, ""),
    ],
)
def test_a_duplicate_counts_as_ours_only_if_it_may_be_ours(
    before: str, sent: str, meaning: str, *, unacknowledged: bool, ours: bool
) -> None:
    asked: list[str] = []

    def may_hold(uid: str) -> bool:
        asked.append(uid)
        return ours

    ledger = Ledger(may_hold=may_hold)
    if before:
        ledger.put(1, stored(checksum="" if before == "none" else before))
    told = ledger.explain_duplicate(parcel(checksum=sent, unacknowledged=unacknowledged), DUPLICATE)
    if meaning:
        assert told.outcome is Outcome.STORED_WITH_WARNING
        assert told.meaning.startswith(meaning)
        assert told.code == DUPLICATE_SOP_INSTANCE
    else:
        assert told == DUPLICATE
        assert told.outcome is Outcome.REFUSED
    assert asked == ([] if unacknowledged else [UID])


def test_two_instances_of_one_uid_may_be_sent_only_if_they_are_equal() -> None:
    repeats = Repeats(Ledger())
    assert not repeats.differs(outgoing())
    repeats.comes(outgoing())
    assert not repeats.differs(outgoing())
    assert repeats.differs(outgoing(1))
    assert not repeats.differs(outgoing(1, uid="1.2.4"))
    repeats.comes(outgoing(1))  # the first counts
    assert not repeats.differs(outgoing())
    repeats.forget()
    assert not repeats.differs(outgoing(1))


def test_an_acknowledged_instance_is_compared_in_the_syntax_in_which_it_was_sent() -> None:
    ledger = Ledger()
    ledger.put(0, stored(checksum=outgoing().checksum(IMPLICIT), transfer_syntax_uid=IMPLICIT))
    repeats = Repeats(ledger)
    assert not repeats.differs(outgoing())
    assert repeats.differs(outgoing(1))


def test_a_record_without_a_checksum_says_nothing_of_the_content() -> None:
    assert is_what_was_sent(outgoing(), stored(checksum=""))
    known = stored(checksum=outgoing().checksum(EXPLICIT), transfer_syntax_uid=EXPLICIT)
    assert is_what_was_sent(outgoing(), known)
    assert not is_what_was_sent(outgoing(1), known)
    assert not is_what_was_sent(outgoing(), known.model_copy(update={"transfer_syntax_uid": "1.2.840.10008.1.2.4.100"}))


def test_an_unreadable_instance_does_not_count_as_different(tmp_path: Path) -> None:
    repeats, path = Repeats(Ledger()), tmp_path / "other.dcm"
    other = make_ct(1, rows=8)
    other.SOPInstanceUID = UID
    other.save_as(path, enforce_file_format=True)
    (second,) = survey(path)
    assert isinstance(second, Outgoing)
    repeats.comes(outgoing())
    assert repeats.differs(second)
    path.unlink()
    assert not repeats.differs(second)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unreadable_instance_does_not_hide_that_others_of_its_uid_differ(tmp_path: Path, place: int) -> None:
    path = tmp_path / "unreadable.dcm"
    dataset = make_ct(rows=8)
    dataset.SOPInstanceUID = UID
    dataset.save_as(path, enforce_file_format=True)
    (unreadable,) = survey(path)
    path.unlink()
    found: list[object] = [outgoing(), outgoing(1)]
    found.insert(place, unreadable)
    assert conflicting(found) == {UID}
    assert conflicting([unreadable, outgoing(), outgoing()]) == frozenset()
