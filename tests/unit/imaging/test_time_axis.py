"""To which volume a frame belongs, if the header states it only indirectly or contradicts itself."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

RECIPE = Recipe(volumes=4, slices=5, modality="MR")


def series(
    folder: Path, edit: Callable[[Dataset, int, int], None] = lambda _ds, _t, _k: None
) -> dict[tuple[int, int], Path]:
    """Returns the files by volume and slice, without the attributes that count volumes."""
    found = {}
    for path in single_frame(RECIPE, folder):
        ds = dcmread(path)
        t, k = divmod(int(ds.InstanceNumber) - 1, RECIPE.slices)
        del ds.TemporalPositionIdentifier
        edit(ds, t, k)
        ds.save_as(path)
        found[t, k] = path
    return found


@pytest.mark.parametrize("with_dates", [True, False])
@pytest.mark.parametrize("kind", ["Acquisition", "Content"])
def test_a_scan_that_goes_on_past_midnight(tmp_path: Path, kind: str, *, with_dates: bool) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        setattr(ds, f"{kind}Time", ["235956", "235958.5", "000001", "000003"][t])
        if with_dates:
            setattr(ds, f"{kind}Date", "20200101" if t < 2 else "20200102")

    volume = read_volume(list(series(tmp_path, edit).values()))
    np.testing.assert_array_equal(volume.array, RECIPE.values)


def shuffled(ds: Dataset, t: int, k: int) -> None:
    """Returns InstanceNumbers that follow no plan."""
    numbers = np.random.default_rng(5).permutation(RECIPE.volumes * RECIPE.slices)
    ds.InstanceNumber = int(numbers[t * RECIPE.slices + k]) + 1


def test_a_date_that_was_put_in_for_all_says_nothing_past_midnight(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        shuffled(ds, t, k)
        ds.AcquisitionDate, ds.AcquisitionTime = "20200101", ["235956", "235958.5", "000001", "000003"][t]

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "AcquisitionDateTime", "ContentTime"])
def test_the_end_of_summer_time_does_not_turn_time_back(tmp_path: Path, keyword: str) -> None:
    times = [("024000", "+0200"), ("025000", "+0200"), ("020000", "+0100"), ("021000", "+0100")]

    def edit(ds: Dataset, t: int, k: int) -> None:
        shuffled(ds, t, k)
        clock, ds.TimezoneOffsetFromUTC = times[t]
        ds.AcquisitionDate = ds.ContentDate = "20241027"
        setattr(ds, keyword, "20241027" + clock if keyword.endswith("DateTime") else clock)

    volume = read_volume(list(series(tmp_path, edit).values()))
    np.testing.assert_array_equal(volume.array, RECIPE.values)
    assert volume.order is not None
    assert volume.order.ordered_by == keyword.replace("DateTime", "Time")
    if keyword != "ContentTime":
        assert volume.frame_times_s == (0, 600, 1200, 1800)


def test_an_offset_that_some_files_lack_is_no_order(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        shuffled(ds, t, k)
        ds.AcquisitionDate, ds.AcquisitionTime = "20241027", f"0{2 + t}0000"
        if t < 2:
            ds.TimezoneOffsetFromUTC = "+0200"

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


def test_times_go_before_instance_numbers(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        ds.ContentTime = f"1200{9 - t:02}"

    np.testing.assert_array_equal(read_volume(list(series(tmp_path, edit).values())).array, RECIPE.values[..., ::-1])


@pytest.mark.parametrize("by_slice", [False, True])
@pytest.mark.parametrize(
    "lost",
    [[(3, 3), (3, 4)], [(1, 2)], [(0, 0)], [(0, 4), (3, 0)], [(0, 1), (2, 3)]],
    ids=["end", "one", "first", "ends", "two"],
)
def test_slices_that_some_volume_lacks(tmp_path: Path, lost: list[tuple[int, int]], *, by_slice: bool) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        if by_slice:
            ds.InstanceNumber = k * RECIPE.volumes + t + 1

    files = series(tmp_path, edit)
    for cell in lost:
        del files[cell]
    report = refused(list(files.values()), "MISSING_SLICES")
    assert "DUPLICATE_POSITIONS" not in report.codes
    [finding] = [one for one in report.findings if one.code == "MISSING_SLICES"]
    heights = {float(RECIPE.positions[k, 2]) for _, k in lost}
    assert (set(finding.positions_mm), finding.count) == (heights, len(heights))
    left_out = {cell: dcmread(path).SOPInstanceUID for cell, path in files.items() if cell[0] in {t for t, _ in lost}}
    assert set(finding.sop_instance_uids) == set(left_out.values())
    assert f"so their other {len(left_out)} frames cannot be used" in finding.message
    [whole] = read_volumes(list(files.values()), "largest")
    kept = [t for t in range(RECIPE.volumes) if t not in {t for t, _ in lost}]
    np.testing.assert_array_equal(whole.array, RECIPE.values[..., kept])


@pytest.mark.parametrize("by_slice", [False, True])
@pytest.mark.parametrize("start", [0, 101])
def test_slices_that_are_lost_with_numbers_that_do_not_begin_at_one(
    tmp_path: Path, start: int, *, by_slice: bool
) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.InstanceNumber = start + (k * RECIPE.volumes + t if by_slice else t * RECIPE.slices + k)

    files = series(tmp_path, edit)
    del files[1, 2]
    assert "DUPLICATE_POSITIONS" not in refused(list(files.values()), "MISSING_SLICES").codes
    [whole] = read_volumes(list(files.values()), "largest")
    np.testing.assert_array_equal(whole.array, RECIPE.values[..., [0, 2, 3]])


def test_slices_that_are_lost_and_numbers_that_go_on_without_them_are_not_guessed_at(tmp_path: Path) -> None:
    files = series(tmp_path)
    del files[1, 2]
    for number, path in enumerate(files.values(), start=1):
        ds = dcmread(path)
        ds.InstanceNumber = number
        ds.save_as(path)
    for policy in ("strict", "split", "largest", "resample"):
        refused(list(files.values()), "DUPLICATE_POSITIONS", policy)


def test_frames_of_one_file_that_are_left_out_are_named_by_number(tmp_path: Path) -> None:
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    content = [groups.FrameContentSequence[0] for groups in ds.PerFrameFunctionalGroupsSequence]
    cells = [(int(one.TemporalPositionIndex) - 1, int(one.InStackPositionNumber) - 1) for one in content]
    lost = cells.index((2, 1))
    frames = np.delete(ds.pixel_array, lost, axis=0)
    del cells[lost], ds.PerFrameFunctionalGroupsSequence[lost]
    ds.NumberOfFrames, ds.PixelData = len(cells), frames.tobytes()
    ds.save_as(path)
    [finding] = [one for one in refused([path], "MISSING_SLICES").findings if one.code == "MISSING_SLICES"]
    numbers = [number for number, (t, _) in enumerate(cells, start=1) if t == 2]
    assert "so their other 4 frames cannot be used" in finding.message
    assert sorted(int(found) for found in re.findall(r"frame (\d+) of", finding.message)) == numbers
    assert finding.positions_mm == (float(RECIPE.positions[1, 2]),)
    [whole] = read_volumes([path], "largest")
    np.testing.assert_array_equal(whole.array, RECIPE.values[..., [0, 1, 3]])


def test_volumes_that_all_lack_a_slice_are_never_mixed(tmp_path: Path) -> None:
    files = series(tmp_path, lambda ds, t, _: setattr(ds, "TemporalPositionIdentifier", t + 1))
    for cell in ((0, 0), (0, 2), (1, 4), (2, 1), (3, 3)):
        del files[cell]
    report = refused(list(files.values()), "MISSING_SLICES")
    assert "DUPLICATE_POSITIONS" not in report.codes
    assert "so their other 11 frames cannot be used" in str(report)
    [finding] = [one for one in report.findings if one.code == "MISSING_SLICES"]
    assert finding.message.count("frame 1 of instance") == 5
    assert "…" in finding.message
    [one] = read_volumes(list(files.values()), "largest")
    np.testing.assert_array_equal(one.array, RECIPE.values[:, :, :4, 1])


@pytest.mark.parametrize("slices_each", [1, 2])
def test_an_attribute_that_counts_a_few_slices_does_not_count_volumes(tmp_path: Path, slices_each: int) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.AcquisitionNumber = t * 5 + k // slices_each + 1

    volume = read_volume(list(series(tmp_path, edit).values()))
    np.testing.assert_array_equal(volume.array, RECIPE.values)


def without(keyword: str, cells: set[tuple[int, int]]) -> Callable[[Dataset, int, int], None]:
    """Counts volumes by an attribute that a few frames lack."""

    def edit(ds: Dataset, t: int, k: int) -> None:
        if (t, k) not in cells:
            setattr(ds, keyword, f"12000{t}" if keyword.endswith("Time") and keyword != "TriggerTime" else t + 1)
        elif keyword in ds:
            delattr(ds, keyword)

    return edit


TIME_MARKS = ["TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "AcquisitionTime", "ContentTime"]


@pytest.mark.parametrize("keyword", TIME_MARKS)
@pytest.mark.parametrize("cells", [{(2, 3)}, {(0, 0)}, {(3, 4), (0, 1)}, {(1, k) for k in range(5)}])
def test_frames_without_the_time_mark_are_placed_by_another(
    tmp_path: Path, keyword: str, cells: set[tuple[int, int]]
) -> None:
    volume = read_volume(list(series(tmp_path, without(keyword, cells)).values()))
    np.testing.assert_array_equal(volume.array, RECIPE.values)
    assert volume.report is not None
    [finding] = volume.report.findings
    assert finding.attribute == ("AcquisitionNumber" if finding.attribute == "AcquisitionNumber" else "InstanceNumber")


@pytest.mark.parametrize("keyword", TIME_MARKS)
def test_frames_without_the_time_mark_that_nothing_places_are_refused(tmp_path: Path, keyword: str) -> None:
    marked = without(keyword, {(2, 3)})

    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.InstanceNumber = 1
        marked(ds, t, k)

    [finding] = refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS").findings
    assert finding.count == 15


MIDNIGHT = {
    "fractions": ["235958", "235959.5", "000000", "000001.25"],
    "fraction before": ["235959.25", "235959.5", "000000", "000001"],
    "colons": ["23:59:58", "23:59:59", "00:00:00", "00:00:01"],
    "some colons": ["235958", "23:59:59.5", "000000", "00:00:01"],
    "minutes": ["2358", "2359", "0000", "0001"],
    "minutes and seconds": ["2359", "235930", "0000", "000030.5"],
    "one volume later": ["235900", "235930", "235959.999999", "000000"],
}


@pytest.mark.parametrize("times", MIDNIGHT.values(), ids=MIDNIGHT)
@pytest.mark.parametrize("kind", ["Acquisition", "Content"])
@pytest.mark.parametrize("dates", ["", "%Y%m%d", "%Y.%m.%d"])
def test_times_in_any_form_past_midnight(tmp_path: Path, times: list[str], kind: str, dates: str) -> None:
    """With dates, the order of times is certain. Without dates, InstanceNumbers decide if they follow a plan."""
    midnight = datetime(2020, 3, 1, tzinfo=timezone.utc)
    first_after = next(t for t in range(4) if times[t].startswith("00"))

    def edit(ds: Dataset, t: int, k: int) -> None:
        raw(ds, f"{kind}Time", "TM", times[t])
        if dates:
            raw(ds, f"{kind}Date", "DA", (midnight - timedelta(days=t < first_after)).strftime(dates))
            ds.InstanceNumber = 1  # has no meaning
        else:
            ds.InstanceNumber = t * 5 + k + 1

    paths = list(series(tmp_path, edit).values())
    volume = read_volume(paths)
    np.testing.assert_array_equal(volume.array, RECIPE.values)
    assert volume.report is not None
    assert volume.report.findings[0].attribute == (f"{kind}Time" if dates else "InstanceNumber")
    if not dates:
        for path in paths:
            ds = dcmread(path)
            ds.InstanceNumber = 1
            ds.save_as(path)
        refused(paths, "DUPLICATE_POSITIONS")


def raw(ds: Dataset, keyword: str, vr: str, value: str) -> None:
    """Sets values about which pydicom would complain, such as times in ACR-NEMA's format."""
    content = value.encode() + b" " * (len(value) % 2)
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(content), content, 0, is_implicit_VR=False, is_little_endian=True)


