"""When the volumes of a 4D series were acquired, and the gaps that interpolation may fill."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import NiftiFiles
from tests.unit.imaging.refusals import change, in_slice_order, put
from tests.unit.imaging.synthetic import Recipe, multi_frame, rotated, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLICES = 4


def dynamic(folder: Path, edit: Callable[[Dataset, int], Any], **recipe: Any) -> list[Path]:
    """A 4D series; ``edit`` gets each dataset with the number of its volume."""
    paths = single_frame(Recipe(**{"slices": SLICES, "volumes": 3, "modality": "MR", **recipe}), folder)
    for path in paths:
        ds = dcmread(path)
        ds.RepetitionTime = "4.5"
        edit(ds, int(ds.TemporalPositionIdentifier) - 1)
        ds.save_as(path)
    return paths


def test_the_time_between_volumes_is_that_of_their_acquisition(tmp_path: Path) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        at = round(float(ds.ImagePositionPatient[2]) + 7) / 100  # each slice has its own time
        ds.AcquisitionDate = "20240102" if volume else "20240101"
        ds.AcquisitionTime = f"0000{volume * 10 - 10 + at:05.2f}" if volume else f"2359{50 + at:05.2f}"

    volume = read_volume(dynamic(tmp_path, edit))
    assert list(volume.frame_times_s) == [0, 10, 20]
    assert volume.volume_step_s == 10
    image = volume.to_nifti()
    assert (image.header.get_zooms()[3], image.header.get_xyzt_units()) == (10, ("mm", "sec"))


@pytest.mark.parametrize(("lacking", "times"), [(False, (0, 3, 6)), (True, (0, 4.5, 6))])
def test_a_volume_begins_with_whichever_slice_was_taken_first(
    tmp_path: Path, times: tuple[float, ...], *, lacking: bool
) -> None:
    """The table of a perfusion CT moves to and fro; if a slice has no time, the lowest slices say the times."""

    def edit(ds: Dataset, volume: int) -> None:
        place = round((float(ds.ImagePositionPatient[2]) + 7) / 2.5)
        turn = SLICES - 1 - place if volume == 1 else place
        ds.AcquisitionNumber, ds.AcquisitionTime = volume + 1, f"1200{3 * volume + turn / 2:09.6f}"
        if lacking and (volume, place) == (1, 2):
            del ds.AcquisitionTime

    volume = read_volume(dynamic(tmp_path, edit, modality="CT"))
    assert volume.frame_times_s == times
    assert volume.volume_step_s == (None if lacking else 3)


def test_times_of_pet_frames_and_their_durations_are_in_the_sidecar(tmp_path: Path) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        ds.FrameReferenceTime, ds.ActualFrameDuration = str([5000, 15000, 40000][volume]), str(10000 + volume * 10000)
        ds.AcquisitionTime = ["100000", "100010", "100035"][volume]

    files = AutoConverter().convert(dynamic(tmp_path, edit, modality="PT"), tmp_path / "out.nii", engine="native")
    assert isinstance(files, NiftiFiles)
    metadata = json.loads(files.sidecars[0].read_text())
    assert metadata["FrameTimesStart"] == [0, 10, 35]
    assert metadata["FrameDuration"] == [10, 20, 30]
    header = nib.nifti1.Nifti1Image.from_filename(files.paths[0]).header
    assert header.get_zooms()[3] == 0  # steps are not even, so no single number is right
    assert header.get_xyzt_units() == ("mm", "unknown")


HALF_LIFE_S = 76.4


def _average_s(start: float, lasts: float) -> float:
    """When a frame of rubidium has its average rate of decay (PS3.3, section C.8.9.4)."""
    rate = math.log(2) / HALF_LIFE_S
    return start + math.log(rate * lasts / (1 - math.exp(-rate * lasts))) / rate


@pytest.mark.parametrize("has_clock", [False, True])
def test_decay_in_long_frames_is_no_pause_before_them(tmp_path: Path, *, has_clock: bool) -> None:
    lasts = [10, 10, 120]

    def edit(ds: Dataset, volume: int) -> None:
        start = sum(lasts[:volume])
        ds.FrameReferenceTime = f"{_average_s(start, lasts[volume]) * 1000:.3f}"
        ds.ActualFrameDuration = str(lasts[volume] * 1000)
        if has_clock:
            ds.AcquisitionTime = f"1200{start:02d}"

    volume = read_volume(dynamic(tmp_path, edit, modality="PT"))
    assert list(volume.frame_times_s) == ([0, 10, 20] if has_clock else [])


def test_a_repetition_is_no_time_between_volumes(tmp_path: Path) -> None:
    volume = read_volume(dynamic(tmp_path, lambda _ds, _volume: None))
    assert (volume.volume_step_s, volume.frame_times_s, volume.frame_durations_s) == (None, (), ())
    header = volume.to_nifti().header
    assert (header.get_zooms()[3], header.get_xyzt_units()) == (0, ("mm", "unknown"))


def test_an_echo_planar_scan_takes_a_volume_in_each_repetition(tmp_path: Path) -> None:
    def edit(ds: Dataset, _volume: int) -> None:
        ds.ScanningSequence, ds.RepetitionTime = "EP", "2000"

    assert read_volume(dynamic(tmp_path, edit)).volume_step_s == 2


@pytest.mark.parametrize("times", [("100000", "100000", "100010"), ("100000", "", "x")])
def test_times_that_do_not_grow_with_the_volumes_say_nothing(tmp_path: Path, times: tuple[str, ...]) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        ds.add_new("AcquisitionTime", "SH", times[volume])

    volume = read_volume(dynamic(tmp_path, edit))
    assert (volume.volume_step_s, volume.frame_times_s) == (None, ())


@pytest.mark.parametrize(
    ("keyword", "values", "starts"),
    [
        ("TriggerTime", ("0", "40.5", "81"), [0, 0.0405, 0.081]),
        ("ContentTime", ("120000", "120010", "120020.5"), [0, 10, 20.5]),
    ],
)
def test_what_tells_volumes_apart_says_when_they_were_taken(
    tmp_path: Path, keyword: str, values: tuple[str, ...], starts: list[float]
) -> None:
    def mark(ds: Dataset, volume: int) -> None:
        setattr(ds, keyword, values[volume])

    def mark_alone(ds: Dataset, volume: int) -> None:
        mark(ds, volume)
        del ds.TemporalPositionIdentifier

    (tmp_path / "alone").mkdir()
    found = read_volume(dynamic(tmp_path / "alone", mark_alone))
    assert found.order is not None
    assert (found.order.volumes_by, list(found.frame_times_s)) == (keyword, starts)
    # with another attribute, it may be the delay after a heartbeat, or the time at which an image was made
    (tmp_path / "beside").mkdir()
    assert read_volume(dynamic(tmp_path / "beside", mark)).frame_times_s == ()


@pytest.mark.parametrize(
    ("ends_s", "step_s"),
    [
        ((10.0, 20.0), 10),
        ((10.0, 20.9), 10.45),  # deviations of less than a twentieth
        ((10.0, 21.5), None),
        ((0.1, 0.235), 0.1175),  # the clocks of some scanners tick 50 times a second
        ((0.1, 0.28), None),
    ],
)
def test_volumes_follow_each_other_evenly_to_a_twentieth_or_a_tick(
    tmp_path: Path, ends_s: tuple[float, float], step_s: float | None
) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        ds.AcquisitionTime = f"1200{(0.0, *ends_s)[volume]:09.6f}"

    volume = read_volume(dynamic(tmp_path, edit))
    assert list(volume.frame_times_s) == [0, *ends_s]
    assert volume.volume_step_s == (None if step_s is None else pytest.approx(step_s, abs=1e-6))


def enhanced(folder: Path, edit: Callable[[Dataset, Dataset, int], Any]) -> list[Path]:
    """A 4D series in one file; ``edit`` gets the header, and the groups of each frame with the number of its volume."""
    (path,) = multi_frame(Recipe(slices=SLICES, volumes=3, modality="MR"), folder)
    ds = dcmread(path)
    for groups in ds.PerFrameFunctionalGroupsSequence:
        edit(ds, groups, int(groups.FrameContentSequence[0].TemporalPositionIndex) - 1)
    ds.save_as(path)
    return [path]


def group(**values: Any) -> list[Dataset]:
    return [put(Dataset(), values)]


def test_offsets_of_temporal_positions_are_seconds(tmp_path: Path) -> None:
    def edit(_ds: Dataset, groups: Dataset, volume: int) -> None:
        offset = [0.5, 3.0, 5.5][volume]
        groups.TemporalPositionSequence = group(TemporalPositionTimeOffset=offset)

    volume = read_volume(enhanced(tmp_path, edit))
    assert (list(volume.frame_times_s), volume.volume_step_s) == ([0, 2.5, 5], 2.5)


@pytest.mark.parametrize("place", ["frame", "shared", "top"])
def test_a_repetition_is_found_in_whatever_group_states_it(tmp_path: Path, place: str) -> None:
    def edit(ds: Dataset, groups: Dataset, _volume: int) -> None:
        ds.EchoPlanarPulseSequence = "YES"
        if place == "top":
            ds.RepetitionTime = "2500"
            return
        where = groups if place == "frame" else ds.SharedFunctionalGroupsSequence[0]
        where.MRTimingAndRelatedParametersSequence = group(RepetitionTime=2500.0)

    assert read_volume(enhanced(tmp_path, edit)).volume_step_s == 2.5


@pytest.mark.parametrize(
    "changes",
    [{"Modality": "CT"}, {"ScanningSequence": "GR"}, {"RepetitionTime": "0"}, {"RepetitionTime": ""}],
    ids=str,
)
def test_a_repetition_that_is_none_is_no_time_between_volumes(tmp_path: Path, changes: dict[str, str]) -> None:
    def edit(ds: Dataset, _volume: int) -> None:
        put(ds, {"ScanningSequence": "EP", "RepetitionTime": "2000", **changes})

    assert read_volume(dynamic(tmp_path, edit)).volume_step_s is None


def test_weights_of_diffusion_do_not_follow_each_other_in_time(tmp_path: Path) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        ds.ScanningSequence, ds.RepetitionTime, ds.DiffusionBValue = "EP", "2000", 500.0 * volume
        del ds.TemporalPositionIdentifier

    assert read_volume(dynamic(tmp_path, edit)).volume_step_s is None


def test_durations_that_some_volume_lacks_are_left_out(tmp_path: Path) -> None:
    def edit(ds: Dataset, volume: int) -> None:
        if volume != 1:
            ds.ActualFrameDuration = "10000"

    assert read_volume(dynamic(tmp_path, edit)).frame_durations_s == ()


def test_one_volume_has_no_times(tmp_path: Path) -> None:
    volume = read_volume(single_frame(Recipe(), tmp_path))
    assert (volume.volume_step_s, volume.frame_times_s, volume.frame_durations_s) == (None, (), ())
    assert volume.to_nifti().header.get_xyzt_units() == ("mm", "sec")


def gap(folder: Path, lost: range) -> list[Path]:
    ordered = in_slice_order(single_frame(Recipe(slices=20), folder))
    return [path for index, path in enumerate(ordered) if index not in lost]


def test_a_wide_gap_is_filled_only_when_that_is_allowed(tmp_path: Path) -> None:
    paths = gap(tmp_path, range(5, 11))
    with pytest.raises(InvalidSeriesError, match=r"the gap after slice 5 is 17.5 mm wide.*6 slice\(s\).*max_gap_mm=18"):
        read_volume(paths, "resample")
    with pytest.raises(InvalidSeriesError, match="gaps up to 17 mm are filled"):
        read_volume(paths, "resample", max_gap_mm=17)
    with pytest.raises(InvalidSeriesError, match="max_gap_mm=18"):
        AutoConverter().convert(paths, tmp_path / "out.nii", policy="resample")
    volume = read_volume(paths, "resample", max_gap_mm=18)
    assert [index for index, is_made_up in enumerate(volume.invented) if is_made_up] == [5, 6, 7, 8, 9, 10]
    files = AutoConverter().convert(paths, tmp_path / "out.nii", policy="resample", max_gap_mm=18)
    assert files.volumes[0].shape == volume.shape
    turned = volume.reorient("RAI")
    assert [index for index, is_made_up in enumerate(turned.invented) if is_made_up] == [9, 10, 11, 12, 13, 14]
    assert volume.resample(1.0).invented == ()


def test_one_missing_slice_is_filled_and_named(tmp_path: Path) -> None:
    volume = read_volume(gap(tmp_path, range(5, 6)), "resample")
    assert volume.invented == tuple(index == 5 for index in range(20))


def test_an_even_stack_has_no_invented_slice(tmp_path: Path) -> None:
    assert read_volume(single_frame(Recipe(), tmp_path), "resample").invented == ()
    shear = Recipe(shear=(0.0, 0.5, 0.0))
    (tmp_path / "t").mkdir()
    assert not any(read_volume(single_frame(shear, tmp_path / "t"), "resample").invented)


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_a_gap_is_a_positive_number(tmp_path: Path, value: float) -> None:
    with pytest.raises(UnsupportedValueError, match="max_gap_mm is a positive number"):
        read_volumes(change(single_frame(Recipe(), tmp_path), lambda _ds, _index: None), "resample", max_gap_mm=value)


OBLIQUE = rotated((1, 0, 0, 0, 1, 0), (12.5, -7.25, 3.0))
SHEARS = [(0.9, 0.0), (-0.7, 0.0), (0.0, 1.1), (0.0, -0.8), (0.5, 0.6), (-1.3, 0.4)]


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), OBLIQUE], ids=str)
@pytest.mark.parametrize("shear", SHEARS, ids=str)
@pytest.mark.parametrize("lost", [(), (4,)])
def test_a_ramp_through_tilted_slices_is_the_same_ramp_on_an_even_grid(
    tmp_path: Path, orientation: tuple[float, ...], shear: tuple[float, float], lost: tuple[int, ...]
) -> None:
    """Values that are linear in space are the same wherever they were measured."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    aside = tuple(map(float, shear[0] * row + shear[1] * column))
    recipe = Recipe(columns=24, rows=20, slices=9, orientation=orientation, shear=aside)  # type: ignore[arg-type]
    slope = np.array([31.0, -17.0, 23.0])

    def edit(ds: Dataset, index: int) -> None:
        across, down = np.meshgrid(np.arange(24) * 0.6, np.arange(20) * 0.8)
        places = recipe.positions[index] + across[..., None] * row + down[..., None] * column
        ds.PixelData = np.rint(places @ slope).astype("<i2").tobytes()

    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        edit(ds, int(ds.InstanceNumber) - 1)
        ds.save_as(path)
    kept = [path for path in paths if int(dcmread(path).InstanceNumber) - 1 not in lost]
    volume = read_volume(kept, "resample", max_gap_mm=6)
    assert not volume.is_sheared
    assert volume.spacing_mm == pytest.approx((0.6, 0.8, 2.5), abs=1e-5)
    assert volume.shape[2] == 9
    assert [k for k, is_invented in enumerate(volume.invented) if is_invented] == list(lost)
    indices = np.indices(volume.shape).reshape(3, -1)
    places = (volume.affine_lps @ np.vstack([indices, np.ones(indices.shape[1])]))[:3].T
    expected = (places @ slope).reshape(volume.shape)
    starts = (np.linalg.inv(volume.affine_lps) @ np.c_[recipe.positions, np.ones(9)].T)[:2].T
    for k in range(9):
        near = starts[max(k - 1, 0) : k + 2]
        low = np.ceil(near.max(axis=0) - 1e-4).astype(int)
        high = np.floor(near.min(axis=0) + 1e-4).astype(int) + np.array([23, 19])
        core = (slice(low[0], high[0] + 1), slice(low[1], high[1] + 1), k)
        assert volume.array[core].size > 100
        assert np.abs(volume.array[core] - expected[core]).max() <= 1.5
    # the measured region lies inside: corners of the first and the last slice
    for index in (0, 8):
        corner = np.linalg.inv(volume.affine_lps) @ [*recipe.positions[index], 1]
        assert (corner[:2] > -1e-3).all()
        assert corner[2] == pytest.approx(index, abs=1e-4)


