"""What shows that slices at distinct places are several volumes, and what one volume can explain."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

POLICIES = ("strict", "split", "largest", "resample")


def stack(
    folder: Path,
    heights: Sequence[float],
    numbers: Sequence[int],
    modality: str = "CT",
    marks: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> list[Path]:
    """Slices at these heights with these InstanceNumbers, and marks of their own; None leaves a mark out."""
    recipe = Recipe(columns=3, rows=2, slices=len(heights), modality=modality)
    paths = sorted(single_frame(recipe, folder), key=lambda path: int(dcmread(path).InstanceNumber))
    for k, path in enumerate(paths):
        ds = dcmread(path)
        ds.ImagePositionPatient[2], ds.InstanceNumber = heights[k], numbers[k]
        del ds.AcquisitionNumber
        for name, values in marks.items():
            if values[k] is not None:
                setattr(ds, name, values[k])
        ds.save_as(path)
    return paths


def codes(paths: list[Path]) -> frozenset[str]:
    return frozenset(inspect_series(paths).codes)


def heights_of(gaps: Sequence[float]) -> list[float]:
    return [round(float(height), 4) for height in np.cumsum([0.0, *gaps])]


@pytest.mark.parametrize(
    ("gaps", "noise_mm"),
    [
        ([1.0, 4.0, 1.0, 4.0, 1.0], 0.0),
        ([1.0, 4.0, 1.0, 4.0, 1.0], 0.0165),
        ([2.0, 2.0, 3.0, 2.0, 2.0, 3.0, 2.0, 2.0], 0.0),
        ([2.0, 2.0, 3.0, 2.0, 2.0, 3.0, 2.0, 2.0], 0.025),
    ],
    ids=str,
)
def test_the_fewest_distances_that_repeat_are_in_doubt(tmp_path: Path, gaps: list[float], noise_mm: float) -> None:
    """Distances count as equal if they differ by at most a fiftieth of the widest."""
    heights = [height + noise_mm * (-1) ** (k // 2) for k, height in enumerate(heights_of(gaps))]
    paths = stack(tmp_path, heights, [1] * len(heights))
    for policy in POLICIES:
        refused(paths, "INTERLEAVED_VOLUMES", policy)


@pytest.mark.parametrize(
    "gaps",
    [
        [2.0, 2.0, 2.0, 5.0, 5.0, 5.0],
        [5.0, 2.0, 2.0, 2.0, 2.0, 5.0],
        [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 2.0, 2.0, 1.0, 1.0],
        [4.0, 1.0, 4.0, 1.0],  # too few distances to repeat
    ],
    ids=str,
)
def test_a_step_that_changes_a_few_times_is_no_doubt(tmp_path: Path, gaps: list[float]) -> None:
    heights = heights_of(gaps)
    for numbers in ([1] * len(heights), range(1, len(heights) + 1)):
        (tmp_path / f"{numbers[1]}").mkdir()
        paths = stack(tmp_path / f"{numbers[1]}", heights, list(numbers))
        assert codes(paths) == {"MIXED_SPACING"}
        assert sum(part.shape[2] for part in read_volumes(paths, "split")) == len(heights)


def test_a_step_that_changes_again_and_again_is_in_doubt(tmp_path: Path) -> None:
    heights = heights_of([1.0, 2.0, 1.3, 2.1, 1.7, 2.6, 1.1])
    assert "INTERLEAVED_VOLUMES" in codes(stack(tmp_path, heights, [1] * 8))


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(("missing_numbers", "is_doubted"), [(True, False), (False, True)])
def test_slices_that_are_missing_with_their_numbers_are_no_doubt(
    tmp_path: Path, *, missing_numbers: bool, is_doubted: bool, is_reversed: bool
) -> None:
    """Every third slice is lost: only numbers that skip as well explain such distances."""
    places = [k for k in range(12) if k % 3 != 2]
    numbers = [k + 1 for k in places] if missing_numbers else [5, 1, 2, 8, 4, 3, 7, 6]
    if is_reversed:
        numbers = [13 - number for number in numbers]
    found = codes(stack(tmp_path, [2.0 * k for k in places], numbers))
    assert ("INTERLEAVED_VOLUMES" in found) is is_doubted
    assert ("MISSING_SLICES" in found) or is_doubted


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("is_descending", [False, True])
def test_two_volumes_slice_by_slice_more_than_a_step_apart_are_in_doubt(
    tmp_path: Path, modality: str, policy: str, *, is_descending: bool
) -> None:
    heights = sorted([3.0 * k for k in range(6)] + [3.0 * k + 4.5 for k in range(6)])
    of_volume = {height: divmod(height, 3)[1] > 1 for height in heights}
    numbers = [int((h - 4.5) // 3 * 2 + 2 if of_volume[h] else h // 3 * 2 + 1) for h in heights]
    if is_descending:
        numbers = [13 - number for number in numbers]
    refused(stack(tmp_path, heights, numbers, modality), "INTERLEAVED_VOLUMES", policy)


@pytest.mark.parametrize("is_descending", [False, True])
def test_two_volumes_one_after_the_other_are_in_doubt(tmp_path: Path, *, is_descending: bool) -> None:
    """They lie half a step apart."""
    numbers = [1, 5, 2, 6, 3, 7, 4, 8]
    if is_descending:
        numbers = [9 - number for number in numbers]
    paths = stack(tmp_path, [1.5 * k for k in range(8)], numbers)
    for policy in POLICIES:
        refused(paths, "INTERLEAVED_VOLUMES", policy)


@pytest.mark.parametrize(
    ("numbers", "is_doubted"),
    [
        ([1, 1, 2, 2, 3, 3, 4, 4], True),
        ([4, 4, 3, 3, 2, 2, 1, 1], True),
        ([1, 1, 2, 2, 3, 3, 4], True),  # one of the volumes lacks its last slice
        ([1, 1, 1, 2, 2, 3, 3, 3], True),
        ([0, 2, 3, 4, 0, 6, 7, 8], False),  # two files have no number
        ([*range(1, 9), *range(1, 7)], False),  # one part follows the other along the stack
        ([*range(8, 0, -1), *range(6, 0, -1)], False),
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], True),
    ],
    ids=str,
)
def test_numbers_that_begin_anew_with_each_volume_are_in_doubt(
    tmp_path: Path, numbers: list[int], *, is_doubted: bool
) -> None:
    paths = stack(tmp_path, [1.5 * k for k in range(len(numbers))], numbers)
    if is_doubted:
        assert "InstanceNumbers count through the stack several times" in str(refused(paths, "INTERLEAVED_VOLUMES"))
    else:
        assert read_volume(paths).shape == (3, 2, len(numbers))


def test_numbers_that_are_all_the_same_are_no_evidence(tmp_path: Path) -> None:
    volume = read_volume(stack(tmp_path, [1.5 * k for k in range(8)], [1] * 8))
    assert volume.shape == (3, 2, 8)
    assert volume.order is not None
    assert volume.order.plan == ""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("AcquisitionNumber", [1, None]),
        ("AcquisitionNumber", [2, 1]),
        ("FrameReferenceTime", ["0", "60000"]),
        ("StackID", ["1", "2"]),
    ],
    ids=str,
)
def test_marks_that_go_through_a_stack_twice_make_two_volumes(tmp_path: Path, name: str, values: list[Any]) -> None:
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), marks={name: values * 4})
    parts = sorted(read_volumes(paths, "split"), key=lambda part: float(part.affine_lps[2, 3]))
    by_uid = {str(ds.SOPInstanceUID): float(ds.ImagePositionPatient[2]) for ds in map(dcmread, paths)}
    found = [[by_uid[source.sop_instance_uid] for source in part.sources[0]] for part in parts]
    assert found == [[0, 3, 6, 9], [1.5, 4.5, 7.5, 10.5]]
    assert "MULTI_VOLUME" in codes(paths) or "MOVED_VOLUMES" in codes(paths)


@pytest.mark.parametrize("name", ["AcquisitionNumber", "FrameReferenceTime"])
def test_marks_that_change_once_along_a_stack_are_blocks_of_one_volume(tmp_path: Path, name: str) -> None:
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), marks={name: [1] * 3 + [2] * 5})
    assert read_volume(paths).shape == (3, 2, 8)


@pytest.mark.parametrize("name", ["TemporalPositionIdentifier", "DiffusionBValue"])
def test_two_values_of_an_attribute_that_is_constant_in_a_volume_are_two_volumes(tmp_path: Path, name: str) -> None:
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), marks={name: [1] * 3 + [2] * 5})
    with pytest.raises(InvalidSeriesError, match="is refused"):
        read_volume(paths)


def clock(seconds: float) -> str:
    return f"12{int(seconds // 60):02}{seconds % 60:09.6f}"


@pytest.mark.parametrize(("between_s", "is_assumed"), [(3.9, False), (4.1, True)])
def test_slices_within_one_repetition_are_one_volume(tmp_path: Path, between_s: float, *, is_assumed: bool) -> None:
    """The repetition takes four seconds."""
    times = [clock(between_s * (k % 2)) for k in range(8)]
    marks = {"AcquisitionTime": times, "RepetitionTime": ["4000"] * 8}
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), "MR", marks)
    volume = read_volume(paths)
    assert volume.order is not None
    assert volume.order.passes_by == ("AcquisitionTime" if is_assumed else "")
    assert codes(paths) == ({"ASSUMED_PASSES"} if is_assumed else set())


def test_passes_need_more_than_three_slices(tmp_path: Path) -> None:
    marks = {"AcquisitionTime": [clock(90.0 * (k % 2)) for k in range(3)]}
    assert codes(stack(tmp_path, [1.5 * k for k in range(3)], [1, 2, 3], "MR", marks)) == set()


def test_uneven_passes_are_in_doubt_and_not_assumed(tmp_path: Path) -> None:
    heights = [3.0 * (k // 2) + 1.2 * (k % 2) for k in range(8)]
    marks = {"AcquisitionTime": [clock(90.0 * (k % 2)) for k in range(8)]}
    paths = stack(tmp_path, heights, list(range(1, 9)), "MR", marks)
    for policy in POLICIES:
        assert "ASSUMED_PASSES" not in refused(paths, "INTERLEAVED_VOLUMES", policy).codes


@pytest.mark.parametrize(
    ("numbers", "heights", "is_one"),
    [
        ([1, 1, 2, 2] * 3, [1.5 * k for k in range(12)], True),
        ([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3] + [1] * 4, [1.5 * k for k in range(16)], True),
        ([1, 2, 2, 1] * 3, [1.5 * k for k in range(12)], False),
        ([1, 1, 2, 2] * 3, [1.5 * k + 0.5 * (k // 2 % 2) for k in range(12)], False),
    ],
)
def test_blocks_of_a_few_numbers_are_one_volume_if_all_slices_lie_evenly(
    tmp_path: Path, numbers: list[int], heights: list[float], *, is_one: bool
) -> None:
    marks = {"AcquisitionNumber": numbers}
    paths = stack(tmp_path, heights, list(range(1, len(heights) + 1)), marks=marks)
    if is_one:
        assert read_volume(paths).shape == (3, 2, len(heights))
        return
    with pytest.raises(InvalidSeriesError, match=r"_VOLUMES"):
        read_volume(paths)


@pytest.mark.parametrize(
    ("modality", "times", "is_one"),
    [
        ("MR", ("235900", "000100"), True),
        ("MR", ("100000", "180000"), False),  # 32 hours later
        ("CT", ("235900", "000100"), False),  # a CT takes no passes
    ],
)
def test_the_second_pass_of_a_scan_may_be_past_midnight(
    tmp_path: Path, modality: str, times: tuple[str, str], *, is_one: bool
) -> None:
    marks = {"AcquisitionDate": ["20240301", "20240302"] * 4, "AcquisitionTime": [*times] * 4}
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), modality, marks)
    if is_one:
        assert read_volume(paths).shape == (3, 2, 8)
        assert codes(paths) == {"ASSUMED_PASSES"}
        return
    with pytest.raises(InvalidSeriesError, match=r"_VOLUMES"):
        read_volume(paths)


@pytest.mark.parametrize("slices", [10, 12, 15, 20])
def test_slices_that_are_numbered_at_random_are_one_volume(tmp_path: Path, slices: int) -> None:
    """Of random numbers, few count through the stack in even steps, as those of each of several volumes do."""
    in_doubt = 0
    for seed in range(25):
        numbers = [int(number) + 1 for number in np.random.default_rng(seed).permutation(slices)]
        (tmp_path / str(seed)).mkdir()
        paths = stack(tmp_path / str(seed), [1.5 * k for k in range(slices)], numbers)
        in_doubt += "INTERLEAVED_VOLUMES" in codes(paths)
    assert in_doubt <= 1


@pytest.mark.parametrize("volumes", [2, 3, 4])
@pytest.mark.parametrize("lost", [0, 1])
def test_volumes_numbered_one_after_the_other_are_in_doubt(tmp_path: Path, volumes: int, lost: int) -> None:
    cells = sorted((round(3 * k + 3 * t / volumes, 4), t * 6 + k + 1) for t in range(volumes) for k in range(6))
    heights, numbers = zip(*cells[: len(cells) - lost], strict=True)
    refused(stack(tmp_path, heights, numbers), "INTERLEAVED_VOLUMES")


@pytest.mark.parametrize(
    ("name", "values", "is_one"),
    [
        ("XRayTubeCurrent", [200, 201], True),
        ("XRayTubeCurrent", [200, 260], False),
        ("XRayTubeCurrent", [200, None], False),
        ("Exposure", ["50", "51"], True),
        ("CTDIvol", [5.0, 5.05], True),
        ("CTDIvol", [5.0, 7.5], False),
        ("SAR", [0.0, 0.1], False),
    ],
)
def test_measured_settings_that_differ_by_noise_tell_no_volumes_apart(
    tmp_path: Path, name: str, values: list[Any], *, is_one: bool
) -> None:
    paths = stack(tmp_path, [1.5 * k for k in range(8)], list(range(1, 9)), marks={name: values * 4})
    assert (codes(paths) == frozenset()) == is_one


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("modality", "stated_mm", "is_one"),
    [("MR", 2.0, True), ("MR", -2.0, True), ("MR", 4.0, False), ("MR", None, False), ("CT", 2.0, False)],
)
def test_passes_that_are_numbered_one_after_the_other_are_one_volume_if_the_header_states_its_step(
    tmp_path: Path, policy: Any, modality: str, stated_mm: float | None, *, is_one: bool
) -> None:
    numbers = [*range(1, 7), *range(7, 13)]
    heights = [2.0 * k for k in (*range(0, 12, 2), *range(1, 12, 2))]
    times = [f"1200{number:02}" for number in numbers]
    marks: dict[str, list[Any]] = {"SpacingBetweenSlices": [stated_mm] * 12, "AcquisitionTime": times}
    paths = stack(tmp_path, heights, numbers, modality, marks)
    if is_one:
        volume = read_volume(paths, policy)
        assert volume.shape[2] == 12
        assert volume.spacing_mm[2] == 2.0
    else:
        refused(paths, "INTERLEAVED_VOLUMES", policy)


def test_volumes_that_are_numbered_from_one_each_are_in_doubt_whatever_step_is_stated(tmp_path: Path) -> None:
    heights = [2.0 * k for k in (*range(0, 12, 2), *range(1, 12, 2))]
    paths = stack(tmp_path, heights, [*range(1, 7)] * 2, "MR", {"SpacingBetweenSlices": [2.0] * 12})
    refused(paths, "INTERLEAVED_VOLUMES")
