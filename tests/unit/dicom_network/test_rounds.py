"""Instances that a fetch asks for again because they are missing, and series that it gives up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.dicom_network.dimse.connection import PeerRefusesError
from dcm_processor_service.dicom_network.dimse.pdu_stream import AssociationLostError
from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError, TooManyAnswersError
from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
from dcm_processor_service.dicom_network.retrieval.levels import ask_by_levels
from dcm_processor_service.dicom_network.retrieval.outcome import records_of
from dcm_processor_service.dicom_network.retrieval.rounds import Ending, NotOfferedError, Rounds
from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries, Wish, wish_for
from dcm_processor_service.errors import PeerUnreachableError
from dcm_processor_service.models import (
    FetchOptions,
    FetchOutcome,
    FetchRecord,
    FindQuery,
    FoundInstance,
    FoundSeries,
    FoundStudy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


def series(uid: str = "1.1", count: int = 3, **values: Any) -> WantedSeries:
    listed = {f"{uid}.{number}": "1.2.840" for number in range(count)}
    return WantedSeries("1", uid, "4711", listed=listed, **values)


class World:
    """A fake peer that sends prepared instances and answers."""

    def __init__(self, folder: Path, *wanted: WantedSeries, **options: Any) -> None:
        self.wanted = list(wanted)
        self.inbox = Inbox(folder, wanted)
        self.sends: list[list[str]] = []
        """The instances that arrive with each request, in order."""
        self.answers: list[Ending | Exception | None] = []
        self.opening: list[Exception | None] = []
        self.asked: list[tuple[str, list[str]]] = []
        self.classes: list[frozenset[str]] = []
        self.pauses: list[float] = []
        self.cancelled = False
        chosen = FetchOptions.model_validate({"attempts": 3, **options})
        self.rounds = Rounds(self.inbox, self._open, chosen, self.pauses.append, lambda: self.cancelled)

    @contextmanager
    def _open(self, classes: frozenset[str]) -> Iterator[World]:
        self.classes.append(classes)
        error = self.opening.pop(0) if self.opening else None
        if error is not None:
            raise error
        yield self

    def ask(self, one: WantedSeries, sop_instance_uids: Sequence[str] = ()) -> Ending:
        self.asked.append((one.series_instance_uid, list(sop_instance_uids)))
        for uid in self.sends.pop(0) if self.sends else []:
            self.inbox._note(
                FetchRecord(
                    study_instance_uid="1",
                    series_instance_uid=one.series_instance_uid,
                    sop_instance_uid=uid,
                    outcome=FetchOutcome.FETCHED,
                )
            )
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer or Ending()

    def run(self) -> World:
        self.rounds.run(self.wanted)
        return self


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    return lambda *wanted, **options: World(tmp_path, *wanted, **options)


ALL = ["1.1.0", "1.1.1", "1.1.2"]


def test_a_series_that_comes_at_once_is_asked_for_once(world: Callable[..., World]) -> None:
    peer = world(series())
    peer.sends = [ALL]
    peer.run()
    assert peer.asked == [("1.1", [])]
    assert (peer.pauses, peer.inbox.problems, peer.rounds.not_offered) == ([], {}, None)
    assert peer.classes == [frozenset({"1.2.840"})]


def test_missing_instances_are_asked_for_by_uid_and_a_fruitful_round_costs_no_attempt(
    world: Callable[..., World],
) -> None:
    peer = world(series(), attempts=1)
    peer.sends = [[uid] for uid in ALL]
    peer.run()
    assert peer.asked == [("1.1", []), ("1.1", ["1.1.1", "1.1.2"]), ("1.1", ["1.1.2"])]
    assert peer.pauses == []


def test_a_series_that_does_not_come_is_asked_for_as_often_as_there_are_attempts(world: Callable[..., World]) -> None:
    peer = world(series(), attempts=4, backoff_s=2.0).run()
    assert len(peer.asked) == 4
    assert peer.pauses == [2.0, 4.0, 8.0]


def test_a_permanently_refused_series_is_asked_for_once(world: Callable[..., World]) -> None:
    peer = world(series(), series("1.2"))
    peer.answers = [Ending("A900 no", retryable=False), None]
    peer.sends = [[], ["1.2.0", "1.2.1", "1.2.2"]]
    peer.run()
    assert peer.asked == [("1.1", []), ("1.2", [])]
    assert peer.inbox.problems == {"1.1": ("A900 no", False)}
    assert [one.given_up for one in peer.wanted] == [True, False]


def test_a_peer_that_takes_no_lists_is_asked_for_the_whole_again(world: Callable[..., World]) -> None:
    peer = world(series())
    peer.sends = [ALL[:1], [], ALL]
    peer.answers = [None, Ending("A900 no", retryable=False), None]
    peer.run()
    assert peer.asked == [("1.1", []), ("1.1", ALL[1:]), ("1.1", [])]
    assert peer.inbox.problems == {}


def test_instances_that_were_chosen_are_asked_for_in_lists_of_fifty_and_no_others(world: Callable[..., World]) -> None:
    peer = world(series(count=120, only_listed=True), attempts=1).run()
    assert [len(uids) for _, uids in peer.asked] == [50, 50, 20]
    assert [uid for _, uids in peer.asked for uid in uids] == [f"1.1.{number}" for number in range(120)]
    refused = world(series(only_listed=True))
    refused.answers = [Ending("A900 no", retryable=False)]
    assert len(refused.run().asked) == 1
    assert refused.wanted[0].given_up


def test_an_instance_that_the_peer_could_not_send_has_a_problem_of_its_own(world: Callable[..., World]) -> None:
    peer = world(series(), attempts=1)
    peer.sends = [ALL[:2]]
    peer.answers = [Ending(failed=("1.1.2", "9.9"))]
    peer.run()
    told = ("the peer says that it could not send it", True)
    assert {uid: peer.inbox.problems[uid] for uid in ("1.1.2", "9.9")} == {"1.1.2": told, "9.9": told}
    assert peer.inbox.asked_in == {"1.1.2": "1.1", "9.9": "1.1"}


def test_a_service_that_is_not_offered_is_given_up_for_all_waiting_series(world: Callable[..., World]) -> None:
    peer = world(series(), series("1.2"))
    error = NotOfferedError("the peer offers no C-GET")
    peer.opening = [error]
    peer.run()
    assert (peer.asked, peer.rounds.not_offered) == ([], error)
    assert peer.inbox.problems == dict.fromkeys(("1.1", "1.2"), (str(error), False))
    assert all(one.given_up for one in peer.wanted)


def test_a_broken_association_is_opened_again_for_all_waiting_series(world: Callable[..., World]) -> None:
    unlisted = WantedSeries("1", "1.1", "4711")
    peer = world(unlisted, WantedSeries("1", "1.2", "4711"), attempts=2)
    peer.sends = [["1.1.0"], ["1.1.0"], ["1.2.0"]]
    peer.answers = [AssociationLostError("the peer aborted")]
    peer.run()
    assert [uid for uid, _ in peer.asked] == ["1.1", "1.1", "1.2"]
    assert peer.inbox.problems == {}
    lost = world(unlisted, WantedSeries("1", "1.2", "4711"), attempts=1)
    lost.answers = [AssociationLostError("the peer aborted")]
    lost.run()
    assert lost.inbox.problems == dict.fromkeys(("1.1", "1.2"), ("the peer aborted", True))
    assert [one.cut_short for one in lost.wanted] == [True, False]


def test_an_absent_peer_is_tried_as_often_as_asked_and_then_raises(world: Callable[..., World]) -> None:
    gone = PeerUnreachableError("nothing listens")
    peer = world(series(), attempts=3, backoff_s=1.0)
    peer.opening = [gone] * 3
    with pytest.raises(PeerUnreachableError, match="nothing listens"):
        peer.run()
    assert len(peer.classes) == 3
    assert peer.pauses == [1.0, 2.0]
    assert peer.inbox.problems == {"1.1": ("nothing listens", True)}
    assert not peer.wanted[0].given_up
    refused = world(series())
    refused.opening = [PeerRefusesError("it does not know us")]
    with pytest.raises(PeerRefusesError):
        refused.run()
    assert len(refused.classes) == 1


def test_instances_that_have_arrived_are_kept_when_the_peer_goes(world: Callable[..., World]) -> None:
    peer = world(series(), attempts=2)
    peer.sends = [ALL[:1]]
    peer.opening = [None, PeerRefusesError("it does not know us any more")]
    peer.run()
    assert peer.wanted[0].given_up
    assert peer.inbox.problems == {"1.1": ("it does not know us any more", False)}
    assert list(peer.inbox.records) == ["1.1.0"]


def test_a_cancelled_fetch_asks_for_no_more(world: Callable[..., World]) -> None:
    peer = world(series())
    peer.cancelled = True
    assert peer.run().asked == []


def outcome_of(world: World, told: int | None = None) -> list[tuple[str, str, str, bool]]:
    records = records_of(Wish(world.wanted, {} if told is None else {"1": told}), world.inbox, cancelled=False)
    return [(one.sop_instance_uid, one.outcome.value, one.meaning, one.retryable) for one in records]


def test_each_listed_instance_has_one_record_with_its_own_reason(world: Callable[..., World]) -> None:
    peer = world(series(count=4), attempts=1)
    peer.sends = [["1.1.0", "1.1.9"]]
    peer.answers = [Ending(failed=("1.1.2",))]
    assert [one[:3] for one in outcome_of(peer.run())] == [
        ("1.1.0", "fetched", ""),
        ("1.1.1", "missing", "the peer listed it, but did not send it"),
        ("1.1.2", "failed", "the peer says that it could not send it"),
        ("1.1.3", "missing", "the peer listed it, but did not send it"),
        ("1.1.9", "fetched", ""),
    ]


@pytest.mark.parametrize(("told", "missing"), [(None, 0), (1, 0), (2, 1), (4, 3)])
def test_instances_that_a_peer_counts_and_does_not_list_are_missing(
    world: Callable[..., World], told: int | None, missing: int
) -> None:
    peer = world(WantedSeries("1", "1.1", "4711", reported_count=told), attempts=1)
    peer.sends = [["1.1.0"]]
    found = outcome_of(peer.run())
    assert found[0][:2] == ("1.1.0", "fetched")
    said = f"the peer counts {told} instances of the series, but has listed or sent only 1"
    assert found[1:] == [("", "missing", said, True)] * missing


@pytest.mark.parametrize(("told", "missing"), [(3, 0), (5, 2)])
def test_instances_that_a_peer_counts_in_a_study_but_in_no_series_are_missing(
    world: Callable[..., World], told: int, missing: int
) -> None:
    peer = world(series())
    peer.sends = [ALL]
    said = f"the peer counts {told} instances of the study, but has listed or sent only 3"
    assert outcome_of(peer.run(), told=told)[3:] == [("", "missing", said, True)] * missing


def test_instances_left_by_a_cancelled_fetch_say_so(world: Callable[..., World]) -> None:
    peer = world(series(count=1))
    (record,) = records_of(Wish(peer.wanted, {}), peer.inbox, cancelled=True)
    assert (record.outcome, record.meaning, record.retryable) == (FetchOutcome.MISSING, "cancelled", True)
    assert (record.study_instance_uid, record.sop_class_uid) == ("1", "1.2.840")


class Asked:
    """A fake peer with prepared answers by level, which records the queries."""

    def __init__(self, **found: Any) -> None:
        self.found = found
        self.queries: list[FindQuery] = []

    def __call__(self, query: FindQuery) -> list[Any]:
        self.queries.append(query)
        told = self.found.get(query.level, [])
        if isinstance(told, Exception):
            raise told
        return [
            one
            for one in told
            if (
                query.level == "study"
                or not query.study_instance_uid
                or one.study_instance_uid in query.study_instance_uid
            )
            and (query.level != "instance" or one.series_instance_uid in query.series_instance_uid)
        ]


def instance(uid: str, below: str = "1.1") -> FoundInstance:
    return FoundInstance(
        study_instance_uid="1", series_instance_uid=below, sop_instance_uid=uid, sop_class_uid="1.2.840"
    )


def test_below_a_study_all_series_are_wanted_with_what_the_peer_tells_of_them() -> None:
    below = [
        FoundSeries(study_instance_uid="1", series_instance_uid="1.1", instance_count=2),
        FoundSeries(study_instance_uid="1", series_instance_uid="1.2", patient_id="17"),
    ]
    peer = Asked(series=below, instance=[instance("a"), instance("b")])
    study = FoundStudy(study_instance_uid="1", patient_id="4711", instance_count=5, sop_class_uids=("1.2.840",))
    wish = wish_for([study, study], peer)
    assert wish.studies == {"1": 5}
    first, second = wish.series
    assert (first.series_instance_uid, first.patient_id, first.reported_count) == ("1.1", "4711", 2)
    assert first.listed == {"a": "1.2.840", "b": "1.2.840"}
    assert (second.series_instance_uid, second.patient_id, second.reported_count, second.listed) == (
        "1.2",
        "17",
        None,
        {},
    )
    assert second.classes == frozenset({"1.2.840"})
    assert not first.only_listed
    limits = {query.level: query.limit for query in peer.queries}
    assert limits == {"series": 10_000, "instance": 100_000}


def test_chosen_instances_alone_are_wanted_unless_their_series_is() -> None:
    peer = Asked(instance=[instance("a"), instance("b")])
    (part,) = wish_for([instance("a"), instance("c")], peer).series
    assert (part.only_listed, set(part.listed), peer.queries) == (True, {"a", "c"}, [])
    whole = FoundSeries(study_instance_uid="1", series_instance_uid="1.1", asked_patient_id="4711")
    (both,) = wish_for([instance("c"), whole], peer).series
    assert (both.only_listed, set(both.listed), both.patient_id) == (False, {"a", "b"}, "4711")


def test_a_study_whose_series_nobody_lists_is_an_error_unless_it_is_empty() -> None:
    with pytest.raises(NotAnsweredError, match="the peer lists no series of the study 1"):
        wish_for([FoundStudy(study_instance_uid="1")], Asked())
    assert wish_for([FoundStudy(study_instance_uid="1", instance_count=0)], Asked()).series == []
    unlisted = FoundSeries(study_instance_uid="1", series_instance_uid="1.1", instance_count=7)
    (one,) = wish_for([unlisted], Asked(instance=NotAnsweredError("no"))).series
    assert (one.listed, one.reported_count) == ({}, 7)


def test_a_question_about_series_begins_with_their_studies_and_fills_in_the_patient() -> None:
    studies = [FoundStudy(study_instance_uid=uid, patient_id="4711", patient_sex="F") for uid in ("1", "2")]
    below = [FoundSeries(study_instance_uid=uid, series_instance_uid=f"{uid}.1", modality="CT") for uid in ("1", "2")]
    peer = Asked(study=studies, series=below)
    found = ask_by_levels(peer, FindQuery(level="series", patient_id="4711", modality="CT", series_description="Own"))
    assert [one.patient_id for one in found] == ["4711", "4711"]
    assert [one.patient_sex for one in found] == ["F", "F"]
    first, *others = peer.queries
    assert (first.level, first.patient_id, first.modality, first.series_description) == ("study", "4711", "CT", "")
    assert [one.study_instance_uid for one in others] == [("1",), ("2",)]
    assert {(one.level, one.patient_id, one.modality, one.series_description) for one in others} == {
        ("series", "", "CT", "Own")
    }


def test_a_question_that_names_all_above_or_nothing_is_asked_as_it_is() -> None:
    for query in (
        FindQuery(level="series", study_instance_uid=("1",)),
        FindQuery(level="series", modality="CT"),
        FindQuery(level="instance", study_instance_uid=("1",), series_instance_uid=("1.1",)),
        FindQuery(level="instance", sop_instance_uid=("9.9",)),
        FindQuery(patient_id="4711"),
    ):
        peer = Asked()
        assert ask_by_levels(peer, query) == []
        assert peer.queries == [query]


def test_more_answers_from_lower_levels_than_the_limit_raise() -> None:
    studies = [FoundStudy(study_instance_uid="1")]
    below = [FoundSeries(study_instance_uid="1", series_instance_uid=f"1.{number}") for number in range(3)]
    peer = Asked(study=studies, series=below)
    assert len(ask_by_levels(peer, FindQuery(level="series", patient_id="4711", limit=3))) == 3
    with pytest.raises(TooManyAnswersError, match="more than 2"):
        ask_by_levels(peer, FindQuery(level="series", patient_id="4711", limit=2))


@pytest.mark.parametrize("told", [None, 0, 1])
def test_a_series_of_which_nothing_is_known_and_nothing_came_is_not_called_whole(
    told: int | None, tmp_path: Path
) -> None:
    empty = WantedSeries("1", "1.1", "", reported_count=told)
    inbox = Inbox(tmp_path, [empty])
    (record,) = records_of(Wish([empty], {}), inbox, cancelled=False)
    assert (record.outcome, record.series_instance_uid, record.retryable) == (FetchOutcome.MISSING, "1.1", True)
    assert not inbox.is_complete(empty)