def test_rescaled_values_between_slices_are_not_rounded(tmp_path: Path) -> None:
    recipe = Recipe(slices=5, rescale=("0.001", "0"))
    paths = in_slice_order(single_frame(recipe, tmp_path))
    volume = read_volume([*paths[:2], *paths[3:]], "resample")
    expected = recipe.values[..., 0].copy()
    expected[:, :, 2] = (expected[:, :, 1] + expected[:, :, 3]) / 2
    np.testing.assert_allclose(volume.array, expected, atol=1e-4)


@pytest.mark.parametrize("lost", [(), (2,)])
def test_each_volume_of_several_is_set_upright_by_itself(tmp_path: Path, lost: tuple[int, ...]) -> None:
    recipe = Recipe(slices=5, volumes=2, shear=(0.0, 0.9, 0.0), modality="MR")
    least = b"\x00\x80"  # the least value is outside of the slices, so that each volume has it
    paths = change(single_frame(recipe, tmp_path), lambda ds, _: setattr(ds, "PixelData", least + ds.PixelData[2:]))
    kept = [path for path in paths if (int(dcmread(path).InstanceNumber) - 1) % 5 not in lost]
    both = read_volume(kept, "resample")
    for t in range(2):
        alone = read_volume([path for path in kept if dcmread(path).TemporalPositionIdentifier == t + 1], "resample")
        assert alone.shape[2] == 5
        assert alone.invented == both.invented == tuple(k in lost for k in range(5))
        np.testing.assert_array_equal(both.array[..., t], alone.array)
        np.testing.assert_array_equal(both.affine_lps, alone.affine_lps)


