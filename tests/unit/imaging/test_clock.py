"""Times in headers are compared as points in time, whatever their form; if their order is uncertain, there is none."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.imaging.series.order.clock import clock_times

START = datetime(2024, 10, 26, 12, tzinfo=timezone.utc)
AFTER_US = st.lists(st.integers(0, 40 * 3600 * 10**6), min_size=2, max_size=6)
OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))


def written(at: datetime, offset: timedelta) -> str:
    """Writes a local time as AcquisitionDateTime does."""
    return f"{at.astimezone(timezone(offset)):%Y%m%d%H%M%S.%f%z}"


@settings(deadline=None)
@given(after_us=AFTER_US, data=st.data())
def test_offsets_do_not_change_the_time_between(after_us: list[int], data: st.DataObject) -> None:
    values = [written(START + timedelta(microseconds=us), data.draw(OFFSETS)) for us in after_us]
    # times of one date may have got the date later, and no scan takes half a day
    found = clock_times(values)
    if len({value[:8] for value in values}) > 1:
        assert None not in found
    known = [us for us in found if us is not None]
    assert not known or [us - known[0] for us in known] == [us - after_us[0] for us in after_us]


@settings(deadline=None)
@given(after_us=AFTER_US, one=st.integers(0, 5), offset=OFFSETS)
def test_a_time_without_an_offset_is_not_compared_with_others(after_us: list[int], one: int, offset: timedelta) -> None:
    values = [written(START + timedelta(microseconds=us), offset) for us in after_us]
    values[one % len(values)] = values[one % len(values)][:-5]
    assert clock_times(values) == [None] * len(values)


@settings(deadline=None)
@given(after_s=st.lists(st.integers(0, 6 * 3600), min_size=2, max_size=6), date=st.sampled_from(["", "20200101"]))
def test_a_scan_of_six_hours_is_in_order_or_in_none(after_s: list[int], date: str) -> None:
    for start in (START, START + timedelta(hours=9)):  # the second goes on past midnight
        values = [f"{date}{start + timedelta(seconds=after):%H%M%S}" for after in after_s]
        known = [us for us in clock_times(values) if us is not None]
        assert not known or [us - known[0] for us in known] == [(after - after_s[0]) * 10**6 for after in after_s]
