"""Which volume a frame belongs to where the header says it in a roundabout way, or contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.imaging.native import read_volume, read_volumes
from tests.unit.imaging.refusals import refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

RECIPE = Recipe(volumes=4, slices=5, modality="MR")


def series(
    folder: Path, edit: Callable[[Dataset, int, int], None] = lambda _ds, _t, _k: None
) -> dict[tuple[int, int], Path]:
    """The files by volume and slice, without what counts volumes."""
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


def test_instance_numbers_go_before_the_time_when_images_were_written(tmp_path: Path) -> None:
    def edit(ds: Dataset, t: int, _: int) -> None:
        ds.ContentTime = f"1200{9 - t:02}"

    np.testing.assert_array_equal(read_volume(list(series(tmp_path, edit).values())).array, RECIPE.values)


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
    [whole] = read_volumes(list(files.values()), "largest")
    kept = [t for t in range(RECIPE.volumes) if t not in {t for t, _ in lost}]
    np.testing.assert_array_equal(whole.array, RECIPE.values[..., kept])


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
        assert "MISSING_SLICES" not in refused(files, "SHIFTED_SLICES", "split").codes


def test_two_passes_that_fill_each_others_gaps_are_one_volume(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=8, modality="MR"), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.AcquisitionNumber = 1 + int(ds.InstanceNumber) % 2
        ds.save_as(path)
    np.testing.assert_array_equal(read_volume(paths).array, Recipe(slices=8, modality="MR").values[..., 0])
