"""The thickness and the window of a single slice come from the nearest dataset that states them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.refusals import put
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(slices=1, orientation=(1, 0, 0, 0, 0, -1))


def dataset(**values: Any) -> Dataset:
    return put(Dataset(), values)


@pytest.mark.parametrize(
    ("stated", "step"),
    [
        ({"SpacingBetweenSlices": "3.5", "SliceThickness": "3"}, 3.5),
        ({"SpacingBetweenSlices": "0", "SliceThickness": "3"}, 3),
        ({"SpacingBetweenSlices": "-3.5", "SliceThickness": "3"}, 3),
        ({"SliceThickness": "0.5"}, 0.5),
        ({"SliceThickness": ""}, 1),
        ({"SliceThickness": "0"}, 1),
        ({}, 1),
    ],
    ids=str,
)
def test_a_slice_alone_is_as_thick_as_its_header_says(tmp_path: Path, stated: dict[str, str], step: float) -> None:
    (path,) = single_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    del ds.SliceThickness
    put(ds, stated)
    ds.save_as(path)
    volume = read_volume([path], "largest")
    # rows and columns along x and -z: their normal is y
    np.testing.assert_allclose(volume.affine_lps[:3, 2], [0, step, 0], atol=1e-9)
    np.testing.assert_allclose(volume.affine_lps[:3, 3], RECIPE.origin, atol=1e-9)


@pytest.mark.parametrize("own", [{"SpacingBetweenSlices": 1.25}, {"SliceThickness": 1.25}], ids=str)
@pytest.mark.parametrize("per_frame", [True, False])
def test_a_frame_alone_is_as_thick_as_its_functional_group_says(
    tmp_path: Path, own: dict[str, float], *, per_frame: bool
) -> None:
    (path,) = multi_frame(RECIPE, tmp_path)
    ds = dcmread(path)
    ds.SliceThickness = ds.SpacingBetweenSlices = 7.0  # describes the source of the object, not the object itself
    measures = dataset(PixelSpacing=[0.8, 0.6], **own)
    shared, frame = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[0]
    if per_frame:
        del shared.PixelMeasuresSequence
    (frame if per_frame else shared).PixelMeasuresSequence = [measures]
    ds.save_as(path)
    assert read_volume([path], "largest").spacing_mm == pytest.approx((0.6, 0.8, 1.25))


@pytest.mark.parametrize("place", ["frame", "shared", "top"])
def test_the_window_of_the_nearest_place_counts(tmp_path: Path, place: str) -> None:
    (path,) = multi_frame(Recipe(slices=3), tmp_path)
    ds = dcmread(path)
    ds.WindowCenter, ds.WindowWidth = "1", "10"
    shared = ds.SharedFunctionalGroupsSequence[0]
    if place != "top":
        shared.FrameVOILUTSequence = [dataset(WindowCenter="2", WindowWidth="20")]
    if place == "frame":
        for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
            height = frame.PlanePositionSequence[0].ImagePositionPatient[2]
            center = "3" if height == -7.0 else f"{30 + number}"  # that of the first slice
            frame.FrameVOILUTSequence = [dataset(WindowCenter=center, WindowWidth="30")]
    ds.save_as(path)
    window = read_volume([path]).display_window
    assert window is not None
    number = {"frame": 3, "shared": 2, "top": 1}[place]
    assert (window.center, window.width) == (number, 10 * number)


def test_a_window_may_be_narrow(tmp_path: Path) -> None:
    """A map of fractions has such a narrow window."""
    extra = {"WindowCenter": "0.25", "WindowWidth": "0.5"}
    window = read_volume(single_frame(Recipe(slices=3, extra=extra), tmp_path)).display_window
    assert window is not None
    assert (window.center, window.width) == (0.25, 0.5)


@pytest.mark.parametrize(
    "stated", [{}, {"WindowCenter": "40"}, {"WindowWidth": "400"}, {"WindowCenter": "40", "WindowWidth": "0"}], ids=str
)
def test_a_window_without_a_width_counts_as_absent(tmp_path: Path, stated: dict[str, str]) -> None:
    assert read_volume(single_frame(Recipe(slices=3, extra=stated), tmp_path)).display_window is None
