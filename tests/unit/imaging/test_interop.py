"""Volumes are converted to nibabel and SimpleITK and back, and compared with SimpleITK's own reader (GDCM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 its own documentation's name for it
from pydicom import dcmread

from dcm_processor_service.errors import ConfigurationError, UnsupportedValueError
from dcm_processor_service.imaging.capabilities import load_extra
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.volume import DisplayWindow, Rescale, SliceSource, Volume
from tests.unit.imaging.synthetic import Recipe, all_orientations, rotated, single_frame

if TYPE_CHECKING:
    from pathlib import Path

OBLIQUE = rotated((1, 0, 0, 0, 1, 0), (10, -15, 5))


def volume(dtype: str = "int16", volumes: int = 0, **fields: Any) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([OBLIQUE[:3], OBLIQUE[3:], np.cross(OBLIQUE[:3], OBLIQUE[3:])]) * (0.6, 0.8, 2.5)
    affine[:3, 3] = (-12.5, 40.25, -7.0)
    shape = (6, 5, 4, *((volumes,) if volumes else ()))
    values = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)
    sources = tuple(tuple(SliceSource(f"1.2.{t}.{k}") for k in range(4)) for t in range(volumes or 1))
    return Volume(values, affine, sources=sources, **fields)


@pytest.mark.parametrize("orientation", [*all_orientations(), OBLIQUE])
def test_simpleitk_reads_the_same_from_the_files(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    recipe = Recipe(orientation=orientation, rescale=("1", "-1024"), bits_stored=12)
    paths = single_frame(recipe, tmp_path)
    by_uid = {str(dcmread(path).SOPInstanceUID): str(path) for path in paths}
    own = read_volume(paths)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([by_uid[own.source(k).sop_instance_uid] for k in range(own.shape[2])])
    theirs, ours = reader.Execute(), own.to_sitk()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-6)


def test_a_voxel_has_one_place_in_both() -> None:
    one = volume()
    image = one.to_sitk()
    for index in ((0, 0, 0), (5, 4, 3), (2, 1, 3)):
        assert image[index] == one.array[index]
        place = one.affine_lps @ (*index, 1)
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), place[:3], atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("bool", "8-bit unsigned integer"),
        ("float16", "32-bit float"),
        ("uint16", "16-bit unsigned integer"),
        (">i2", "16-bit signed integer"),
        ("int64", "64-bit signed integer"),
    ],
)
def test_every_number_type_reaches_simpleitk(dtype: str, stored: str) -> None:
    one = volume(dtype)
    image = one.to_sitk()
    assert image.GetPixelIDTypeAsString() == stored
    np.testing.assert_array_equal(one.like(image).array, one.array)
    with pytest.raises(UnsupportedValueError, match="numbers"):
        Volume(np.full((2, 2, 2), "a"), np.eye(4)).to_sitk()


def test_a_4d_volume_stays_4d_in_simpleitk() -> None:
    one = volume(volumes=3, volume_step_s=2.5)
    image = one.to_sitk()
    assert image.GetSize() == (6, 5, 4, 3)
    assert image.GetSpacing()[3] == 2.5
    back = one.like(image)
    np.testing.assert_array_equal(back.array, one.array)
    assert back.sources == one.sources
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image[:, :, :, 2]).T, one.array[..., 2])
    first = one.like(image[:, :, :, 0])
    assert first.sources == one.sources[:1]
    np.testing.assert_allclose(first.to_sitk().GetSpacing(), one.spacing_mm)


def test_what_simpleitk_computes_on_the_grid_keeps_the_sources() -> None:
    one = volume(modality="CT", series_instance_uid="1.2.3")
    smooth = one.like(sitk.Median(one.to_sitk()))
    np.testing.assert_array_equal(smooth.affine_lps, one.affine_lps)
    assert (smooth.sources, smooth.series_instance_uid, smooth.modality) == (one.sources, "1.2.3", "CT")


def test_what_lies_on_another_grid_says_where_and_has_no_sources() -> None:
    one = volume()
    for image in (
        one.to_sitk()[1:5, :, 1:],
        sitk.DICOMOrient(one.to_sitk(), "RAS"),
        sitk.Expand(one.to_sitk(), [2] * 3),
    ):
        made = one.like(image)
        assert made.sources == ()
        assert made.shape == image.GetSize()
        index = (1, 2, 1)
        place = made.affine_lps @ (*index, 1)
        np.testing.assert_allclose(place[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-9)
        assert made.array[index] == image[index]


def test_an_image_that_lost_its_place_is_refused() -> None:
    one = volume()
    image = sitk.GetImageFromArray(one.array.T)
    with pytest.raises(UnsupportedValueError, match=r"CopyInformation\(volume.to_sitk\(\)\)"):
        one.like(image)
    image.CopyInformation(one.to_sitk())
    assert one.like(image).sources == one.sources
    with pytest.raises(UnsupportedValueError, match="to_nifti"):
        one.like(nib.nifti1.Nifti1Image(one.array, np.eye(4)))
    here = Volume(one.array, np.eye(4))
    assert here.like(here.to_sitk()[1:, :, :]).affine_lps[0, 3] == 1
    assert here.like(here.to_sitk()[:-1, :, :]).shape == (5, 5, 4)


def test_images_that_make_no_volume_are_refused() -> None:
    one = volume()
    with pytest.raises(UnsupportedValueError, match="axes"):
        one.like(one.to_sitk()[:, :, 0])
    with pytest.raises(UnsupportedValueError, match="several numbers a voxel"):
        one.like(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3)), isVector=True))
    with pytest.raises(UnsupportedValueError, match="resample it first"):
        one.like(np.zeros((5, 5, 4)))


def test_a_tilted_stack_has_no_image_with_axes_at_right_angles(tmp_path: Path) -> None:
    tilted = read_volume(single_frame(Recipe(shear=(0.0, 0.7, 0.0)), tmp_path), policy="split")
    with pytest.raises(UnsupportedValueError, match="policy resample"):
        tilted.to_sitk()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("part", "is_same"), [(0.9e-3, True), (1.1e-3, False)])
def test_a_grid_is_the_same_where_its_far_corner_is(axis: int, part: float, *, is_same: bool) -> None:
    """The tolerance is a thousandth of the smallest side of a voxel."""
    one = volume()
    affine = one.affine("RAS")
    smallest = min(one.spacing_mm)
    affine[:3, axis] *= 1 + part * smallest / ((one.shape[axis] - 1) * one.spacing_mm[axis])
    made = one.like(nib.nifti1.Nifti1Image(one.array, affine))
    assert (made.sources == one.sources) is is_same
    np.testing.assert_allclose(made.affine("RAS"), one.affine("RAS") if is_same else affine, atol=1e-12)


def test_what_is_computed_has_neither_the_unit_nor_the_window_of_its_volume() -> None:
    one = volume(is_monochrome1=True, rescale=Rescale(2.0, 1.0, "HU"), display_window=DisplayWindow(1, 2))
    elsewhere = one.to_nifti().slicer[1:]
    for what in (one.array > 3, one.to_sitk(), elsewhere):
        made = one.like(what)
        assert (made.is_monochrome1, made.rescale, made.display_window) == (False, Rescale(), None)


def test_several_numbers_for_each_voxel_have_no_source() -> None:
    one = volume()
    made = one.like(np.zeros((6, 5, 4, 3), np.float32))
    assert (made.shape, made.sources) == ((6, 5, 4, 3), ())
    np.testing.assert_array_equal(made.affine_lps, one.affine_lps)
    with pytest.raises(UnsupportedValueError, match="several numbers a voxel"):
        one.like(sitk.GetImageFromArray(np.zeros((4, 5, 6, 2)), isVector=True))


def test_nibabel_and_back() -> None:
    one = volume()
    assert one.like(one.to_nifti()).sources == one.sources
    canonical = nib.funcs.as_closest_canonical(one.to_nifti())
    turned = one.like(canonical)
    assert turned.sources == ()
    assert turned.axis_codes == "RAS"
    np.testing.assert_array_equal(turned.reorient(one.axis_codes).array, one.array)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "dcm-processor-service\[simpleitk\]"'):
        load_extra("library_that_is_not_installed", "simpleitk")
    monkeypatch.setitem(__import__("sys").modules, "monai.data", None)
    with pytest.raises(ConfigurationError, match=r'pip install "dcm-processor-service\[monai\]"'):
        volume().to_monai()
