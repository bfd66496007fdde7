"""Parts of a series are named by what tells them apart; volumes that drift or lie side by side share no grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.series.inspection import examine, inspect_series
from dcm_processor_service.imaging.series.policies import split_stacks
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.unit.imaging.refusals import change, put, refused, together
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

MR = Recipe(modality="MR", volumes=4, slices=3)


def parts(folder: Path, *marks: dict[str, Any]) -> dict[str, int]:
    """Returns the name and the number of each part of a series whose parts differ only in the given marks."""
    recipe = Recipe(modality="MR", volumes=len(marks), slices=3)

    def edit(ds: Dataset, _: int) -> None:
        put(ds, marks[int(ds.TemporalPositionIdentifier) - 1])
        del ds.TemporalPositionIdentifier

    volumes = read_volumes(change(single_frame(recipe, folder), edit), "split")
    found = {}
    for volume in volumes:
        [number] = [t for t in range(len(marks)) if np.array_equal(volume.array, recipe.values[..., t])]
        found[volume.name] = number
    return found


def image_type(*values: str) -> dict[str, Any]:
    return {"ImageType": ["ORIGINAL", "PRIMARY", *values]}


def test_parts_that_differ_in_two_ways_are_named_by_both(tmp_path: Path) -> None:
    marks = [{"EchoTime": echo, **image_type(kind)} for echo in ("20", "5") for kind in ("M", "P")]
    assert parts(tmp_path, *marks) == {"p_echo-1": 3, "m_echo-1": 2, "p_echo-2": 1, "m_echo-2": 0}


def test_parts_are_named_by_what_is_their_own_in_an_image_type(tmp_path: Path) -> None:
    found = parts(tmp_path, image_type("M", "FFE"), image_type("T1 MAP", "T1 MAP", "FFE"), image_type("FFE"))
    assert found == {"m": 0, "t1-map": 1, "plain": 2}


def test_parts_whose_names_would_be_the_same_are_numbered(tmp_path: Path) -> None:
    found = parts(tmp_path, image_type("B_1"), image_type("B 1"))
    assert sorted(found) == ["b-1-1", "b-1-2"]


def test_a_part_that_lacks_the_mark_comes_before_those_that_have_it(tmp_path: Path) -> None:
    assert parts(tmp_path, {"EchoTime": "9"}, {"EchoTime": ""}, {"EchoTime": "4"}) == {
        "echo-1": 1,
        "echo-2": 2,
        "echo-3": 0,
    }


@pytest.mark.parametrize(("aside_mm", "count"), [(3.1, 0), (3.4, 2)])
def test_stacks_are_side_by_side_from_four_pixels_on(tmp_path: Path, aside_mm: float, count: int) -> None:
    """The wider distance of pixels is 0.8 mm; what lies nearer is a volume that has moved."""
    recipes = [
        Recipe(modality="MR", extra={"InstanceNumber": 1}),
        Recipe(modality="MR", origin=(-12.5, 40.25 + aside_mm, -7.0), seed=1, extra={"InstanceNumber": 1}),
    ]
    paths = together(tmp_path, (recipes[0], "a"), (recipes[1], "b"))
    if not count:
        refused(paths, "DUPLICATE_POSITIONS", "split")
        return
    volumes = read_volumes(paths, "split")
    assert [volume.name for volume in volumes] == ["place-1", "place-2"]
    for volume, recipe in zip(sorted(volumes, key=lambda one: float(one.affine_lps[1, 3])), recipes, strict=True):
        np.testing.assert_array_equal(volume.array, recipe.values[..., 0])
        np.testing.assert_allclose(volume.affine_lps, recipe.affine_lps, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("drift_mm", "is_one"), [(0.14, True), (0.16, False)])
def test_volumes_that_drift_aside_by_more_than_a_quarter_of_a_voxel_have_no_grid(
    tmp_path: Path, drift_mm: float, axis: int, *, is_one: bool
) -> None:
    """The smallest side of a voxel is 0.6 mm."""

    def edit(ds: Dataset, _: int) -> None:
        ds.ImagePositionPatient[axis] = float(ds.ImagePositionPatient[axis]) + drift_mm * (
            ds.TemporalPositionIdentifier == 3
        )

    paths = change(single_frame(MR, tmp_path), edit)
    if is_one:
        np.testing.assert_array_equal(read_volume(paths).array, MR.values)
        return
    for policy in ("strict", "split", "largest", "resample"):
        report = refused(paths, "SHIFTED_SLICES", policy)
    [finding] = [one for one in report.findings if one.code == "SHIFTED_SLICES"]
    assert "up to 0.16 mm" in finding.message


def test_a_volume_of_several_is_not_filled_by_interpolation(tmp_path: Path) -> None:
    paths = [path for path in single_frame(MR, tmp_path) if int(dcmread(path).InstanceNumber) != 5]
    for policy in ("strict", "resample"):
        [finding] = [one for one in refused(paths, "MISSING_SLICES", policy).findings if one.code == "MISSING_SLICES"]
    assert finding.positions_mm == (-4.5,)
    np.testing.assert_array_equal(read_volume(paths, "largest").array, MR.values[..., [0, 2, 3]])


def test_parts_are_not_joined_by_interpolation(tmp_path: Path) -> None:
    first = Recipe(slices=4)
    paths = together(tmp_path, (first, "a"), (Recipe(slices=4, row_distance=1.5, origin=(-12.5, 40.25, 13.0)), "b"))
    refused(paths, "MIXED_SPACING", "resample")
    assert len(read_volumes(paths, "split")) == 2


def test_three_reasons_are_told_and_the_others_are_counted(tmp_path: Path) -> None:
    others = [Recipe(columns=6, slices=2), Recipe(orientation=(1, 0, 0, 0, 0, -1), slices=2)]
    wide = Recipe(row_distance=1.5, slices=2, bits_allocated=8, bits_stored=8)
    paths = together(tmp_path, (Recipe(), "a"), *((recipe, f"b{n}") for n, recipe in enumerate([*others, wide])))
    report = inspect_series(paths)
    blocking = [finding for finding in report.findings if finding.blocking]
    assert {"MIXED_SIZE", "MIXED_FORMAT", "MIXED_ORIENTATION", "MIXED_SPACING"} <= {one.code for one in blocking}
    with pytest.raises(InvalidSeriesError, match=f"and {len(blocking) - 3} more") as caught:
        read_volumes(paths)
    for finding in blocking[:3]:
        assert finding.message in str(caught.value)
    assert blocking[3].message not in str(caught.value)


def test_one_reason_is_told_alone(tmp_path: Path) -> None:
    paths = together(tmp_path, (Recipe(), "a"), (Recipe(columns=6, slices=2), "b"))
    with pytest.raises(InvalidSeriesError, match="MIXED_SIZE") as caught:
        read_volumes(paths)
    assert "more" not in str(caught.value)


def test_the_largest_part_is_that_with_the_most_voxels(tmp_path: Path) -> None:
    many, wide = Recipe(columns=4, rows=4, slices=4), Recipe(columns=20, rows=2, slices=3)
    paths = together(tmp_path, (many, "a"), (wide, "b"))
    assert read_volume(paths, "largest").shape == (20, 2, 3)


def test_volumes_in_time_count_for_the_largest_part(tmp_path: Path) -> None:
    paths = together(tmp_path, (replace(MR, slices=2), "a"), (Recipe(modality="MR", row_distance=2.0, slices=7), "b"))
    for path in (tmp_path / "b").iterdir():
        ds = dcmread(path)
        ds.InstanceNumber += 100
        ds.save_as(path)
    assert read_volume(paths, "largest").shape == (5, 4, 2, 4)


def test_a_part_says_where_and_how_it_lies_and_what_it_costs(tmp_path: Path) -> None:
    turn = np.radians(30)
    recipe = Recipe(
        columns=5,
        rows=4,
        slices=3,
        volumes=2,
        orientation=(1, 0, 0, 0, round(float(np.cos(turn)), 10), round(float(np.sin(turn)), 10)),
        modality="MR",
    )
    report = inspect_series(single_frame(recipe, tmp_path))
    [part] = report.parts
    assert part.shape == (5, 4, 3, 2)
    assert part.spacing_mm == pytest.approx((0.6, 0.8, 2.5), abs=1e-5)
    assert part.orientation_angles_deg == pytest.approx((90, 60, 30), abs=1e-6)
    assert (part.orientation, part.nearest_plane) == ("oblique", "axial")
    assert part.tilt_deg == pytest.approx(0, abs=1e-3)
    assert part.first_position_mm == recipe.origin
    assert (part.voxel_type, part.memory_bytes) == ("int16", 5 * 4 * 3 * 2 * 2)
    assert part.time_attribute == "TemporalPositionIdentifier"
    assert (report.instance_count, report.frame_count, report.is_diffusion) == (6, 6, False)
    assert (report.modality, report.description, report.series_number) == ("MR", "made up", 3)


def test_a_report_has_what_rules_choose_by(tmp_path: Path) -> None:
    extra = {"BodyPartExamined": "CHEST", "ConvolutionKernel": "B70f"}
    report = inspect_series(single_frame(Recipe(slices=3, extra=extra), tmp_path))
    assert (report.body_part, report.kernel) == ("CHEST", "B70f")


def test_uneven_steps_say_how_many_parts_there_are(tmp_path: Path) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float([0, 1, 2, 4, 6, 8, 9, 10, 11][index])

    paths = change(single_frame(Recipe(slices=9), tmp_path), edit)
    [finding] = refused(paths, "MIXED_SPACING").findings
    assert "varies from 1 to 2 mm" in finding.message
    assert "split for 3 parts, in which slices lie up to 0 mm off" in finding.message
    assert [part.shape[2] for part in read_volumes(paths, "split")] == [3, 3, 3]
    assert [part.name for part in read_volumes(paths, "split")] == ["run-1", "run-2", "run-3"]


@pytest.mark.parametrize("count", [1, 2, 25])
def test_a_finding_names_its_instances(tmp_path: Path, count: int) -> None:
    """A finding names at most twenty instances."""
    paths = change(
        single_frame(Recipe(slices=count + 1), tmp_path),
        lambda ds, k: setattr(ds, "PixelData", ds.PixelData[:10] if k < count else ds.PixelData),
    )
    uids = [str(dcmread(path).SOPInstanceUID) for path in paths][:count]
    [finding] = refused(paths, "TRUNCATED").findings
    assert finding.count == count
    assert set(finding.sop_instance_uids) <= set(uids)
    assert len(finding.sop_instance_uids) == min(count, 20)
    assert ("each of" in finding.message) is (count > 1)
    assert any(uid in finding.message for uid in uids)


@pytest.mark.parametrize(("slices", "has_more"), [(6, False), (7, True)])
def test_frames_that_are_left_out_are_named_five_at_most(tmp_path: Path, slices: int, *, has_more: bool) -> None:
    recipe = Recipe(modality="MR", volumes=3, slices=slices)
    paths = [path for path in single_frame(recipe, tmp_path) if int(dcmread(path).InstanceNumber) != slices + 2]
    [finding] = [one for one in refused(paths, "MISSING_SLICES").findings if one.code == "MISSING_SLICES"]
    assert len(finding.sop_instance_uids) == slices - 1
    assert ("…" in finding.message) is has_more
    assert finding.message.count("frame 1 of") == 5


@pytest.mark.parametrize(
    ("gaps", "sizes"),
    [
        ([2, 2, 5, 5, 2, 2], [3, 1, 3]),  # the middle slice is equally near to both neighbours
        ([2, 2, 2, 5], [4, 1]),
        ([5, 2, 2, 2], [1, 4]),
        ([5, 2, 5, 5], [1, 2, 2]),
        ([2, 2, 2, 2.03, 2.03, 2.03], [7]),
        ([2, 2, 2, 2.1, 2.1, 2.1], [4, 3]),
    ],
    ids=str,
)
def test_a_part_ends_where_the_step_changes(tmp_path: Path, gaps: list[float], sizes: list[int]) -> None:
    heights = np.cumsum([0, *gaps]).round(4).tolist()
    paths = change(
        single_frame(Recipe(slices=len(heights)), tmp_path),
        lambda ds, k: setattr(ds, "ImagePositionPatient", [0, 0, heights[k]]),
    )
    stacks = split_stacks(examine(paths))
    assert [len(stack.grid[0]) for stack in stacks] == sizes
    found = [frame.position[2] for stack in stacks for frame in stack.grid[0] if frame.position]
    assert found == heights


def test_no_slice_of_a_part_lies_off_its_even_steps(tmp_path: Path) -> None:
    """Each step is a hundredth longer than the one before, which is too little to be seen between two neighbours."""
    heights = np.cumsum([0.0, *(2.0 * 1.01**k for k in range(24))]).round(4).tolist()
    paths = change(
        single_frame(Recipe(columns=2, rows=2, slices=25), tmp_path),
        lambda ds, k: setattr(ds, "ImagePositionPatient", [0, 0, heights[k]]),
    )
    parts = read_volumes(paths, "split")
    assert len(parts) > 3
    by_uid = {str(ds.SOPInstanceUID): float(ds.ImagePositionPatient[2]) for ds in map(dcmread, paths)}
    for part in parts:
        for k, source in enumerate(part.sources[0]):
            place = part.affine_lps @ [0, 0, k, 1]
            assert abs(place[2] - by_uid[source.sop_instance_uid]) <= 0.02 * part.spacing_mm[2]
