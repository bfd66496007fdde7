"""The journal of a sending: with two processes at once, and after a process was killed at any point."""

from __future__ import annotations

from datetime import datetime, timezone

from dcm_processor_service.backends.memory import MemoryDataRepository, MemoryStore
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions
from dcm_processor_service.ports import JobKey, run_inline
from dcm_processor_service.session.network.journal import SEGMENT_RECORDS, Journal
from dcm_processor_service.session.network.journal_names import is_journal
from dcm_processor_service.testing import FakePacs, Faults, fake_context
from tests.unit.dicom_network.instances import make_ct

JOB = JobKey("5" * 24, "1" * 24)
KEY = f"sending-{'a' * 32}"


def stored(uid: str, second: int = 0) -> InstanceRecord:
    at = datetime(2025, 1, 2, 3, 4, second, tzinfo=timezone.utc)
    return InstanceRecord(sop_instance_uid=uid, outcome=Outcome.STORED, status=0, attempts=1, completed_at=at)


def journal(store: MemoryStore) -> Journal:
    return Journal(MemoryDataRepository(store), JOB, KEY)


def test_the_next_process_knows_acknowledged_instances() -> None:
    store = MemoryStore()
    first = journal(store)
    uids = [f"1.{number}" for number in range(2 * SEGMENT_RECORDS + 3)]
    for uid in uids:
        run_inline(first.begin([uid]))
        run_inline(first.note(stored(uid)))
    known = run_inline(journal(store).read())
    assert sorted(known) == sorted(uids)
    assert known["1.5"] == stored("1.5")
    assert len(store.values) == 3
    assert all(is_journal(name) for _, name in store.values)


def test_the_last_answer_counts_for_an_instance_that_was_sent_twice() -> None:
    store = MemoryStore()
    for second in (40, 20):
        one = journal(store)
        run_inline(one.note(stored("1.1", second)))
    assert run_inline(journal(store).read())["1.1"] == stored("1.1", 40)


def test_each_acknowledgement_costs_one_write() -> None:
    writes: list[str] = []

    class Counting(MemoryDataRepository):
        async def put(self, key: JobKey, name: str, *rest: object) -> bool:
            writes.append(name)
            return await super().put(key, name, *rest)

    one = Journal(Counting(), JOB, KEY)
    for number in range(50):
        run_inline(one.begin([f"1.{number}", f"1.{number + 1}"]))
        run_inline(one.note(stored(f"1.{number}")))
    assert len(writes) == 51


def test_an_instance_under_way_when_a_process_ended_may_be_held_by_the_peer() -> None:
    store = MemoryStore()
    killed = journal(store)
    run_inline(killed.begin(["1.1"]))
    run_inline(killed.note(stored("1.1")))
    run_inline(killed.begin(["1.2"]))
    after = journal(store)
    run_inline(after.read())
    run_inline(after.begin(["1.3"]))  # what is under way here is not a reason to believe that the peer has it
    assert [run_inline(after.may_hold(uid)) for uid in ("1.1", "1.2", "1.3")] == [True, True, False]


def test_a_refused_or_never_sent_instance_is_not_under_way() -> None:
    store = MemoryStore()
    first = journal(store)
    run_inline(first.begin(["1.1", "1.2", "1.3", "1.4"]))
    refused = InstanceRecord(sop_instance_uid="1.1", outcome=Outcome.REFUSED, status=0x0111, attempts=1)
    unanswered = InstanceRecord(sop_instance_uid="1.2", outcome=Outcome.FAILED, attempts=2)
    for record in (refused, unanswered, InstanceRecord(sop_instance_uid="1.3")):
        run_inline(first.note(record))
    after = journal(store)
    run_inline(after.read())
    assert [run_inline(after.may_hold(f"1.{number}")) for number in range(1, 5)] == [False, True, False, True]


def test_the_journal_is_removed_when_all_is_stored() -> None:
    store = MemoryStore()
    killed = journal(store)
    run_inline(killed.begin(["1.1"]))
    after = journal(store)
    run_inline(after.read())
    run_inline(after.note(stored("1.1")))
    run_inline(after.finish())
    assert not store.values


def test_another_process_that_still_sends_can_ask_for_what_was_stored() -> None:
    store = MemoryStore()
    first, second = journal(store), journal(store)
    for one in (first, second):
        run_inline(one.read())
        run_inline(one.begin(["1.1"]))
    run_inline(first.note(stored("1.1")))
    run_inline(first.finish())
    assert run_inline(second.may_hold("1.1"))
    run_inline(second.note(stored("1.1", 1)))
    run_inline(second.finish())
    assert not store.values


def test_the_next_process_finds_no_journal_after_two_finished_at_once() -> None:
    store = MemoryStore()
    first, second = journal(store), journal(store)
    for one in (first, second):
        run_inline(one.read())
        run_inline(one.note(stored("1.1")))
    for name, value in store.values.items():
        assert isinstance(value, dict)
        store.values[name] = {**value, "finished": True}
    after = journal(store)
    assert run_inline(after.read()) == {}
    assert not run_inline(after.may_hold("1.1"))
    assert not store.values


def test_a_journal_is_no_data_of_the_job_and_can_be_overruled() -> None:
    ctx = fake_context()
    ctx.session.data["own"] = 1
    unchecked = SendOptions(check=False)
    series = [make_ct(number) for number in range(3)]
    with FakePacs(Faults(status=0xC000, status_after=2, status_times=1)) as pacs:
        assert not ctx.session.dicom.send(series, to=pacs.peer, options=unchecked).ok
        assert ctx.session.data.keys() == ["own"]
        assert ctx.session.data.items() == [("own", 1)]
        again = ctx.session.dicom.send(series, to=pacs.peer, options=unchecked.model_copy(update={"resend": True}))
    assert again.ok
    assert len(pacs.arrivals) == 5


def test_a_name_that_only_looks_like_a_journals_is_the_jobs_own() -> None:
    assert not is_journal("sending-results")
    assert not is_journal(f"sending-{'a' * 32}")
    assert is_journal(f"sending-{'0a' * 16}/x")
