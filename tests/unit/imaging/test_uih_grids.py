"""dcm2niix's image of a grid of slices is used only if counts, pixel sizes and values are those of the grids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.errors import NiftiConversionError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from tests.unit.imaging.synthetic import Recipe, single_frame
from tests.unit.imaging.test_convert import fake_dcm2niix

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SLICES, VOLUMES = 5, 2
AFFINE = np.diag([0.6, 0.8, 3.0, 1.0])


def voxels() -> NDArray[np.int16]:
    """Shape (4, 3, 5, 2)."""
    return np.random.default_rng(5).integers(1, 3000, (4, 3, SLICES, VOLUMES)).astype(np.int16)


@pytest.fixture
def grids(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    recipe = Recipe(columns=12, rows=9, slices=1, volumes=VOLUMES, modality="MR")
    paths = sorted(single_frame(recipe, tmp_path / "in"), key=lambda path: int(dcmread(path).InstanceNumber))
    for volume, path in enumerate(paths):
        ds = dcmread(path)
        grid = np.zeros((9, 12), np.int16)
        for k in range(SLICES):
            row, column = divmod(k, 3)
            grid[3 * row : 3 * row + 3, 4 * column : 4 * column + 4] = voxels()[:, :, k, volume].T
        ds.Manufacturer = "UIH"
        ds.add_new(0x00650010, "LO", "Image Private Header")
        ds.add_new(0x00651050, "DS", str(SLICES))
        ds.PixelData = grid.tobytes()
        ds.save_as(path)
    return paths


def converted(folder: Path, grids: list[Path], made: NDArray[Any], affine: NDArray[Any] = AFFINE) -> tuple[int, ...]:
    program = fake_dcm2niix(folder, {"": nib.nifti1.Nifti1Image(made, affine)}, gradients=False)
    return AutoConverter(dcm2niix_program=program).convert(grids, folder / "x.nii", engine="dcm2niix").volumes[0].shape


def test_images_of_grids_are_used_whatever_the_order_of_slices(tmp_path: Path, grids: list[Path]) -> None:
    assert converted(tmp_path, grids, voxels()[:, ::-1, ::-1, ::-1]) == (4, 3, SLICES, VOLUMES)


def scaled(made: NDArray[Any]) -> NDArray[Any]:
    smaller: NDArray[Any] = made.astype(np.float32) * np.float32(0.17)
    return smaller


def mixed(made: NDArray[Any]) -> NDArray[Any]:
    made[:, :, 2] = made[:, :, 2, ::-1]
    return made


def with_a_blank_slice(made: NDArray[Any]) -> NDArray[Any]:
    longer: NDArray[Any] = np.concatenate([made, np.zeros_like(made[:, :, :1])], axis=2)
    return longer


def of_other_size(made: NDArray[Any]) -> NDArray[Any]:
    return made.reshape(2, 6, SLICES, VOLUMES)


@pytest.mark.parametrize("wrong", [scaled, mixed, with_a_blank_slice, of_other_size])
def test_images_that_differ_from_the_grids_are_not_used(tmp_path: Path, grids: list[Path], wrong: Any) -> None:
    with pytest.raises(NiftiConversionError, match="dcm2niix made another image"):
        converted(tmp_path, grids, wrong(voxels()))
    assert not (tmp_path / "x.nii").exists()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("by", "is_taken"), [(0.9, True), (-0.9, True), (1.2, False), (-1.2, False)])
def test_values_may_differ_by_a_ten_thousandth_of_the_largest(
    tmp_path: Path, grids: list[Path], sign: int, by: float, *, is_taken: bool
) -> None:
    made = voxels().astype(np.float32) * sign
    for volume in range(VOLUMES):
        made[..., volume].flat[7] = 10_000 * sign  # one value is by far the largest of its volume
        ds = dcmread(grids[volume])
        tiles = ds.pixel_array.copy() * sign
        i, j, k = np.unravel_index(7, made.shape[:3])
        tiles[3 * (k // 3) + j, 4 * (k % 3) + i] = 10_000 * sign
        ds.PixelData = tiles.astype(np.int16).tobytes()
        ds.save_as(grids[volume])
    made[0, 0, 0] += by
    if is_taken:
        assert converted(tmp_path, grids, made) == (4, 3, SLICES, VOLUMES)
    else:
        with pytest.raises(NiftiConversionError, match="values"):
            converted(tmp_path, grids, made)


def test_grids_of_other_pixels_are_not_taken(tmp_path: Path, grids: list[Path]) -> None:
    with pytest.raises(NiftiConversionError, match="another size"):
        converted(tmp_path, grids, voxels(), np.diag([1.6, 0.8, 3.0, 1.0]))


def halves(folder: Path, grids: list[Path], first: NDArray[Any], second: NDArray[Any]) -> list[tuple[int, ...]]:
    first_image, second_image = (nib.nifti1.Nifti1Image(made, AFFINE) for made in (first, second))
    program = fake_dcm2niix(folder, {"_a": first_image, "_b": second_image}, gradients=False)
    converter = AutoConverter(dcm2niix_program=program)
    files = converter.convert(grids, folder / "x.nii", engine="dcm2niix", policy="split")
    return [volume.shape for volume in files.volumes]


def test_two_images_share_the_grids_of_a_series(tmp_path: Path, grids: list[Path]) -> None:
    assert halves(tmp_path, grids, voxels()[..., 0], voxels()[..., 1]) == [(4, 3, SLICES)] * 2


def test_one_of_two_images_that_no_grid_holds_is_not_taken(tmp_path: Path, grids: list[Path]) -> None:
    with pytest.raises(NiftiConversionError, match="1 volume that no grid holds"):
        halves(tmp_path, grids, voxels()[..., 0], voxels()[..., 1] + 1)