@pytest.mark.parametrize(
    "times",
    [
        ["09:59:58", "095959", "10:00:00.5", "100001"],
        ["0958", "095930", "0959", "1000"],
        ["115959.9", "115959.95", "12", "120000.000001"],
        ["095959", "095960", "100001", "100002"],
    ],
)
def test_times_in_several_forms_have_the_order_of_the_clock(tmp_path: Path, times: list[str]) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        raw(ds, "AcquisitionTime", "TM", times[t])
        ds.InstanceNumber = 1

    order = [0, 2, 1, 3] if times[1] == "095930" else [0, 1, 2, 3]
    volume = read_volume(list(series(tmp_path, edit).values()))
    np.testing.assert_array_equal(volume.array, RECIPE.values[..., order])


@pytest.mark.parametrize("odd", ["", "24:00:00", "1260", "120061", "12-00-02", "120002.1234567", "noon", "1"])
def test_malformed_times_are_not_sorted(tmp_path: Path, odd: str) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        raw(ds, "AcquisitionTime", "TM", odd if t == 2 else f"12000{t}")
        ds.InstanceNumber = 1

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize("date", ["20200230", "20201301", "2020", "00000101"])
@pytest.mark.parametrize("volumes", [{3}, {0, 1, 2, 3}])
def test_malformed_dates_are_not_sorted(tmp_path: Path, date: str, volumes: set[int]) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        ds.AcquisitionTime, ds.AcquisitionDate = f"12000{t}", "20200301"
        if t in volumes:
            raw(ds, "AcquisitionDate", "DA", date)
        ds.InstanceNumber = 1

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


