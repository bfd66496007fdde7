"""A derived series costs as much again for every slice: counted in calls, so the same on every machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived import save
from dcm_processor_service.derived.make import make_image
from dcm_processor_service.models.derived import ImageOptions, Producer, Recipe
from tests.growth import LINEAR, exponent
from tests.unit.imaging.synthetic import Recipe as Synthetic
from tests.unit.imaging.synthetic import single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = (4, 8, 16, 32)


def calls_of(work: Callable[[], object]) -> int:
    """Returns how many Python functions are called."""
    count = 0

    def counted(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_a_derived_series_grows_with_the_number_of_its_slices(tmp_path: Path) -> None:
    counts = []
    for size in SIZES:
        folder = tmp_path / str(size)
        folder.mkdir()
        synthetic = Synthetic(slices=size)
        paths = single_frame(synthetic, folder)
        array = np.zeros((synthetic.columns, synthetic.rows, size), np.int16)
        how = Recipe(Producer("grower", "1"), role="zeros")

        def derive(paths: Any = paths, array: Any = array, how: Any = how, out: Path = folder / "made") -> None:
            save(make_image(array, paths, how, ImageOptions(), None), out)

        counts.append(calls_of(derive))
        assert len(list((folder / "made").iterdir())) == size
    assert exponent(SIZES, counts) <= LINEAR
