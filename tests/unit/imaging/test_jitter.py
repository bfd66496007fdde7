"""Geometry as scanners write it, rounded and slightly irregular: what counts as one volume nevertheless."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dcm_processor_service.imaging.geometry import cluster_positions
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from tests.desk import examples
from tests.unit.imaging.refusals import change, in_slice_order, refused
from tests.unit.imaging.synthetic import Recipe, rotated, single_frame

if TYPE_CHECKING:
    from pydicom import Dataset

JITTER_MM = 0.005
OBLIQUE = rotated((1, 0, 0, 0, 1, 0), (12.5, -7.25, 3.0))


def unsteady(
    recipe: Recipe, folder: Path, seed: int, digits: int = 6, jitter_mm: float = JITTER_MM, *, extreme: bool = False
) -> list[Path]:
    """Writes cosines with so many digits, the last of which is sometimes off by one, and shifts positions."""
    random = np.random.default_rng(seed)

    def edit(ds: Dataset, _: int) -> None:
        cosines = np.round(recipe.orientation, digits) + random.integers(-1, 2, 6) * 10.0**-digits
        ds.ImageOrientationPatient = [round(float(value), digits) for value in np.clip(cosines, -1, 1)]
        shift = random.choice([-1, 0, 1], 3) if extreme else random.uniform(-1, 1, 3)
        position = np.array(ds.ImagePositionPatient, float) + jitter_mm * shift
        ds.ImagePositionPatient = [round(float(value), 6) for value in position]

    return change(single_frame(recipe, folder), edit)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    slices=st.integers(2, 12),
    volumes=st.sampled_from([1, 1, 2, 5]),
    step=st.sampled_from([0.3, 0.4, 0.5, 0.625, 1.0, 2.5, 5.0]),
    orientation=st.sampled_from([(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), OBLIQUE]),
    digits=st.integers(4, 9),
    seed=st.integers(0, 10_000),
    extreme=st.booleans(),
)
@example(slices=4, volumes=1, step=0.3, orientation=OBLIQUE, digits=4, seed=132, extreme=True)
@example(slices=2, volumes=1, step=0.3, orientation=OBLIQUE, digits=4, seed=1, extreme=True)
@example(slices=6, volumes=30, step=1.0, orientation=OBLIQUE, digits=6, seed=2, extreme=False)
def test_cosines_and_positions_that_jitter_are_one_uniform_volume(
    slices: int, volumes: int, step: float, orientation: tuple[float, ...], digits: int, seed: int, *, extreme: bool
) -> None:
    recipe = Recipe(
        columns=3, rows=2, slices=slices, volumes=volumes, step=step, orientation=orientation, modality="MR", seed=seed
    )
    expected = recipe.values if volumes > 1 else recipe.values[..., 0]
    with tempfile.TemporaryDirectory() as folder:
        paths = unsteady(recipe, Path(folder), seed, digits, extreme=extreme)
        for policy in ("strict", "split", "largest"):
            [volume] = read_volumes(paths, policy)
            assert volume.report is not None
            assert not [finding for finding in volume.report.findings if finding.blocking]
            np.testing.assert_array_equal(volume.array, expected)
            # the far corner has moved only by the jitter, and by the rounding of the cosines
            corner = [2, 1, slices - 1, 1]
            apart = np.linalg.norm((volume.affine_lps @ corner) - (recipe.affine_lps @ corner))
            assert apart < 4 * JITTER_MM + 10.0**-digits * 10


@pytest.mark.parametrize(("shift", "is_one"), [(0.015, True), (0.045, False), (0.3, False)])
def test_a_slice_that_lies_too_near_its_neighbour_is_found(tmp_path: Path, shift: float, *, is_one: bool) -> None:
    """At a step of 1 mm, a deviation of 35 µm is allowed."""

    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float(ds.ImagePositionPatient[2]) + (shift if index == 4 else 0.0)

    recipe = Recipe(slices=9, step=1.0)
    paths = change(single_frame(recipe, tmp_path), edit)
    if is_one:
        np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])
        return
    [finding] = refused(paths, "MIXED_SPACING").findings
    assert finding.positions_mm == pytest.approx((-4.0, round(-3.0 + shift, 4)))


@pytest.mark.parametrize(
    ("step", "shift", "is_one"),
    [(0.05, 0.009, False), (0.1, 0.009, True), (0.1, 0.019, False), (10.0, 0.09, True), (10.0, 0.11, False)],
)
def test_the_allowed_deviation_depends_on_the_step(tmp_path: Path, step: float, shift: float, *, is_one: bool) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = float(ds.ImagePositionPatient[2]) + (shift if index == 4 else 0.0)

    paths = change(single_frame(Recipe(slices=9, step=step), tmp_path), edit)
    if is_one:
        assert read_volume(paths).shape == (5, 4, 9)
    else:
        refused(paths, "MIXED_SPACING")


@pytest.mark.parametrize(("lateral", "is_one"), [(0.1, True), (0.2, False)])
def test_a_slice_that_lies_beside_the_others_is_found(tmp_path: Path, lateral: float, *, is_one: bool) -> None:
    """A deviation of a quarter of the smallest distance, here 0.6 mm, is allowed."""

    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[1] = float(ds.ImagePositionPatient[1]) + (lateral if index == 3 else 0.0)

    paths = change(single_frame(Recipe(slices=9), tmp_path), edit)
    if is_one:
        assert read_volume(paths).shape == (5, 4, 9)
    else:
        [finding] = refused(paths, "SHIFTED_SLICES", "split").findings
        assert "0.2 mm off" in finding.message


@pytest.mark.parametrize(("off", "is_one"), [(0.0009, True), (0.0015, False)])
def test_a_slice_that_is_turned_is_found(tmp_path: Path, off: float, *, is_one: bool) -> None:
    def edit(ds: Dataset, index: int) -> None:
        if index == 3:
            ds.ImageOrientationPatient = [1, off, 0, -off, 1, 0]

    paths = change(single_frame(Recipe(slices=9), tmp_path), edit)
    if is_one:
        assert read_volume(paths).shape == (5, 4, 9)
    else:
        assert "MIXED_ORIENTATION" in refused(paths, "MIXED_ORIENTATION").codes


@pytest.mark.parametrize(("pixels_off", "is_one"), [(0.1, True), (0.5, False)])
def test_how_far_a_slice_may_be_turned_is_measured_at_its_far_corner(
    tmp_path: Path, pixels_off: float, *, is_one: bool
) -> None:
    recipe = Recipe(slices=4, rows=512, columns=512, row_distance=0.7, column_distance=0.7)
    off = pixels_off / 512

    def edit(ds: Dataset, index: int) -> None:
        if index == 2:
            ds.ImageOrientationPatient = [1, round(off, 9), 0, round(-off, 9), 1, 0]

    paths = change(single_frame(recipe, tmp_path), edit)
    if is_one:
        assert read_volume(paths).shape == (512, 512, 4)
    else:
        refused(paths, "MIXED_ORIENTATION")


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), OBLIQUE])
@pytest.mark.parametrize(("step", "rounded_to"), [(0.75, 0.1), (0.625, 0.1), (1.25, 0.1), (5.33, 1.0), (0.1125, 0.01)])
def test_rounded_positions_are_even_and_the_report_says_so(
    tmp_path: Path, step: float, rounded_to: float, orientation: tuple[float, ...]
) -> None:
    recipe = Recipe(slices=24, step=step, orientation=orientation, modality="MR")
    is_beside = rounded_to == 1.0 and orientation == OBLIQUE  # by more than a quarter of a pixel
    paths = in_slice_order(single_frame(recipe, tmp_path))
    for path in paths:
        ds = dcmread(path)
        ds.ImagePositionPatient = [round(round(float(v) / rounded_to) * rounded_to, 3) for v in ds.ImagePositionPatient]
        ds.save_as(path)
    if is_beside:
        refused(paths, "SHIFTED_SLICES")
        return
    for policy in ("strict", "split", "largest", "resample"):
        [volume] = read_volumes(paths, policy)
        if policy != "resample" or orientation != OBLIQUE:  # rounding leaves an oblique stack a trace of tilt
            np.testing.assert_array_equal(volume.array, recipe.values[..., 0])
        assert volume.spacing_mm[2] == pytest.approx(step, rel=0.01)
        assert volume.report is not None
        assert volume.report.codes <= {"ROUNDED_POSITIONS"}
        for finding in volume.report.findings:
            [said] = re.findall(r"evenly spaced, ([\d.]+) mm apart", finding.message)
            assert float(said) == pytest.approx(step, rel=0.01)


def with_six_digits(value: float) -> float:
    return float(f"{value:.6g}")


@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    degrees=st.floats(-40, 40),
    corner=st.tuples(*[st.floats(-200, 200)] * 3),
    step=st.sampled_from([1.2, 3.3, 5.0, 7.0]),
    slices=st.integers(5, 12),
)
@example(degrees=7.71, corner=(-110.5, -78.3063, -72.7575), step=7.0, slices=20)
@example(degrees=0.5, corner=(0.0, 0.0, 0.0), step=1.2, slices=5)
def test_slices_whose_middles_are_rounded_are_even(
    degrees: float, corner: tuple[float, float, float], step: float, slices: int
) -> None:
    """GE rounds where the middle of a slice lies, and states its corner, each with six digits."""
    recipe = Recipe(slices=slices, step=step, orientation=rotated((1, 0, 0, 0, 1, 0), (degrees, 0, 0)), modality="MR")

    def edit(ds: Dataset, index: int) -> None:
        along = np.array([0, *np.cross(recipe.orientation[:3], recipe.orientation[3:])[1:]]) * index * step
        position = np.array([with_six_digits(value) for value in corner]) + np.round(along, 1)
        ds.ImagePositionPatient = [with_six_digits(float(value)) for value in position]

    with tempfile.TemporaryDirectory() as folder:
        [volume] = read_volumes(change(single_frame(recipe, Path(folder)), edit))
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0])
    assert volume.spacing_mm[2] == pytest.approx(step, abs=0.15 / (slices - 1) + 1e-3)
    assert volume.report is not None
    assert volume.report.codes <= {"ROUNDED_POSITIONS"}


@pytest.mark.parametrize(("off", "is_one"), [(0.05, True), (0.2, False), (0.3, False)])
def test_a_slice_that_is_off_by_more_than_rounding_is_found(tmp_path: Path, off: float, *, is_one: bool) -> None:
    def edit(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient[2] = round(index * 0.75 + (off if index == 4 else 0.0), 1)

    paths = change(single_frame(Recipe(slices=12, step=0.75), tmp_path), edit)
    if is_one:
        assert read_volume(paths).report.codes == {"ROUNDED_POSITIONS"}  # type: ignore[union-attr]
    else:
        refused(paths, "MIXED_SPACING")


@pytest.mark.parametrize(
    ("keyword", "value", "jitter", "is_one"),
    [
        ("EchoTime", 30, 0.01, True),
        ("EchoTime", 30, 0.3, False),
        ("FlipAngle", 90, 0.01, True),
        ("FlipAngle", 4, 1, False),
        ("InversionTime", 900, 0.01, True),
        ("InversionTime", 900, 1, False),
        ("KVP", 120, 0.1, True),
        ("KVP", 80, 20, False),
    ],
)
@pytest.mark.parametrize("volumes", [1, 2])
def test_settings_that_jitter_are_one(
    tmp_path: Path, keyword: str, value: float, jitter: float, volumes: int, *, is_one: bool
) -> None:
    recipe = Recipe(slices=6, volumes=volumes, modality="MR")
    kinds = (0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1)[: 6 * volumes]
    paths = change(
        single_frame(recipe, tmp_path), lambda ds, k: setattr(ds, keyword, f"{value + jitter * kinds[k]:.2f}")
    )
    if is_one:
        np.testing.assert_array_equal(read_volume(paths).array.reshape(5, 4, 6, -1), recipe.values)
    elif keyword == "InversionTime" and volumes == 1:  # slices of one volume may have two
        assert read_volume(paths).order is not None
    else:
        refused(paths, "MULTI_VOLUME")


@pytest.mark.parametrize(("tilt_deg", "is_upright"), [(0.1, True), (0.3, False)])
def test_a_tilt_is_distinguished_from_jitter(tmp_path: Path, tilt_deg: float, *, is_upright: bool) -> None:
    shear = (0.0, 2.5 * np.tan(np.radians(tilt_deg)), 0.0)
    paths = unsteady(Recipe(slices=30, shear=shear, rows=2, columns=2), tmp_path, seed=3)
    if is_upright:
        assert read_volume(paths).shape == (2, 2, 30)
    else:
        assert refused(paths, "GANTRY_TILT").parts[0].tilt_deg == pytest.approx(tilt_deg, abs=0.02)


@pytest.mark.parametrize("steps", [1.4, 1.5, 1.6, 2.3, 2.6])
@pytest.mark.parametrize("where", [0, 4, 8])
@pytest.mark.parametrize("jitter_mm", [0.0, JITTER_MM])
def test_a_gap_of_no_whole_number_of_steps_is_found_and_not_rounded(
    tmp_path: Path, steps: float, where: int, jitter_mm: float
) -> None:
    """Nobody knows how many slices are missing there, if any."""

    def edit(ds: Dataset, index: int) -> None:
        if index > where:
            ds.ImagePositionPatient[2] = round(float(ds.ImagePositionPatient[2]) + 2.5 * (steps - 1), 6)

    recipe = Recipe(slices=10)
    paths = change(unsteady(recipe, tmp_path, seed=4, jitter_mm=jitter_mm), edit)
    [finding] = refused(paths, "MIXED_SPACING").findings
    assert finding.count == 1
    assert finding.positions_mm == pytest.approx((-7.0 + 2.5 * where,), abs=jitter_mm + 1e-6)
    assert "MISSING" not in str(finding)
    parts = read_volumes(paths, "split")
    assert [part.shape[2] for part in parts] == [where + 1, 9 - where]
    np.testing.assert_array_equal(np.concatenate([part.array for part in parts], 2), recipe.values[..., 0])
    even = read_volume(paths, "resample", max_gap_mm=7)
    length = float(np.linalg.norm(even.affine_lps[:3, 2])) * (even.shape[2] - 1)
    assert length == pytest.approx(2.5 * (8 + steps), abs=2.6)
    np.testing.assert_array_equal(even.array[:, :, 0], recipe.values[:, :, 0, 0])


@pytest.mark.parametrize(("steps", "lacking"), [(2.0, 1), (3.0, 2), (4.0, 3)])
def test_a_gap_of_whole_steps_says_how_many_slices_are_missing(tmp_path: Path, steps: float, lacking: int) -> None:
    def edit(ds: Dataset, index: int) -> None:
        if index > 4:
            ds.ImagePositionPatient[2] = round(float(ds.ImagePositionPatient[2]) + 2.5 * (steps - 1), 6)

    [finding] = refused(change(unsteady(Recipe(slices=10), tmp_path, seed=5), edit), "MISSING_SLICES").findings
    assert finding.count == lacking
    assert f"{lacking} slice(s) missing after slice 4," in finding.message


def test_one_slice_again_and_again_is_one_position(tmp_path: Path) -> None:
    recipe = Recipe(slices=1, volumes=6, modality="MR")
    paths = unsteady(recipe, tmp_path, seed=6, extreme=True)
    [volume] = read_volumes(paths, "largest")
    assert volume.report is not None
    assert volume.report.codes == {"SINGLE_SLICE", "MULTI_VOLUME"}
    np.testing.assert_array_equal(volume.array, recipe.values)


@pytest.mark.parametrize("gaps", [[0.015] * 4, [0.03] * 4, [0.015, 0.03, 0.015, 0.03], [0.004] * 9])
def test_steps_of_a_few_micrometres_are_no_noise(gaps: list[float]) -> None:
    labels, found = cluster_positions(np.cumsum([0.0, *gaps]))
    assert labels.tolist() == list(range(len(gaps) + 1))
    np.testing.assert_allclose(np.diff(found), gaps)


@pytest.mark.parametrize(("pixels_off", "is_one"), [(0.08, True), (0.12, False)])
def test_how_far_pixel_spacings_may_differ_is_measured_at_the_far_edge(
    tmp_path: Path, pixels_off: float, *, is_one: bool
) -> None:
    recipe = Recipe(slices=4, rows=512, columns=512, row_distance=0.7, column_distance=0.7)
    spacing = round(0.7 * (1 + pixels_off / 512), 9)

    def edit(ds: Dataset, index: int) -> None:
        if index == 2:
            ds.PixelSpacing = [spacing, 0.7]

    paths = change(single_frame(recipe, tmp_path), edit)
    if is_one:
        assert read_volume(paths).shape == (512, 512, 4)
    else:
        assert "pixels have 2 sizes" in str(refused(paths, "MIXED_SPACING").findings)
