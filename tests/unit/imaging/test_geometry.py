"""Places of slices, compared with numbers that were worked out by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dcm_processor_service.imaging.geometry import (
    LARGEST_NOISE_MM,
    allowed_difference_mm,
    axis_codes,
    cluster_positions,
    convert_frame,
    orientation_angles_deg,
    orientation_label,
    slice_normal,
    stack_affine,
    stack_geometry,
)
from tests.unit.imaging.synthetic import all_orientations

AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
LETTERS = {(1, 0, 0): "L", (-1, 0, 0): "R", (0, 1, 0): "P", (0, -1, 0): "A", (0, 0, 1): "S", (0, 0, -1): "I"}


def tilted(degrees: float) -> tuple[float, ...]:
    """An axial slice that is turned about the patient's x axis."""
    angle = math.radians(degrees)
    return (1, 0, 0, 0, math.cos(angle), math.sin(angle))


def origins(*places: float, shear: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Origins of axial slices at heights in mm, moved along y by a part of the height."""
    return np.array([(-10.0, 20.0 + shear * place, place) for place in places])


@pytest.mark.parametrize(
    ("orientation", "normal"),
    [(AXIAL, (0, 0, 1)), (CORONAL, (0, 1, 0)), (SAGITTAL, (-1, 0, 0)), ((2, 0, 0, 0, 3, 0), (0, 0, 1))],
)
def test_the_normal_is_that_of_a_right_hand(orientation: tuple[float, ...], normal: tuple[float, ...]) -> None:
    assert slice_normal(orientation).tolist() == list(normal)


def test_parallel_cosines_have_no_normal() -> None:
    assert slice_normal((1, 0, 0, 1, 0, 0)).tolist() == [0, 0, 0]
    assert slice_normal((1e-9, 0, 0, 0, 1e-9, 0)).tolist() == [0, 0, 1]


def test_an_empty_list_of_positions_has_no_clusters() -> None:
    labels, found = cluster_positions(np.zeros(0))
    assert (labels.tolist(), labels.dtype.kind, found.tolist(), found.dtype.kind) == ([], "i", [], "f")


@pytest.mark.parametrize(
    ("positions", "labels", "found"),
    [
        ([5.0], [0], [5.0]),
        ([5.0, 5.0], [0, 0], [5.0]),
        ([5.0, 1.0, 5.0, 3.0], [2, 0, 2, 1], [1.0, 3.0, 5.0]),
        ([0.0, 2.0, 2.0 + 0.9 * LARGEST_NOISE_MM, 4.0], [0, 1, 1, 2], [0.0, 2.0, 4.0]),
        ([0.0, 2.0, 2.0 + 1.1 * LARGEST_NOISE_MM, 4.0], [0, 1, 2, 3], [0.0, 2.0, 2.0 + 1.1 * LARGEST_NOISE_MM, 4.0]),
        # steps of micrometres, as in microscopy, are not rounding errors of one position
        ([0.0, 0.02, 0.04], [0, 1, 2], [0.0, 0.02, 0.04]),
        ([0.04, 0.02, 0.0200001, 0.0], [2, 1, 1, 0], [0.0, 0.02, 0.04]),
        # but positions that all lie within the noise are one position
        ([0.0, 0.008, 0.016], [0, 0, 0], [0.0]),
    ],
)
def test_positions_are_numbered_upwards(positions: list[float], labels: list[int], found: list[float]) -> None:
    numbers, distinct = cluster_positions(np.array(positions))
    assert numbers.tolist() == labels
    assert distinct.tolist() == found


@pytest.mark.parametrize(
    ("step", "tolerance", "allowed"),
    [
        (10.0, 0.01, 0.1),
        (10.0, 0.02, 0.2),
        (1.0, 0.01, LARGEST_NOISE_MM),
        (0.08, 0.01, 0.01),
        (0.08, 0.5, 0.04),
        (0.0, 0.01, 0.0),
    ],
)
def test_noise_is_allowed_up_to_an_eighth_of_the_step(step: float, tolerance: float, allowed: float) -> None:
    assert allowed_difference_mm(step, tolerance) == pytest.approx(allowed, rel=1e-12)


def test_a_hundredth_of_the_step_is_allowed_unless_told_otherwise() -> None:
    assert allowed_difference_mm(50.0) == 0.5


def test_a_single_slice_has_no_distances() -> None:
    found = stack_geometry(AXIAL, origins(7))
    assert (found.step_mm, found.outliers, found.missing, found.tilt_deg) == (0, (), (), 0)
    assert (found.step_vector, found.along_deviation_mm, found.lateral_deviation_mm) == ((0, 0, 0), 0, 0)


def test_two_slices_are_a_stack() -> None:
    found = stack_geometry(AXIAL, origins(1, 4))
    assert (found.step_mm, found.step_vector, found.outliers, found.missing) == (3, (0, 0, 3), (), ())
    assert (found.tilt_deg, found.along_deviation_mm, found.lateral_deviation_mm) == (0, 0, 0)


def test_an_even_upright_stack_deviates_nowhere() -> None:
    found = stack_geometry(AXIAL, origins(0, 2, 4, 6))
    assert (found.step_mm, found.step_vector, found.outliers, found.missing) == (2, (0, 0, 2), (), ())
    assert (found.tilt_deg, found.along_deviation_mm, found.lateral_deviation_mm) == (0, 0, 0)


@pytest.mark.parametrize(
    ("places", "outliers", "missing"),
    [
        ((0, 2, 4, 8, 10), (2,), ((2, 1),)),
        ((0, 2, 4, 10, 12), (2,), ((2, 2),)),
        ((0, 4, 6, 8, 10, 16), (0, 4), ((0, 1), (4, 2))),
        ((0, 2, 4, 7, 9), (2,), ()),  # a gap of a step and a half
        ((0, 2, 4, 8.08, 10.08), (2,), ((2, 1),)),  # a gap of 2.04 steps
        ((0, 2, 4, 8.12, 10.12), (2,), ()),  # a gap of 2.06 steps
        ((0, 2, 4, 7.92, 9.92), (2,), ((2, 1),)),
        ((0, 2, 4, 7.88, 9.88), (2,), ()),
        ((0, 2, 4, 6.06, 8.06), (2,), ()),  # the gap differs from the step, but no slice is missing
        ((0, 2, 4, 4.5, 6.5), (2,), ()),
    ],
)
def test_gaps_of_whole_steps_tell_what_is_missing(
    places: tuple[float, ...], outliers: tuple[int, ...], missing: tuple[tuple[int, int], ...]
) -> None:
    found = stack_geometry(AXIAL, origins(*places))
    assert found.step_mm == pytest.approx(2)
    assert found.outliers == outliers
    assert found.missing == missing


def test_slices_along_a_line_that_is_not_the_normal_are_tilted() -> None:
    found = stack_geometry(AXIAL, origins(0, 2, 4, 6, shear=math.tan(math.radians(20))))
    assert found.tilt_deg == pytest.approx(20)
    assert found.step_mm == pytest.approx(2)  # along the normal
    assert found.step_vector == pytest.approx((0, 2 * math.tan(math.radians(20)), 2))
    assert found.lateral_deviation_mm == pytest.approx(0, abs=1e-12)


def test_deviations_are_measured_from_the_even_line_of_first_and_last() -> None:
    places = origins(10, 12, 14.25, 16, 18)
    places[3] += (0.3, 0.4, 0)
    found = stack_geometry(AXIAL, places)
    assert found.along_deviation_mm == pytest.approx(0.25)
    assert found.lateral_deviation_mm == pytest.approx(0.5)
    places[2, 2] = 13.5
    assert stack_geometry(AXIAL, places).along_deviation_mm == pytest.approx(0.5)  # deviations to both sides


def test_the_deviation_is_that_of_the_worst_slice_and_not_of_all() -> None:
    places = origins(10, 12, 14, 16, 18, 20)
    places[1:4] += np.array([(0.3, 0, 0), (0, -0.5, 0), (0, 0.4, 0)])
    assert stack_geometry(AXIAL, places).lateral_deviation_mm == pytest.approx(0.5)


def test_an_uneven_slice_on_a_slanted_line_lies_on_the_line() -> None:
    found = stack_geometry(AXIAL, origins(10, 12, 15, 16, shear=0.5))
    assert found.lateral_deviation_mm == pytest.approx(0, abs=1e-12)
    assert found.along_deviation_mm == pytest.approx(1)


@pytest.mark.parametrize("orientation", all_orientations())
def test_columns_of_an_affine_are_the_steps_of_the_indices(orientation: tuple[float, ...]) -> None:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = stack_affine(orientation, [0.5, 0.7], [-10, -20, 30], [1, 2, 3])
    assert affine[3].tolist() == [0, 0, 0, 1]
    for i, j, k in itertools.product((0, 1, 5), repeat=3):
        place = np.array([-10, -20, 30]) + i * 0.7 * row + j * 0.5 * column + k * np.array([1, 2, 3])
        assert (affine @ [i, j, k, 1])[:3] == pytest.approx(place)


def test_frames_differ_in_the_signs_of_two_rows() -> None:
    affine = np.array([[1.0, 2, 3, 4], [5, 6, 7, 0], [9, 10, 11, 12], [0, 0, 0, 1]])
    before = affine.copy()
    turned = convert_frame(affine, "LPS", "RAS")
    assert turned.tolist() == [[-1, -2, -3, -4], [-5, -6, -7, 0], [9, 10, 11, 12], [0, 0, 0, 1]]
    assert not np.signbit(turned[1, 3])
    assert convert_frame(turned, "RAS", "LPS").tolist() == before.tolist()
    same = convert_frame(affine, "RAS", "RAS")
    same[0, 0] = 99
    assert affine.tolist() == before.tolist()  # neither result shares its memory


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_an_affine_of_other_numbers_becomes_one_of_double_precision(dtype: type) -> None:
    turned = convert_frame(np.eye(4).astype(dtype), "LPS", "RAS")
    assert turned.dtype == np.dtype("f8")
    assert turned.tolist() == np.diag([-1.0, -1, 1, 1]).tolist()


@pytest.mark.parametrize("orientation", all_orientations())
def test_axes_along_the_patient_have_the_letters_of_where_they_run(orientation: tuple[float, ...]) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    for sign in (1, -1):
        affine = stack_affine(orientation, [0.5, 0.7], [0, 0, 0], 3 * sign * normal)
        axes = (orientation[:3], orientation[3:], tuple(sign * normal))
        assert axis_codes(affine) == "".join(LETTERS[axis] for axis in axes)  # type: ignore[index]  # whole numbers


def test_oblique_axes_have_three_different_letters() -> None:
    directions = np.array([[0.7, 0.71, 0.1], [0.6, 0.59, -0.5], [0.4, -0.4, 0.86]])
    affine = np.eye(4)
    affine[:3, :3] = directions
    # the third axis is nearest of all, so it is taken first; then the second to x, and y is left for the first
    assert axis_codes(affine) == "PLS"


def test_the_length_of_an_axis_does_not_matter_for_its_letter() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [100, 0.01, 1]
    assert axis_codes(affine) == "LPS"


def test_an_axis_without_length_gets_the_letter_that_is_left() -> None:
    assert axis_codes(np.diag([2.0, 0.0, -3.0, 1.0])) == "LPI"


@pytest.mark.parametrize(
    ("orientation", "angles"),
    [
        (AXIAL, (90, 90, 0)),
        (CORONAL, (90, 0, 90)),
        (SAGITTAL, (0, 90, 90)),
        ((1, 0, 0, 0, -1, 0), (90, 90, 0)),  # seen from the other side
        (tilted(30), (90, 60, 30)),
        (tilted(1e-5), (90, 90 - 1e-5, 1e-5)),
    ],
)
def test_angles_are_those_to_the_three_planes(orientation: tuple[float, ...], angles: tuple[float, ...]) -> None:
    assert orientation_angles_deg(orientation) == pytest.approx(angles, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("orientation", "tolerance", "label"),
    [
        (AXIAL, 0.0, "axial"),
        (CORONAL, 0.0, "coronal"),
        (SAGITTAL, 0.0, "sagittal"),
        (tilted(0.9), 1.0, "axial"),
        (tilted(1.1), 1.0, "oblique"),
        (tilted(89.5), 1.0, "coronal"),
        (tilted(44), 45.0, "axial"),
        (tilted(46), 45.0, "coronal"),
    ],
)
def test_a_plane_has_its_name_within_the_tolerance(
    orientation: tuple[float, ...], tolerance: float, label: str
) -> None:
    assert orientation_label(orientation, tolerance) == label


def test_a_degree_from_a_plane_still_has_its_name() -> None:
    assert orientation_label(tilted(0.95)) == "axial"
    assert orientation_label(tilted(1.5)) == "oblique"
