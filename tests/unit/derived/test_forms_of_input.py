"""Paths as text, images of SimpleITK, NIfTI: every form of voxels is taken, with its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from dcm_processor_service.derived import Segment, segmentation, voxels_of
from dcm_processor_service.errors import DerivedObjectError, LocalFileNotFoundError
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.testing import fake_context
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source

if TYPE_CHECKING:
    from pathlib import Path

MASK = np.zeros((5, 4, 3), np.uint8)
MASK[1, 2, 0] = 1
RAS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ PLAIN


def forms(folder: Path) -> dict[str, Any]:
    volume = Volume(MASK, PLAIN)
    image = nib.nifti1.Nifti1Image(MASK, RAS)
    nib.nifti1.save(image, folder / "mask.nii.gz")
    return {
        "volume": volume,
        "NIfTI": image,
        "path": folder / "mask.nii.gz",
        "text": str(folder / "mask.nii.gz"),
        "SimpleITK": volume.to_sitk(),
    }


def test_each_form_makes_the_same_segmentation_also_within_a_segment(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    expected = segmentation({"liver": MASK}, make_source(), make_recipe()).PixelData
    for name, form in forms(tmp_path).items():
        for mask in (form, Segment(form)):
            assert segmentation({"liver": mask}, make_source(), make_recipe()).PixelData == expected, name


def test_a_simpleitk_image_of_four_axes_has_its_volumes_last() -> None:
    pytest.importorskip("SimpleITK")
    array = np.arange(120, dtype=np.int16).reshape(5, 4, 3, 2)
    found = voxels_of(Volume(array, PLAIN).to_sitk())
    assert np.array_equal(found.array, array)
    assert found.affine_lps is not None
    assert np.allclose(found.affine_lps, PLAIN)


def test_colours_of_simpleitk_are_a_last_axis() -> None:
    simpleitk = pytest.importorskip("SimpleITK")
    image = simpleitk.Image([2, 3, 4], simpleitk.sitkVectorUInt8, 3)
    image[1, 2, 3] = (7, 8, 9)
    found = voxels_of(image)
    assert found.is_color
    assert found.array[1, 2, 3].tolist() == [7, 8, 9]
    with pytest.raises(DerivedObjectError, match="numbers for each voxel"):
        voxels_of(simpleitk.Image([2, 3, 4], simpleitk.sitkVectorUInt8, 2))


def test_a_pdf_is_given_by_its_path_too(tmp_path: Path) -> None:
    derive = fake_context().session.dicom.derive
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7 few")
    contents: list[bytes | str | Path] = [path, str(path), path.read_bytes()]
    for number, content in enumerate(contents):
        made = derive.pdf(content, like=make_headers(), role=f"report {number}")
        assert made.EncapsulatedDocument == b"%PDF-1.7 few"
    with pytest.raises(LocalFileNotFoundError):
        derive.pdf(tmp_path / "none.pdf", like=make_headers())
