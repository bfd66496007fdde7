"""Arrays without a voxel, and sources without a pixel: refused with a sentence by every maker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from dcm_processor_service.derived import (
    ImageOptions,
    MapOptions,
    StudyIdentity,
    capture_pages,
    derive_image,
    parametric_map,
    segmentation,
)
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import PLAIN, make_recipe, make_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
MAKERS: dict[str, Callable[[NDArray[np.int16]], object]] = {
    "image": lambda array: derive_image(array, make_source(), make_recipe()),
    "image, no source": lambda array: derive_image(array, WHO, make_recipe(), PLAIN, ImageOptions(kind="ct")),
    "segmentation": lambda array: segmentation({"liver": array}, make_source(), make_recipe()),
    "segmentation, own grid": lambda array: segmentation({"liver": array}, make_source(), make_recipe(), PLAIN),
    "map": lambda array: parametric_map(array, make_source(), make_recipe(), options=MapOptions("mm")),
    "map, own grid": lambda array: parametric_map(array, make_source(), make_recipe(), PLAIN, MapOptions("mm")),
    "NIfTI": lambda array: from_nifti(nib.nifti1.Nifti1Image(array, np.eye(4))),
}


def from_nifti(image: nib.nifti1.Nifti1Image) -> object:
    return derive_image(image, WHO, make_recipe(), options=ImageOptions(kind="ct"))


@pytest.mark.parametrize("shape", [(0, 4, 3), (5, 0, 3), (5, 4, 0), (0, 0, 0), (5, 4, 3, 0)])
@pytest.mark.parametrize("name", MAKERS)
def test_an_array_without_a_voxel_is_refused(name: str, shape: tuple[int, ...]) -> None:
    said = "several volumes" if name.startswith("map") and len(shape) == 4 else "each at least 1"
    with pytest.raises(DerivedObjectError, match=rf"of shape {re.escape(str(shape))} .*{said}"):
        MAKERS[name](np.zeros(shape, np.int16))


@pytest.mark.parametrize("shape", [(0, 11), (9, 0), (9, 0, 3), (0, 11, 3), (9, 11, 0)])
def test_a_page_without_a_pixel_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DerivedObjectError, match=rf"page 1 is an array of uint8 and shape {re.escape(str(shape))}"):
        capture_pages([np.zeros(shape, np.uint8)], WHO, make_recipe())


@pytest.mark.parametrize("size", [{"Rows": 0}, {"Columns": 0}, {"Rows": 0, "Columns": 0}])
def test_a_source_without_a_pixel_is_refused(size: dict[str, Any]) -> None:
    with pytest.raises(DerivedObjectError, match=r"the source has the grid \(.*0"):
        derive_image(np.zeros((5, 4, 3), np.int16), make_source(**size), make_recipe())
