"""Reading and converting take no more memory than the voxels and a tenth.

A compressed file has blocks under way in threads, more where the machine is busy: the benchmark measures it.
"""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 512
SLICES = (16, 48)  # so large that buffers, and memory that does not depend on the series, do not matter
MOST = 1.1


def series(folder: Path, slices: int) -> list[Path]:
    made = folder / str(slices)
    made.mkdir()
    return single_frame(Recipe(slices=slices, rows=SIDE, columns=SIDE), made)


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        result = work()
        peak = tracemalloc.get_traced_memory()[1]
        del result
        return peak
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["", "volume.nii"])
def test_each_further_slice_takes_its_voxels_and_a_tenth(name: str, tmp_path: Path) -> None:
    def work(paths: list[Path]) -> object:
        return AutoConverter().convert(paths, tmp_path / name, engine="native") if name else read_volume(paths)

    few, many = (series(tmp_path, slices) for slices in SLICES)
    voxels = read_volume(few).array
    one = voxels.nbytes // SLICES[0]
    work(few)  # the first reading loads libraries
    grown = peak_bytes(lambda: work(many)) - peak_bytes(lambda: work(few))
    assert grown <= MOST * one * (SLICES[1] - SLICES[0])
    if not name:
        assert grown >= one * (SLICES[1] - SLICES[0]) * 0.9, "the voxels are counted"
