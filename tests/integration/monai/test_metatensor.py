"""Volumes through MONAI and back, against what MONAI's own readers make of the same files.

MONAI brings torch, which is too large for the environment of the other tests: ``.ci/run`` has one for this file, where
``DCM_PROCESSOR_TEST_MONAI`` makes a missing MONAI a failure.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.volume import SliceSource, Volume
from tests.shared_data import shared_folder
from tests.unit.imaging.synthetic import Recipe, rotated, single_frame

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that MONAI loads
        import monai.transforms
        import torch
        from monai.data.meta_tensor import MetaTensor
except ImportError:
    if os.environ.get("DCM_PROCESSOR_TEST_MONAI"):
        raise
    pytest.skip("MONAI is not installed: pip install -e '.[monai]'", allow_module_level=True)

OBLIQUE = rotated((0, 1, 0, 0, 0, -1), (10, -15, 5))


def oblique(tmp_path: Path, **fields: Any) -> Volume:
    return read_volume(single_frame(Recipe(orientation=OBLIQUE, bits_stored=12, **fields), tmp_path))


def loaded(path: Path, **options: Any) -> MetaTensor:
    """A file as MONAI reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = monai.transforms.LoadImage(image_only=True, ensure_channel_first=True, **options)(path)
    assert isinstance(tensor, MetaTensor)
    return tensor


def same(own: MetaTensor, theirs: MetaTensor) -> None:
    assert (own.dtype, own.shape) == (theirs.dtype, theirs.shape)
    torch.testing.assert_close(own.as_tensor(), theirs.as_tensor(), rtol=0, atol=0)
    np.testing.assert_allclose(np.asarray(own.affine), np.asarray(theirs.affine), atol=1e-4)
    assert own.affine.dtype == theirs.affine.dtype
    np.testing.assert_allclose(own.meta["original_affine"], theirs.meta["original_affine"], atol=1e-4)
    assert list(own.meta["spatial_shape"]) == list(theirs.meta["spatial_shape"])
    assert str(own.meta["space"]) == str(theirs.meta["space"])


@pytest.mark.parametrize("volumes", [1, 3])
def test_monai_reads_the_same_from_our_nifti(tmp_path: Path, volumes: int) -> None:
    own = oblique(tmp_path, volumes=volumes)
    own.to_nifti(tmp_path / "x.nii.gz")
    same(own.to_monai(), loaded(tmp_path / "x.nii.gz", reader="NibabelReader"))


def test_a_real_scan_is_read_the_same(tmp_path: Path) -> None:
    path = get_testdata_file("MR_small.dcm", download=False)
    assert isinstance(path, str)
    own = read_volume([Path(path)], policy="largest")
    own.to_nifti(tmp_path / "x.nii.gz")
    same(own.to_monai(), loaded(tmp_path / "x.nii.gz", reader="NibabelReader"))


def test_real_volumes_are_read_the_same(tmp_path: Path) -> None:
    own = read_volume(sorted((shared_folder("data") / "dcm_qa_nih/In/20180918GE/mr_0004").glob("*.dcm")))
    own.to_nifti(tmp_path / "x.nii.gz")
    same(own.to_monai(), loaded(tmp_path / "x.nii.gz", reader="NibabelReader"))


def test_monai_reads_the_same_from_the_dicom_files(tmp_path: Path) -> None:
    paths = single_frame(Recipe(rescale=("1", "-1024"), bits_stored=12), tmp_path)
    in_order = sorted(paths, key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    theirs = loaded(tmp_path, reader="PydicomReader")
    assert len(in_order) == theirs.shape[3]
    own = read_volume(paths).to_monai()
    torch.testing.assert_close(own.as_tensor(), theirs.as_tensor(), rtol=0, atol=0)
    np.testing.assert_allclose(np.asarray(own.affine), np.asarray(theirs.affine), atol=1e-4)


def test_the_channel_is_there_already(tmp_path: Path) -> None:
    tensor = oblique(tmp_path).to_monai()
    assert monai.transforms.EnsureChannelFirst()(tensor).shape == tensor.shape == (1, 5, 4, 6)
    assert tensor.dtype == torch.float32


def test_the_tensor_is_a_copy_of_the_type_that_is_asked_for(tmp_path: Path) -> None:
    own = oblique(tmp_path)
    tensor = own.to_monai(dtype=None)
    assert tensor.dtype == torch.int16
    tensor += 1
    np.testing.assert_array_equal(own.array + 1, np.asarray(tensor[0]))
    assert own.to_monai(dtype="float64").dtype == torch.float64


def test_what_monai_computes_on_the_grid_keeps_the_sources(tmp_path: Path) -> None:
    own = oblique(tmp_path)
    tensor = monai.transforms.ScaleIntensity()(own.to_monai())
    back = own.like(tensor)
    assert back.sources == own.sources
    assert back.shape == own.shape
    np.testing.assert_array_equal(back.affine_lps, own.affine_lps)
    assert own.like((tensor > 0.5).to(torch.uint8)).sources == own.sources
    plain = own.like(tensor.as_tensor().to(torch.bfloat16).requires_grad_())
    assert plain.sources == own.sources


def test_four_axes_are_channels_and_come_back(tmp_path: Path) -> None:
    own = oblique(tmp_path, volumes=3)
    assert own.to_monai().shape == (3, 5, 4, 6)
    again = own.like(own.to_monai(dtype=None))
    np.testing.assert_array_equal(again.array, own.array)
    assert again.sources == own.sources


def test_what_lies_on_another_grid_says_where_and_has_no_sources(tmp_path: Path) -> None:
    own = oblique(tmp_path)
    for transform in (
        monai.transforms.Orientation("RAS", labels=None),
        monai.transforms.Spacing((1.0, 1.0, 1.0)),
        monai.transforms.SpatialCrop(roi_start=(1, 1, 2), roi_end=(5, 4, 6)),
    ):
        tensor = transform(own.to_monai())
        made = own.like(tensor)
        assert made.sources == ()
        np.testing.assert_allclose(made.affine("RAS"), np.asarray(tensor.affine), atol=1e-9)
        np.testing.assert_array_equal(made.array, np.asarray(tensor[0]))


def test_a_tensor_that_lost_its_place_is_refused(tmp_path: Path) -> None:
    own = oblique(tmp_path)
    with pytest.raises(UnsupportedValueError, match="to_monai"):
        own.like(MetaTensor(own.to_monai().as_tensor()))
    with pytest.raises(UnsupportedValueError, match="no batch"):
        own.like(own.to_monai()[None])


def test_lps_tensors_are_taken_as_what_they_say(tmp_path: Path) -> None:
    own = oblique(tmp_path)
    tensor = MetaTensor(own.to_monai().as_tensor(), affine=torch.from_numpy(own.affine_lps), meta={"space": "LPS"})
    assert own.like(tensor).sources == own.sources


def test_a_tilted_stack_keeps_its_shear() -> None:
    affine = np.array([[0.6, 0, 0, 1.0], [0, 0.8, 0.7, 2.0], [0, 0, 2.5, 3.0], [0, 0, 0, 1]])
    own = Volume(np.zeros((3, 4, 5), np.int16), affine, sources=(tuple(SliceSource(f"1.{k}") for k in range(5)),))
    assert own.like(own.to_monai()).sources == own.sources
