from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import dicom2nifti.settings
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from dcm_processor_service.errors import InvalidNameError, InvalidSeriesError
from dcm_processor_service.imaging.nifti.engine_dicom2nifti import Dicom2NiftiConverter
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from pathlib import Path

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", ["a.nii/ct.nii", "a.nii/ct.nii.gz"])
def test_an_ordinary_ct_becomes_a_file_of_the_kind_that_its_name_says(tmp_path: Path, name: str) -> None:
    recipe = Recipe(rescale=("1", "-1024"), bits_stored=12, signed=False)
    destination = tmp_path / name
    result = Dicom2NiftiConverter().convert(single_frame(recipe, tmp_path), destination)
    assert result.paths == (destination,)
    assert destination.read_bytes()[:2] == (b"\x1f\x8b" if name.endswith("gz") else b"\x5c\x01")
    image = nib.nifti1.Nifti1Image.from_filename(destination)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), recipe.values[..., 0])
    np.testing.assert_allclose(image.affine, LPS_TO_RAS @ recipe.affine_lps, atol=1e-4)
    assert sorted(path.name for path in destination.parent.iterdir()) == [destination.name]


def test_fractions_stay_fractions(tmp_path: Path) -> None:
    recipe = Recipe(rescale=("0.25", "0"))
    Dicom2NiftiConverter().convert(single_frame(recipe, tmp_path), tmp_path / "x.nii.gz")
    with gzip.open(tmp_path / "x.nii.gz") as file:
        image = nib.nifti1.Nifti1Image.from_bytes(file.read())
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(image.get_fdata(), recipe.values[..., 0])


def test_compressed_pixels_are_decoded(tmp_path: Path) -> None:
    recipe = Recipe()
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    Dicom2NiftiConverter().convert(paths, tmp_path / "x.nii")
    image = nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), recipe.values[..., 0])


def test_settings_of_another_user_of_the_process_neither_matter_nor_change(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=3), tmp_path)
    dicom2nifti.settings.disable_validate_slicecount()
    try:
        with pytest.raises(InvalidSeriesError, match="TOO_FEW_SLICES"):
            Dicom2NiftiConverter().convert(paths, tmp_path / "x.nii")
        assert dicom2nifti.settings.validate_slicecount is False
    finally:
        dicom2nifti.settings.enable_validate_slicecount()


def test_a_refusal_is_a_sentence_without_patient_data_and_leaves_no_file(tmp_path: Path) -> None:
    paths = single_frame(Recipe(slices=8), tmp_path)
    by_position = sorted(paths, key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidSeriesError, match="not evenly spaced") as caught:
        Dicom2NiftiConverter().convert([*by_position[:3], *by_position[4:]], tmp_path / "out" / "x.nii")
    assert "SECRET" not in str(caught.value).upper()
    assert f"series {dcmread(paths[0]).SeriesInstanceUID} is refused" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert not list((tmp_path / "out").iterdir())


def test_no_files_no_images_and_another_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSeriesError, match="no files"):
        Dicom2NiftiConverter().convert([], tmp_path / "x.nii")
    with pytest.raises(InvalidNameError, match=r"\.nii"):
        Dicom2NiftiConverter().convert([], tmp_path / "x.img")
