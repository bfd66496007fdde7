"""What became of a fetch: the records of what came, and of what the peer told of and that did not come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.models import FetchOutcome, FetchRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.dicom_network.retrieval.inbox import Inbox
    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries, Wish

__all__ = ["records_of"]

_NOT_SENT = ("the peer told of it and did not send it", True)
_COUNTED = "the peer counts {told} instances of the {level}, and {came} are known of"


def records_of(wish: Wish, inbox: Inbox, *, cancelled: bool) -> tuple[FetchRecord, ...]:
    """Returns one record for each instance that was told of or came, series by series."""
    records: list[FetchRecord] = []
    known: dict[str, int] = {}
    for series in wish.series:
        of_series = list(_of_series(series, inbox, cancelled=cancelled))
        records += of_series
        known[series.study_instance_uid] = known.get(series.study_instance_uid, 0) + len(of_series)
    for study_instance_uid, told in wish.studies.items():
        came = known.get(study_instance_uid, 0)
        meaning = _COUNTED.format(told=told, came=came, level="study")
        records += [
            FetchRecord(study_instance_uid=study_instance_uid, meaning=meaning, retryable=True)
            for _ in range(told - came)
        ]
    return (*records, *inbox.oddities, *_strangers(wish, inbox))


def _of_series(series: WantedSeries, inbox: Inbox, *, cancelled: bool) -> Iterator[FetchRecord]:
    uids = {
        "study_instance_uid": series.study_instance_uid,
        "series_instance_uid": series.series_instance_uid,
    }
    of_series = inbox.problems.get(series.series_instance_uid, _NOT_SENT)
    if cancelled:
        of_series = ("cancelled", True)
    count = 0
    for uid, sop_class_uid in series.listed.items():
        count += 1
        record = inbox.records.get(uid)
        if record is not None:
            yield record
            continue
        failed = inbox.problems.get(uid)
        meaning, retryable = failed or of_series
        outcome = FetchOutcome.FAILED if failed else FetchOutcome.MISSING
        yield FetchRecord(
            **uids,
            sop_instance_uid=uid,
            sop_class_uid=sop_class_uid,
            outcome=outcome,
            meaning=meaning,
            retryable=retryable,
        )
    for uid, record in inbox.records.items():
        if record.series_instance_uid == series.series_instance_uid and uid not in series.listed:
            count += 1
            yield record
    for uid, (meaning, retryable) in inbox.problems.items():  # that the peer named only when it failed to send it
        if uid not in series.listed and uid not in inbox.records and _is_of(uid, series, inbox):
            count += 1
            yield FetchRecord(
                **uids, sop_instance_uid=uid, outcome=FetchOutcome.FAILED, meaning=meaning, retryable=retryable
            )
    least = max(series.told or 0, 0 if series.listed else 1)
    if not series.only_listed and count < least:
        meaning, retryable = of_series
        if of_series is _NOT_SENT:
            meaning = _COUNTED.format(told=least, came=count, level="series")
        for _ in range(least - count):
            yield FetchRecord(**uids, meaning=meaning, retryable=retryable)


def _is_of(uid: str, series: WantedSeries, inbox: Inbox) -> bool:
    """Whether a problem is that of an instance of a series: ``problems`` holds those of whole series too."""
    return inbox.asked_in.get(uid) == series.series_instance_uid


def _strangers(wish: Wish, inbox: Inbox) -> list[FetchRecord]:
    """What came and belongs to none of the series."""
    wanted = {series.series_instance_uid for series in wish.series}
    listed = {uid for series in wish.series for uid in series.listed}
    return [
        record
        for uid, record in inbox.records.items()
        if record.series_instance_uid not in wanted and uid not in listed
    ]
