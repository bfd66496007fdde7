"""The order of the given files does not matter: parts, their order, their names and the report stay the same."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.imaging.refusals import change, together
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable

LOCALIZER = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def four_planes(folder: Path) -> list[Path]:
    """All parts have equally many voxels, and the instance numbers of each begin at 1."""
    return together(
        folder,
        (Recipe(), "a"),
        (Recipe(orientation=CORONAL, seed=1), "b"),
        (Recipe(orientation=(0, 1, 0, 0, 0, -1), seed=2), "c"),
        (Recipe(extra=LOCALIZER, seed=3), "d"),
    )


def sizes(folder: Path) -> list[Path]:
    return together(
        folder, (Recipe(), "a"), (Recipe(rows=5, columns=4, seed=1), "b"), (Recipe(rows=2, columns=10), "c")
    )


def alike(folder: Path) -> list[Path]:
    """Parts that differ only in their pixel spacing, which is not a part of their names."""
    return together(folder, *((Recipe(row_distance=0.5 + n, seed=n), f"{n}") for n in range(2)))


def places(folder: Path) -> list[Path]:
    return together(folder, *((Recipe(modality="MR", origin=(90.0 * n, 0.0, 0.0), seed=n), f"{n}") for n in range(3)))


def echoes(folder: Path) -> list[Path]:
    def edit(ds: Dataset, _: int) -> None:
        ds.EchoTime = str(5.5 * int(ds.TemporalPositionIdentifier))
        del ds.TemporalPositionIdentifier
        ds.InstanceNumber = 1

    return change(single_frame(Recipe(volumes=3, modality="MR"), folder), edit)


def twice(folder: Path) -> list[Path]:
    """Two slices at each position that no attribute tells apart."""
    paths = single_frame(Recipe(), folder)
    for path in list(paths):
        ds = dcmread(path)
        ds.SOPInstanceUID = generate_uid()
        ds.PixelData = ds.PixelData[::-1]
        ds.save_as(path.with_suffix(".again"))
        paths.append(path.with_suffix(".again"))
    return paths


NAMES: dict[Callable[[Path], list[Path]], list[str]] = {
    four_planes: ["axial", "coronal", "sagittal", "localizer"],
    sizes: ["5x4", "4x5", "10x2"],
    alike: ["part-1", "part-2"],
    places: ["place-1", "place-2", "place-3"],
    echoes: ["echo-1", "echo-2", "echo-3"],
}


def orders(paths: list[Path]) -> list[list[Path]]:
    """Returns the files sorted by name, reversed, sorted by part in every direction, and shuffled."""
    by_folder = [list(group) for _, group in itertools.groupby(sorted(paths), key=lambda path: path.parent)]
    shuffled = [[paths[index] for index in np.random.default_rng(seed).permutation(len(paths))] for seed in range(4)]
    by_part = [[path for part in parts for path in part] for parts in itertools.permutations(by_folder)]
    return [*by_part, sorted(paths, reverse=True), *shuffled]


def renamed(paths: list[Path], folder: Path) -> list[list[Path]]:
    """Copies the files to other names, as another archive might choose them."""
    found = []
    for seed in range(3):
        (folder / f"renamed-{seed}").mkdir()
        numbers = np.random.default_rng(seed).permutation(len(paths))
        names = [folder / f"renamed-{seed}" / f"{number:04}.dcm" for number in numbers]
        found.append([Path(shutil.copy(path, name)) for path, name in zip(paths, names, strict=True)])
    return found


@pytest.mark.parametrize("make", NAMES)
def test_parts_have_the_same_order_names_and_voxels_in_any_order_of_files(
    tmp_path: Path, make: Callable[[Path], list[Path]]
) -> None:
    paths = make(tmp_path)
    first = read_volumes(paths, "split")
    assert sorted(volume.name for volume in first) == sorted(NAMES[make])
    for order in [*orders(paths), *renamed(paths, tmp_path)]:
        again = read_volumes(order, "split")
        assert [volume.name for volume in again] == [volume.name for volume in first]
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one.array, other.array)
            np.testing.assert_array_equal(one.affine_lps, other.affine_lps)
            assert one.sources == other.sources
        [largest] = read_volumes(order, "largest")
        np.testing.assert_array_equal(largest.array, read_volumes(paths, "largest")[0].array)


@pytest.mark.parametrize("make", [*NAMES, twice])
def test_the_report_is_the_same_in_any_order_of_files(tmp_path: Path, make: Callable[[Path], list[Path]]) -> None:
    paths = make(tmp_path)
    report = inspect_series(paths)
    for order in [*orders(paths), *renamed(paths, tmp_path)]:
        assert inspect_series(order) == report


def numbered_from(start: int) -> Callable[[Dataset, int], None]:
    def edit(ds: Dataset, _: int) -> None:
        ds.InstanceNumber = start + int(ds.InstanceNumber)

    return edit


def test_parts_of_one_size_come_in_the_order_of_their_instance_numbers(tmp_path: Path) -> None:
    paths = four_planes(tmp_path)
    for number, folder in enumerate("dbca"):  # the localizer is numbered first
        change([path for path in paths if path.parent.name == folder], numbered_from(100 * number))
    for order in orders(paths):
        assert [volume.name for volume in read_volumes(order, "split")] == [
            "coronal", "sagittal", "axial", "localizer"
        ]  # fmt: skip


def test_the_part_with_the_most_voxels_comes_first(tmp_path: Path) -> None:
    recipes = [Recipe(slices=slices, row_distance=0.5 + slices) for slices in (2, 5, 3)]
    paths = together(tmp_path, *((recipe, str(recipe.slices)) for recipe in recipes))
    for number, folder in enumerate("253"):
        change([path for path in paths if path.parent.name == folder], numbered_from(100 * number))
    assert [volume.shape[2] for volume in read_volumes(paths, "split")] == [5, 3, 2]


def test_what_is_wrong_with_files_is_reported_in_one_order(tmp_path: Path) -> None:
    paths = single_frame(Recipe(), tmp_path)
    for path in paths[:3]:
        path.write_bytes(b"nothing")
    report = inspect_series(paths)
    assert [finding.code for finding in report.findings].count("UNREADABLE") == 3
    assert all(inspect_series(order) == report for order in orders(paths))
