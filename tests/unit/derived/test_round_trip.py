"""What goes in comes out at the same place in the patient, in every orientation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dcm_processor_service.derived import ImageOptions, derive_image
from dcm_processor_service.models.derived import StudyIdentity
from tests.desk import examples
from tests.unit.derived.sources import assemble, make_recipe, make_source
from tests.unit.derived.volumes import ORIENTATIONS, affines, same_place, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray


WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
QUICK = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])


volumes = hnp.arrays(
    st.sampled_from([np.int16, np.uint16, np.uint8, np.int8]), hnp.array_shapes(min_dims=3, max_dims=4, max_side=4)
)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_every_orientation_keeps_voxels_and_places(
    order: tuple[int, ...],
    signs: tuple[int, ...],
) -> None:
    plain = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 7
    array, affine = turned(plain, np.diag([0.7, 1.5, 3.0, 1.0]), order, signs)
    made = derive_image(array, WHO, make_recipe(), affine, ImageOptions(kind="ct"))
    assert made.mapping.is_exact
    assert same_place(array, affine, *assemble(made.datasets)) < 1e-4


@QUICK
@given(array=volumes, affine=affines(), orientation=st.sampled_from(ORIENTATIONS))
def test_oblique_volumes_keep_voxels_and_places(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    orientation: Any,
) -> None:
    array, affine = turned(array, affine, *orientation)
    made = derive_image(array, WHO, make_recipe(), affine, ImageOptions(kind="mr"))
    assert same_place(array, affine, *assemble(made.datasets)) < 1e-4


@QUICK
@given(affine=affines(), case=st.tuples(st.sampled_from(ORIENTATIONS), hnp.arrays(np.int16, (4, 3, 2))))
def test_on_the_sources_grid_the_sources_axes_return(
    affine: NDArray[np.float64],
    case: tuple[Any, NDArray[np.int16]],
) -> None:
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 2] *= -1
    orientation, original = case
    source = make_source(affine, (4, 3, 2))
    array, own_affine = turned(original, affine, *orientation)
    made = derive_image(array, source, make_recipe(), own_affine)
    again, again_affine = assemble(made.datasets)
    assert made.on_source_grid
    assert np.array_equal(again[..., 0], original)
    assert np.abs(again_affine - affine).max() < 1e-4


def test_instance_numbers_ascend_along_the_normal() -> None:
    affine = np.diag([1.0, 1.0, -2.0, 1.0])
    made = derive_image(np.zeros((2, 2, 4), np.int16), WHO, make_recipe(), affine, ImageOptions(kind="ct"))
    heights = [float(dataset.ImagePositionPatient[2]) for dataset in made.datasets]
    assert heights == [-6.0, -4.0, -2.0, 0.0]
    assert [int(dataset.InstanceNumber) for dataset in made.datasets] == [1, 2, 3, 4]
