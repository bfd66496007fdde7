"""Collects the outcome of a fetch: records of the instances that arrived, and of those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.models import FetchOutcome, FetchRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries, Wish

__all__ = ["records_of"]

_NOT_SENT = ("the peer listed it, but did not send it", True)
_COUNTED = "the peer counts {reported} instances of the {level}, but has listed or sent only {came}"


def records_of(wish: Wish, inbox: Inbox, *, cancelled: bool) -> tuple[FetchRecord, ...]:
    """Returns one record for each instance that was listed, was counted or has arrived, series by series."""
    records: list[FetchRecord] = []
    known: dict[str, int] = {}
    for series in wish.series:
        of_series = list(_of_series(series, inbox, cancelled=cancelled))
        records += of_series
        known[series.study_instance_uid] = known.get(series.study_instance_uid, 0) + len(of_series)
    for study_instance_uid, reported in wish.studies.items():
        came = known.get(study_instance_uid, 0)
        meaning = _COUNTED.format(reported=reported, came=came, level="study")
        records += [
            FetchRecord(study_instance_uid=study_instance_uid, meaning=meaning, retryable=True)
            for _ in range(reported - came)
        ]
    return (*records, *inbox.oddities, *_records_of_no_series(wish, inbox))


def _of_series(series: WantedSeries, inbox: Inbox, *, cancelled: bool) -> Iterator[FetchRecord]:
    """Yields the records of a series.

    First come the instances that the peer listed, then others that arrived or failed, then those that the peer only
    counted.
    """
    problem = ("cancelled", True) if cancelled else inbox.problems.get(series.series_instance_uid, _NOT_SENT)
    places = {uid: record.series_instance_uid for uid, record in inbox.records.items()} | inbox.asked_in
    unlisted = [
        uid for uid, place in places.items() if place == series.series_instance_uid and uid not in series.listed
    ]
    for uid in (*series.listed, *unlisted):
        yield inbox.records.get(uid) or _absent(series, problem, inbox.problems.get(uid), uid)
    count = len(series.listed) + len(unlisted)
    least = max(series.reported_count or 0, 0 if series.listed else 1)
    if series.may_lack_more and all(uid in inbox.records for uid in unlisted):
        least = count + 1  # the number of missing instances is unknown, so one record represents them
    if problem is _NOT_SENT:
        problem = (_COUNTED.format(reported=least, came=count, level="series"), True)
    for _ in range(0 if series.only_listed else least - count):
        yield _absent(series, problem)


def _absent(
    series: WantedSeries, problem: tuple[str, bool], own: tuple[str, bool] | None = None, sop_instance_uid: str = ""
) -> FetchRecord:
    """Makes the record of an instance that did not arrive, with its own problem or that of its series."""
    meaning, retryable = own or problem
    return FetchRecord(
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=series.listed.get(sop_instance_uid, ""),
        outcome=FetchOutcome.FAILED if own else FetchOutcome.MISSING,
        meaning=meaning,
        retryable=retryable,
    )


def _records_of_no_series(wish: Wish, inbox: Inbox) -> list[FetchRecord]:
    """Returns the records of instances that arrived, but belong to none of the series that were asked for."""
    wanted = {series.series_instance_uid for series in wish.series}
    listed = {uid for series in wish.series for uid in series.listed}
    return [
        record
        for uid, record in inbox.records.items()
        if record.series_instance_uid not in wanted and uid not in listed
    ]