def test_times_with_a_date_are_not_sorted_among_those_without(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        ds.AcquisitionTime = ["235958", "235959.5", "000001", "000002"][t]
        if t < 2:
            ds.AcquisitionDate = "20200229"
        ds.InstanceNumber = 1

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize(("hours", "is_certain"), [(11, True), (13, False)])
def test_no_scan_takes_half_a_day(tmp_path: Path, hours: int, *, is_certain: bool) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        ds.AcquisitionTime = f"{8 + hours * (t == 3):02}000{t}"
        ds.InstanceNumber = 1

    paths = list(series(tmp_path, edit).values())
    if is_certain:
        np.testing.assert_array_equal(read_volume(paths).array, RECIPE.values)
    else:
        refused(paths, "DUPLICATE_POSITIONS")


@pytest.mark.parametrize(
    ("datetimes", "is_certain"),
    [
        (["20200229235958", "20200229235959.5", "20200301000001", "20200301000002.25"], True),
        # the clocks go back from 3 to 2
        (["20201025025958+0200", "20201025025959+0200", "20201025020000+0100", "20201025020001+0100"], True),
        (["20200229195958-0400", "20200229195959-0400", "20200301000000+0000", "20200301010001+0100"], True),
        (["20201025025958+0200", "20201025025959", "20201025030000", "20201025030001"], False),
    ],
)
def test_datetimes_of_frames(tmp_path: Path, datetimes: list[str], *, is_certain: bool) -> None:
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    for groups in ds.PerFrameFunctionalGroupsSequence:
        [content] = groups.FrameContentSequence
        content.FrameAcquisitionDateTime = datetimes[int(content.TemporalPositionIndex) - 1]
        del content.TemporalPositionIndex, content.DimensionIndexValues
    ds.save_as(path)
    if not is_certain:
        refused([path], "DUPLICATE_POSITIONS", "largest")
        return
    volume = read_volume([path])
    assert volume.report is not None
    np.testing.assert_array_equal(volume.array, RECIPE.values)
    assert volume.report.findings[0].attribute == "AcquisitionTime"


def test_numbers_without_a_plan_are_not_guessed_at(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(20) + 1
    files = series(tmp_path, lambda ds, t, k: setattr(ds, "InstanceNumber", int(numbers[t * 5 + k])))
    del files[3, 4]
    refused(list(files.values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize("name", ["TemporalPositionIdentifier", "AcquisitionNumber"])
@pytest.mark.parametrize(("shift", "is_one"), [(0.03, True), (0.4, False)])
def test_volumes_that_move_are_never_one_volume(tmp_path: Path, name: str, shift: float, *, is_one: bool) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        setattr(ds, name, t + 1)
        x, y, z = map(float, ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y, round(z + t * shift, 3)]

    files = list(series(tmp_path, edit).values())
    if is_one:
        np.testing.assert_array_equal(read_volume(files).array, RECIPE.values)
    else:
        [finding] = [one for one in refused(files, "MOVED_VOLUMES").findings if one.blocking]
        assert (finding.attribute, finding.count) == (name, 4)
        for t, volume in enumerate(read_volumes(files, "split")):
            np.testing.assert_array_equal(volume.array, RECIPE.values[..., t])


def test_two_acquisitions_that_fill_each_others_gaps_are_two_volumes(tmp_path: Path) -> None:
    """They look like one of half the step; a head in two passes has one AcquisitionNumber."""
    paths = single_frame(Recipe(slices=8, modality="MR"), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.AcquisitionNumber = 1 + int(ds.InstanceNumber) % 2
        ds.save_as(path)
    refused(paths, "MOVED_VOLUMES")
    whole = Recipe(slices=8, modality="MR").values[..., 0]
    for volume, first in zip(read_volumes(paths, "split"), (1, 0), strict=True):
        np.testing.assert_array_equal(volume.array, whole[:, :, first::2])


def order_of(paths: list[Path]) -> tuple[str, str, list[int]]:
    """Returns the attributes that separate and order the volumes, and for each volume its number in the scan."""
    volume = read_volume(paths)
    assert volume.order is not None
    found = [
        [t for t in range(RECIPE.volumes) if np.array_equal(volume.array[..., own], RECIPE.values[..., t])]
        for own in range(volume.shape[3])
    ]
    assert [len(one) for one in found] == [1] * RECIPE.volumes
    return volume.order.volumes_by, volume.order.ordered_by, [t for (t,) in found]


@pytest.mark.parametrize(("keyword", "unit"), [("DiffusionBValue", 500.0), ("RepetitionTime", 100.0)])
def test_what_is_no_time_has_the_order_of_a_plan(tmp_path: Path, keyword: str, unit: float) -> None:
    values = [2, 1, 4, 3]
    paths = list(series(tmp_path, lambda ds, t, _: setattr(ds, keyword, unit * values[t])).values())
    assert order_of(paths) == (keyword, "InstanceNumber", [0, 1, 2, 3])


@pytest.mark.parametrize(("keyword", "unit"), [("DiffusionBValue", 500.0), ("RepetitionTime", 100.0)])
def test_what_is_no_time_stands_for_itself_without_a_plan(tmp_path: Path, keyword: str, unit: float) -> None:
    values = [2, 1, 4, 3]

    def edit(ds: Dataset, t: int, k: int) -> None:
        setattr(ds, keyword, unit * values[t])
        shuffled(ds, t, k)

    assert order_of(list(series(tmp_path, edit).values())) == (keyword, keyword, [1, 0, 3, 2])


def test_times_of_volumes_that_overlap_order_nothing(tmp_path: Path) -> None:
    """The last slices were taken in another order than the first."""

    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.TemporalPositionIdentifier, ds.InstanceNumber = t + 1, 1
        ds.AcquisitionTime = f"1200{[10 * t + k, 10 * t + 1 + k, 50 - 10 * t][k // 2]:02}"

    paths = list(series(tmp_path, edit).values())
    assert order_of(paths) == ("TemporalPositionIdentifier", "TemporalPositionIdentifier", [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("numbers", "at_s"),
    [
        pytest.param("none", lambda t, k: 10 * t + k, id="all slices of a volume at once"),
        pytest.param("none", lambda t, k: 5 * k + t, id="all volumes of a slice at once"),
        pytest.param("plan", lambda t, k: 10 * t + 5 * k, id="a plan, though they overlap"),
    ],
)
def test_times_of_slices_separate_volumes_where_they_follow_a_plan(
    tmp_path: Path, numbers: str, at_s: Callable[[int, int], int]
) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.AcquisitionTime = f"1200{at_s(t, k):02}"
        if numbers == "none":
            ds.InstanceNumber = 1

    paths = list(series(tmp_path, edit).values())
    assert order_of(paths) == ("AcquisitionTime", "AcquisitionTime", [0, 1, 2, 3])


def test_times_of_slices_that_overlap_separate_nothing_without_a_plan(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.AcquisitionTime, ds.InstanceNumber = f"1200{10 * t + 5 * k:02}", 1

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [("TemporalPositionIdentifier", "TriggerTime"), ("DiffusionBValue", "FrameReferenceTime")],
)
def test_marks_that_contradict_each_other_are_refused(
    tmp_path: Path, first: str, second: str, *, numbered: bool
) -> None:
    """At one slice, the two marks divide the frames in different ways."""

    def edit(ds: Dataset, t: int, k: int) -> None:
        setattr(ds, first, float(t) if first == "DiffusionBValue" else t + 1)
        setattr(ds, second, str(100 * ((t + 1) % 4 if k == 2 else t)))
        if not numbered:
            ds.InstanceNumber = 1

    paths = list(series(tmp_path, edit).values())
    for policy in ("strict", "split", "largest", "resample"):
        refused(paths, "DUPLICATE_POSITIONS", policy)


def test_a_mark_that_contradicts_a_plan_is_refused(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, k: int) -> None:
        ds.AcquisitionNumber = 1 + ((t + 1) % 4 if k == 2 else t)

    refused(list(series(tmp_path, edit).values()), "DUPLICATE_POSITIONS")


@pytest.mark.parametrize(
    ("ticks", "is_one_4d"),
    [
        # several ticks of a clock pass during each volume, as in a real scan of two phases
        (lambda t, k: 3 * t + k // 2 + 1, True),
        # one tick is that of two volumes
        (lambda t, k: 2 * t + k // 2 + 1, False),
    ],
)
@pytest.mark.parametrize("with_indices", [True, False])
def test_temporal_positions_of_slices(
    tmp_path: Path, ticks: Callable[[int, int], int], *, is_one_4d: bool, with_indices: bool
) -> None:
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    for groups in ds.PerFrameFunctionalGroupsSequence:
        [content] = groups.FrameContentSequence
        content.TemporalPositionIndex = ticks(int(content.TemporalPositionIndex) - 1, content.InStackPositionNumber - 1)
        if not with_indices:
            del content.DimensionIndexValues
    ds.save_as(path)
    if is_one_4d and with_indices:
        volume = read_volume([path])
        assert volume.order is not None
        assert volume.order.volumes_by == "DimensionIndexValues"
        assert volume.order.ordered_by == "TemporalPositionIdentifier"
        np.testing.assert_array_equal(volume.array, RECIPE.values)
        return
    refused([path], "DUPLICATE_POSITIONS")


@pytest.mark.parametrize("by_slice", [False, True])
@pytest.mark.parametrize(("dimension", "is_time"), [("TemporalPositionIndex", True), ("DiffusionBValue", False)])
def test_only_dimensions_that_count_time_go_before_the_order_of_frames(
    tmp_path: Path, dimension: str, *, is_time: bool, by_slice: bool
) -> None:
    """The frames of a file may stand in any order (PS3.3, section C.7.6.17)."""
    [path] = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    ds.DimensionIndexSequence[0].DimensionIndexPointer = Tag(dimension)
    stored = [2, 0, 3, 1]  # the volumes, in the order of their frames

    def turn(index: int) -> tuple[int, ...]:
        volume, place = ds.PerFrameFunctionalGroupsSequence[index].FrameContentSequence[0].DimensionIndexValues
        return (place, stored.index(volume - 1)) if by_slice else (stored.index(volume - 1), place)

    order = sorted(range(20), key=turn)
    ds.PixelData = ds.pixel_array[order].tobytes()
    ds.PerFrameFunctionalGroupsSequence = [ds.PerFrameFunctionalGroupsSequence[index] for index in order]
    for groups in ds.PerFrameFunctionalGroupsSequence:
        del groups.FrameContentSequence[0].TemporalPositionIndex
    ds.save_as(path)
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.array, RECIPE.values if is_time else RECIPE.values[..., stored])
    assert volume.order is not None
    assert volume.order.ordered_by == ("DimensionIndexValues" if is_time else "InstanceNumber")
