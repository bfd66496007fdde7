"""The verification of acknowledged instances by the peer's list, and how often the peer is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset

from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError
from dcm_processor_service.dicom_network.sources import Outgoing, survey
from dcm_processor_service.dicom_network.verification import (
    COMPARED,
    Held,
    Identity,
    SeriesKey,
    held,
    identity_of,
    verify,
)
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import InstanceRecord, Outcome, SendOptions
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FIRST, SECOND = SeriesKey("1", "1.1"), SeriesKey("1", "1.2")
VALUES = {"ContentDate": "20240131", "ContentTime": "101500.5", "InstanceNumber": "7", "NumberOfFrames": ""}


def record(number: int) -> InstanceRecord:
    return InstanceRecord(sop_instance_uid=f"1.{number}", outcome=Outcome.STORED, meaning="stored", attempts=1)


class Listing:
    """A fake peer that lists more instances each time it is asked."""

    def __init__(self, *lists: dict[SeriesKey, Held] | Exception) -> None:
        self.lists = list(lists)
        self.asked: list[set[SeriesKey]] = []
        self.pauses: list[float] = []

    def __call__(self, series: Iterable[SeriesKey], /) -> dict[SeriesKey, Held]:
        self.asked.append(set(series))
        told = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(told, Exception):
            raise told
        return told

    def verify(self, *keys: SeriesKey | None, **options: float) -> dict[int, InstanceRecord]:
        identities = {number: None if key is None else Identity(key, VALUES) for number, key in enumerate(keys)}
        records = {number: record(number) for number in range(len(keys))}
        chosen = SendOptions.model_validate({"attempts": 3, **options})
        return verify(records, identities, self, chosen, self.pauses.append)


def test_a_listed_instance_is_verified_at_once() -> None:
    peer = Listing({FIRST: {"1.0": VALUES}, SECOND: {"1.1": {}}})
    found = peer.verify(FIRST, SECOND)
    assert found == {
        number: record(number).model_copy(update={"outcome": Outcome.VERIFIED, "meaning": "stored"})
        for number in range(2)
    }
    assert peer.asked == [{FIRST, SECOND}]
    assert peer.pauses == []


def test_unlisted_instances_are_asked_for_again_with_longer_pauses() -> None:
    peer = Listing({FIRST: {"1.0": VALUES}}, {}, {SECOND: {"1.1": VALUES}})
    found = peer.verify(FIRST, SECOND, attempts=5, backoff_s=2.0)
    assert [one.outcome for one in found.values()] == [Outcome.VERIFIED] * 2
    assert peer.asked == [{FIRST, SECOND}, {SECOND}, {SECOND}]
    assert peer.pauses == [2.0, 4.0]


def test_an_instance_that_is_never_listed_fails_and_is_retryable() -> None:
    peer = Listing({FIRST: {"1.9": VALUES}})
    (found,) = peer.verify(FIRST, attempts=4, backoff_s=2.0, backoff_limit_s=3.0).values()
    assert (found.outcome, found.retryable) == (Outcome.FAILED, True)
    assert found.meaning == "acknowledged, but the peer does not list it: send it again"
    assert peer.pauses == [2.0, 3.0, 3.0]
    assert len(peer.asked) == 4


@pytest.mark.parametrize("keyword", ["ContentDate", "ContentTime", "InstanceNumber"])
def test_another_instance_under_the_uid_is_reported_by_attribute_without_values(keyword: str) -> None:
    peer = Listing({FIRST: {"1.0": VALUES | {keyword: "8"}}})
    (found,) = peer.verify(FIRST).values()
    assert (found.outcome, found.retryable) == (Outcome.FAILED, False)
    assert found.meaning.startswith(
        f"the peer holds another instance under this UID: it differs in {keyword}; remove it"
    )
    assert len(peer.asked) == 1


def test_an_attribute_that_the_peer_leaves_out_does_not_differ() -> None:
    peer = Listing({FIRST: {"1.0": {"ContentDate": "", "Rows": "512"}}})
    (found,) = peer.verify(FIRST).values()
    assert found.outcome is Outcome.VERIFIED


def test_a_file_that_is_gone_is_not_verified_and_stays_stored() -> None:
    peer = Listing({FIRST: {"1.1": VALUES}})
    unread, good = peer.verify(None, FIRST).values()
    assert (unread.outcome, unread.retryable) == (Outcome.STORED, False)
    assert unread.meaning == "stored; not verified: its file cannot be read any more"
    assert good.outcome is Outcome.VERIFIED
    assert peer.asked == [{FIRST}]


@pytest.mark.parametrize("error", [NotAnsweredError("no query"), PeerUnreachableError("gone")])
def test_a_peer_that_does_not_answer_leaves_records_as_stored(error: Exception) -> None:
    peer = Listing({FIRST: {"1.0": VALUES}}, error)
    first, second = peer.verify(FIRST, SECOND).values()
    assert first.outcome is Outcome.VERIFIED
    assert (second.outcome, second.meaning) == (Outcome.STORED, f"stored; not verified: {error}")


def answer(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in {"SOPInstanceUID": "1.0", **values}.items():
        setattr(dataset, keyword, value)
    return dataset


def test_answers_about_another_series_or_study_say_nothing() -> None:
    told = held(
        [
            answer(SOPInstanceUID="1.0"),
            answer(SOPInstanceUID="1.1", StudyInstanceUID="1", SeriesInstanceUID="1.1"),
            answer(SOPInstanceUID="1.2", StudyInstanceUID="1", SeriesInstanceUID="1.2"),
            answer(SOPInstanceUID="1.3", StudyInstanceUID="2", SeriesInstanceUID="1.1"),
        ],
        FIRST,
    )
    assert set(told) == {"1.0", "1.1"}


@pytest.mark.parametrize(
    ("one", "same"), [("101500.500000", "101500.5"), ("101500.000", "101500"), ("101500", "101500")]
)
def test_times_are_compared_without_the_zeros_at_their_end(one: str, same: str) -> None:
    (told,) = held([answer(ContentTime=one, ContentDate="20240131", InstanceNumber="7", Rows=512)], FIRST).values()
    assert told["ContentTime"] == same
    assert (told["ContentDate"], told["InstanceNumber"], told["Rows"]) == ("20240131", "7", "512")
    assert set(told) == set(COMPARED)
    assert (told["Columns"], told["NumberOfFrames"]) == ("", "")


@pytest.mark.parametrize("of_file", [True, False])
def test_an_instance_is_asked_about_by_its_own_header(tmp_path: Path, *, of_file: bool) -> None:
    dataset = make_ct(rows=8)
    source = write_series(tmp_path, 1, rows=8)[0] if of_file else dataset
    (one,) = survey(source)
    assert isinstance(one, Outgoing)
    identity = identity_of(one)
    assert identity is not None
    assert identity.series == SeriesKey(dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert identity.values == {
        "ContentDate": "",
        "ContentTime": "",
        "InstanceNumber": "1",
        "NumberOfFrames": "",
        "Rows": "8",
        "Columns": "8",
    }
    if of_file:
        write_series(tmp_path, 1)[0].unlink()
        assert identity_of(one) is None
