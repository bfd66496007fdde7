"""Marks of time that only some files have do not order volumes, but an order that they contradict is refused."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.desk import examples
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICIES = ("strict", "split", "largest")
MARKS: dict[str, Any] = {
    "TemporalPositionIdentifier": lambda t: t + 1,
    "FrameReferenceTime": lambda t: f"{1000 * t}",
    "TemporalPositionTimeOffset": lambda t: 2.5 * t,
    "TriggerTime": lambda t: f"{40.5 * t}",
    "AcquisitionTime": lambda t: f"1200{10 * t:02}",
    "ContentTime": lambda t: f"1200{10 * t:02}",
}
LOST: dict[str, Any] = {
    "absent": lambda ds, name: ds.__delitem__(name) if name in ds else None,
    "empty": lambda ds, name: setattr(ds, name, None),
}


def written(folder: Path, name: str, values: Sequence[int | None], slices: int, lost: str = "absent") -> list[Path]:
    """Writes a time series; files are numbered in the order of the list, and have the mark that it states, if any."""
    count = len(values) // slices
    paths = single_frame(Recipe(columns=3, rows=2, slices=slices, volumes=count, modality="MR"), folder)
    ordered = sorted(paths, key=lambda path: int(dcmread(path).InstanceNumber))
    for number, (path, time) in enumerate(zip(ordered, values, strict=True), start=1):
        ds = dcmread(path)
        for other in MARKS:
            LOST["absent"](ds, other)
        ds.InstanceNumber = number
        if time is None:
            LOST[lost](ds, name)
        else:
            setattr(ds, name, MARKS[name](time))
        ds.save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("name", MARKS)
def test_a_slice_in_time_whose_numbers_contradict_what_some_files_say_is_refused(
    tmp_path: Path, name: str, lost: str, policy: str
) -> None:
    refused(written(tmp_path, name, [3, None, 1, 0], 1, lost), "DUPLICATE_POSITIONS", policy)


@pytest.mark.parametrize("name", MARKS)
def test_a_slice_in_time_whose_numbers_agree_with_what_some_files_say_is_read(tmp_path: Path, name: str) -> None:
    ((volume,),) = [read_volumes(written(tmp_path, name, [0, None, 2, 3], 1), "split")]
    assert volume.shape[-1] == 4


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize(
    "values", [[1, 1, None, 0, 0, 0], [None, 1, None, 0, None, None]], ids=["one lost", "two left"]
)
def test_volumes_whose_numbers_contradict_what_some_files_say_are_refused(
    tmp_path: Path, name: str, values: list[int | None]
) -> None:
    for policy in POLICIES:
        folder = tmp_path / policy
        folder.mkdir()
        refused(written(folder, name, values, 3), "DUPLICATE_POSITIONS", policy)


def test_volumes_whose_marks_lie_at_other_slices_are_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, "TemporalPositionIdentifier", [1, None, None, None, 0, None], 3), "DUPLICATE_POSITIONS")


def test_times_of_two_formats_are_compared_with_their_like(tmp_path: Path) -> None:
    paths = written(tmp_path, "AcquisitionTime", [3, 2, 1, 0], 1)
    for path in paths:
        ds = dcmread(path)
        if ds.InstanceNumber > 2:
            ds.AcquisitionDate = "20250102"
            ds.save_as(path, enforce_file_format=True)
    refused(paths, "DUPLICATE_POSITIONS", "split")


@pytest.mark.parametrize(("known", "is_read"), [([3, None, 1, 0], True), ([0, None, 2, 3], False)], ids=str)
@pytest.mark.parametrize("slices", [1, 3])
def test_what_some_files_say_is_compared_with_the_order_of_time_and_not_of_numbers(
    tmp_path: Path, known: list[int | None], slices: int, *, is_read: bool
) -> None:
    """All files have an AcquisitionTime, and the last numbers come first."""
    paths = written(tmp_path, "FrameReferenceTime", [time for time in known for _ in range(slices)], slices)
    for path in paths:
        ds = dcmread(path)
        ds.AcquisitionTime = MARKS["AcquisitionTime"](3 - (int(ds.InstanceNumber) - 1) // slices)
        ds.save_as(path, enforce_file_format=True)
    if not is_read:
        refused(paths, "DUPLICATE_POSITIONS", "split")
        return
    ((volume,),) = [read_volumes(paths, "split")]
    numbers = {str(ds.SOPInstanceUID): int(ds.InstanceNumber) for ds in map(dcmread, paths)}
    firsts = [numbers[line[0].sop_instance_uid] for line in volume.sources]
    assert firsts == [1 + slices * t for t in (3, 2, 1, 0)]


@pytest.mark.parametrize(("reverse", "is_read"), [(False, True), (True, False)])
def test_volumes_that_were_taken_slice_by_slice_overlap_in_time(
    tmp_path: Path, *, reverse: bool, is_read: bool
) -> None:
    """The second volume has a time only at the first slice, which was taken before the last slice of the first one."""
    volumes, slices = 3, 4
    paths = written(tmp_path, "AcquisitionTime", [None] * volumes * slices, slices)
    for path in paths:
        ds = dcmread(path)
        t, k = divmod(int(ds.InstanceNumber) - 1, slices)
        ds.InstanceNumber = k * volumes + t + 1
        if (t, k) in {(0, 3), (1, 0), (2, 0), (2, 3)}:
            ds.AcquisitionTime = f"1200{5 * k + (volumes - t if reverse else t):02}"
        ds.save_as(path, enforce_file_format=True)
    if is_read:
        ((volume,),) = [read_volumes(paths)]
        assert volume.order is not None
        assert (volume.shape[-1], volume.order.ordered_by) == (volumes, "InstanceNumber")
    else:
        refused(paths, "DUPLICATE_POSITIONS")


@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_whatever_files_lose_their_mark_the_order_is_that_of_time_or_none(data: Any) -> None:
    name, slices = data.draw(st.sampled_from(sorted(MARKS))), data.draw(st.sampled_from([1, 2, 3]))
    order = data.draw(st.permutations(range(data.draw(st.integers(2, 4)))))
    true = [time for time in order for _ in range(slices)]
    kept = data.draw(st.lists(st.booleans(), min_size=len(true), max_size=len(true)))
    values = [time if is_kept else None for time, is_kept in zip(true, kept, strict=True)]
    known = [time for time in dict.fromkeys(values) if time is not None]
    is_told = any(after < before for before, after in itertools.pairwise(known))
    with tempfile.TemporaryDirectory() as folder:
        paths = written(Path(folder), name, values, slices, data.draw(st.sampled_from(sorted(LOST))))
        truth = {dcmread(path).SOPInstanceUID: true[int(dcmread(path).InstanceNumber) - 1] for path in paths}
        try:
            volumes = read_volumes(paths, data.draw(st.sampled_from(POLICIES)))
        except InvalidSeriesError:
            event("refused")
            return
        event("read, contradicting" if is_told else "read")
        for volume in volumes:
            times = [{truth[source.sop_instance_uid] for source in line} for line in volume.sources]
            assert {len(one) for one in times} == {1}
            assert not is_told or times == sorted(times, key=min)
