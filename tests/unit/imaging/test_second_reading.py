"""Images of another program are used only if places and values are those of the series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dcm_processor_service.errors import InvalidSeriesError, NiftiConversionError, UnsupportedValueError
from dcm_processor_service.imaging.nifti.comparison import difference_of_values, placement
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.nifti.verification import verify_series
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.models.images.limits import Limits
from tests.desk import examples
from tests.unit.imaging.synthetic import Recipe, single_frame
from tests.unit.imaging.test_convert import fake_dcm2niix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (3, 4, 5)
AFFINE = np.array([[0.0, 2.0, 0.1, -7.0], [1.0, 0.0, 0.2, 5.0], [0.0, 0.1, 3.0, 11.0], [0.0, 0.0, 0.0, 1.0]])


def turned(order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[Any, tuple[int, ...]]:
    """Returns the affine and the shape of the same voxels with their axes in another order and direction."""
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        change[source, axis] = -1 if flip else 1
        change[source, 3] = SHAPE[source] - 1 if flip else 0
    return AFFINE @ change, tuple(SHAPE[source] for source in order)


@given(order=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3))
def test_the_same_voxels_are_found_however_their_axes_run(order: list[int], flips: tuple[bool, ...]) -> None:
    affine, shape = turned(tuple(order), flips)
    values = np.arange(60).reshape(*SHAPE, 1)
    moved = values.transpose(*order, 3)
    for axis, flip in enumerate(flips):
        moved = np.flip(moved, axis) if flip else moved
    place = placement(affine, shape, AFFINE, SHAPE)
    assert place is not None
    np.testing.assert_array_equal(place.turned(moved), values)


@pytest.mark.parametrize(
    "change",
    [
        lambda affine: affine @ np.diag([1, 1, 1.05, 1]),
        lambda affine: affine + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4]),
        lambda affine: np.diag([1, 1, -1, 1]) @ affine,
        lambda affine: affine @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    ],
    ids=["step", "moved", "mirrored", "sheared"],
)
def test_a_grid_at_another_place_is_not_the_same(change: Callable[[Any], Any]) -> None:
    assert placement(change(AFFINE), SHAPE, AFFINE, SHAPE) is None


def test_a_grid_of_another_size_is_not_the_same() -> None:
    assert placement(AFFINE, (3, 4, 6), AFFINE, SHAPE) is None


def test_a_single_slice_has_its_place_whatever_its_thickness_is() -> None:
    thick = AFFINE @ np.diag([1, 1, 4, 1])
    assert placement(thick, (3, 4), AFFINE, (3, 4, 1)) is not None
    elsewhere = thick.copy()
    elsewhere[2, 3] += 2
    assert placement(elsewhere, (3, 4, 1), AFFINE, (3, 4, 1)) is None


@settings(max_examples=examples(30))
@given(seed=st.integers(0, 1000), time=st.integers(0, 2), place=st.tuples(*(st.integers(0, n - 1) for n in SHAPE)))
def test_one_other_voxel_is_a_difference(seed: int, time: int, place: tuple[int, int, int]) -> None:
    native = np.random.default_rng(seed).integers(-1000, 1000, (*SHAPE, 3)).astype(np.float32)
    assert not difference_of_values(native.copy(), native)
    other = native.copy()
    i, j, k = place
    other[i, j, k, time] += 1
    assert f"in volume {time + 1}" in difference_of_values(other, native)
    assert f"volume {time + 1} are not those of any volume" in difference_of_values(other, native, any_order=True)


def test_volumes_in_another_order_are_the_same_only_where_that_is_allowed() -> None:
    native = np.arange(2 * 60).reshape(*SHAPE, 2)
    swapped = native[..., ::-1]
    assert difference_of_values(swapped, native)
    assert not difference_of_values(swapped, native, any_order=True)
    twice = native[..., [0, 0]]
    assert "volume 2" in difference_of_values(twice, native, any_order=True)


@pytest.fixture
def ct(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    recipe = Recipe(columns=12, rows=10, slices=6, volumes=3, modality="MR", rescale=("2", "-5"))
    return single_frame(recipe, tmp_path / "in")


def scaled(image: nib.nifti1.Nifti1Image) -> nib.nifti1.Nifti1Image:
    return nib.nifti1.Nifti1Image(np.asarray(image.dataobj) * np.float32(0.17), image.affine)


def backwards(image: nib.nifti1.Nifti1Image) -> nib.nifti1.Nifti1Image:
    return nib.nifti1.Nifti1Image(np.asarray(image.dataobj)[:, :, ::-1], image.affine)


def mixed(image: nib.nifti1.Nifti1Image) -> nib.nifti1.Nifti1Image:
    array = np.asarray(image.dataobj).copy()
    array[:, :, 3, [0, 2]] = array[:, :, 3, [2, 0]]
    return nib.nifti1.Nifti1Image(array, image.affine)


@pytest.mark.parametrize("wrong", [scaled, backwards, mixed])
def test_an_image_that_differs_is_not_used(
    tmp_path: Path, ct: list[Path], wrong: Callable[[nib.nifti1.Nifti1Image], nib.nifti1.Nifti1Image]
) -> None:
    right = read_volume(ct).to_nifti()
    program = fake_dcm2niix(tmp_path, {"": wrong(right)}, gradients=False)
    converter = AutoConverter(dcm2niix_program=program)
    with pytest.raises(NiftiConversionError, match="its values differ by up to"):
        converter.convert(ct, tmp_path / "x.nii", engine="dcm2niix")
    assert not (tmp_path / "x.nii").exists()


def test_a_fault_in_a_slice_that_is_no_sample_is_found_by_verify(tmp_path: Path, ct: list[Path]) -> None:
    right = read_volume(ct).to_nifti()
    array = np.asarray(right.dataobj).copy()
    array[2, 3, 1, 0] += 100
    program = fake_dcm2niix(tmp_path, {"": nib.nifti1.Nifti1Image(array, right.affine)}, gradients=False)
    converter = AutoConverter(dcm2niix_program=program)
    with pytest.raises(NiftiConversionError, match="differ by up to 100 in volume 1"):
        converter.convert(ct, tmp_path / "out" / "x.nii", verify=True)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("engine", ["auto", "dcm2niix"])
def test_verify_accepts_a_series_that_both_read_alike(tmp_path: Path, ct: list[Path], engine: Any) -> None:
    files = AutoConverter().convert(ct, tmp_path / "out" / "x.nii", engine=engine, verify=True)
    assert files.volumes[0].shape == (12, 10, 6, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.json", "x.nii"]


@pytest.mark.parametrize("engine", ["dcm2niix", "native"])
def test_verify_runs_dcm2niix_once(tmp_path: Path, ct: list[Path], engine: Any) -> None:
    runs = tmp_path / "runs"
    right = read_volume(ct).to_nifti()
    program = fake_dcm2niix(tmp_path, {"": right}, f'echo run >> "{runs}"', gradients=False)
    converter = AutoConverter(dcm2niix_program=program)
    files = converter.convert(ct, tmp_path / "out" / "x.nii", engine=engine, verify=True)
    assert (files.engine, runs.read_text()) == (engine, "run\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.json", "x.nii"]


def test_what_dcm2niix_cannot_read_cannot_be_verified(tmp_path: Path, ct: list[Path]) -> None:
    program = fake_dcm2niix(tmp_path, {}, "exit 3")
    with pytest.raises(NiftiConversionError, match="exit code 3"):
        AutoConverter(dcm2niix_program=program).convert(ct, tmp_path / "x.nii", verify=True)


def test_invented_voxels_cannot_be_verified(ct: list[Path]) -> None:
    with pytest.raises(UnsupportedValueError, match="resample"):
        verify_series(ct, "resample", Limits(), ct[0].parent)


def test_mosaics_without_their_private_elements_are_refused(tmp_path: Path) -> None:
    paths = single_frame(Recipe(columns=12, rows=12, slices=1, volumes=2, modality="MR"), tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.Manufacturer = "SIEMENS"
        ds.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        ds.add_new(0x0019100A, "US", 9)
        ds.save_as(path)
    with pytest.raises(InvalidSeriesError, match="private elements do not say where its slices lie"):
        read_volume(paths)