def test_a_slice_that_is_shifted_by_half_a_pixel_is_the_mean_of_its_rows(tmp_path: Path) -> None:
    """Each slice is shifted by half a row; outside of the slices is the least value."""
    recipe = Recipe(columns=5, rows=6, slices=3, shear=(0.0, 0.4, 0.0))
    upright = read_volume(single_frame(recipe, tmp_path), "resample")
    values = recipe.values[..., 0]
    assert upright.shape == (5, 7, 3)
    assert upright.array[:, 6, 0].tolist() == [values.min()] * 5
    np.testing.assert_array_equal(upright.array[:, :6, 0], values[:, :, 0])
    np.testing.assert_allclose(upright.array[:, 1:6, 1], (values[:, 1:, 1] + values[:, :-1, 1]) / 2, atol=0.51)
    assert upright.array[:, 0, 2].tolist() == [values.min()] * 5
    np.testing.assert_array_equal(upright.array[:, 1:, 2], values[:, :, 2])


def test_noise_across_a_tilt_does_not_widen_the_grid(tmp_path: Path) -> None:
    recipe = Recipe(columns=5, rows=6, slices=5, shear=(0.0, 0.4, 0.0))

    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[0] = float(ds.ImagePositionPatient[0]) + 0.01 * (index % 2)

    upright = read_volume(change(single_frame(recipe, tmp_path), edit), "resample")
    assert upright.shape == (5, 8, 5)
    np.testing.assert_array_equal(upright.array[:, 2:, 4], recipe.values[:, :, 4, 0])


def test_rounded_positions_of_a_tilted_stack_keep_their_number(tmp_path: Path) -> None:
    """Most steps are rounded to more than the mean step."""
    recipe = Recipe(columns=5, rows=6, slices=12, step=0.75, shear=(0.0, 0.4, 0.0))

    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float(-7.0 + np.floor(7.5 * index + 0.5) / 10)

    upright = read_volume(change(single_frame(recipe, tmp_path), edit), "resample")
    assert upright.shape[2] == 12
    assert upright.spacing_mm[2] == pytest.approx(0.75, abs=0.01)
