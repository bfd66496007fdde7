from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dcm_processor_service import codec
from dcm_processor_service.models import InstanceRecord, Outcome, Peer, SendReport
from dcm_processor_service.session.network.sending import journal_key

PEER = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104)
records = st.builds(
    InstanceRecord,
    sop_instance_uid=st.integers(1, 20).map(lambda number: f"1.2.{number}"),
    outcome=st.sampled_from(Outcome),
    status=st.none() | st.integers(0, 0xFFFF),
    attempts=st.integers(0, 3),
    completed_at=st.just(datetime(2025, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)),
)


@given(st.lists(records))
def test_ok_means_that_everything_is_stored(found: list[InstanceRecord]) -> None:
    report = SendReport(records=tuple(found))
    assert report.ok == (report.stored == len(found)) == (not report.not_stored)
    assert sum(report.count(outcome) for outcome in Outcome) == len(found)


def test_the_text_groups_what_went_wrong_and_names_few_instances() -> None:
    refused = [
        InstanceRecord(sop_instance_uid=f"1.2.{number}", outcome=Outcome.REFUSED, status=0x0122, meaning="no")
        for number in range(5)
    ]
    report = SendReport(peer="PACS@h:1", records=(*refused, InstanceRecord(sop_instance_uid="9")), duration_s=2.04)
    assert str(report).splitlines() == [
        "0 of 6 instances stored at PACS@h:1 in 2.0 s",
        "  5 refused: 0122 no (1.2.0, 1.2.1, 1.2.2, …)",
        "  1 not attempted (9)",
    ]


@given(st.lists(records))
def test_a_journal_keeps_records_as_they_are(found: list[InstanceRecord]) -> None:
    kept = codec.to_normal([record.model_dump(mode="json", exclude_defaults=True) for record in found])
    assert TypeAdapter(list[InstanceRecord]).validate_python(kept) == found


@given(st.lists(st.text("0123456789.", min_size=1), max_size=8), st.randoms(use_true_random=False))
def test_the_key_is_that_of_the_set_of_instances(uids: list[str], random: object) -> None:
    shuffled = [*uids, *uids]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert journal_key(PEER, uids) == journal_key(PEER, shuffled)


def test_another_peer_or_other_instances_have_another_key() -> None:
    other = PEER.model_copy(update={"port": 105})
    keys = {journal_key(peer, uids) for peer in (PEER, other) for uids in ([], ["1.2"], ["1", "2"], ["12"])}
    assert len(keys) == 8
