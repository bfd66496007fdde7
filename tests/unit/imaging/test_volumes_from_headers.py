"""Volumes of any geometry have the affine that the headers define and the voxels that were stored."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.imaging.volumes.volume import Rescale
from tests.desk import examples
from tests.unit.imaging.synthetic import Recipe, all_orientations, multi_frame, rotated, single_frame

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
RESCALES = (None, ("1", "0"), ("1", "-1024"), ("2", "7"), ("0.5", "-3.25"), ("1.28", "0"))
BIG_ENDIAN = str(ExplicitVRBigEndian)

angles = st.floats(-80, 80).map(lambda value: round(value, 3))
distances = st.floats(0.3, 6).map(lambda value: round(value, 4))
bit_widths = st.sampled_from([(8, 8), (16, 16), (16, 12), (16, 10), (32, 32), (32, 20)])


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    allocated, stored = draw(bit_widths)
    orientation = draw(st.sampled_from(all_orientations()))
    if draw(st.booleans()):
        orientation = rotated(orientation, (draw(angles), draw(angles), draw(angles)))
    slices = draw(st.integers(3, 6))
    rescale = draw(st.sampled_from(RESCALES))
    return Recipe(
        columns=draw(st.integers(2, 5)),
        rows=draw(st.integers(2, 5)),
        slices=slices,
        volumes=draw(st.sampled_from([1, 1, 2, 3])),
        orientation=orientation,
        origin=(draw(distances) * 40, -draw(distances) * 30, draw(distances)),
        row_distance=draw(distances),
        column_distance=draw(distances),
        step=draw(distances),
        bits_allocated=allocated,
        bits_stored=stored,
        signed=draw(st.booleans()),
        rescale=rescale,
        rescale_per_slice=draw(
            st.sampled_from(
                [
                    (),
                    tuple((str(1 + k), str(-k)) for k in range(slices)),
                    tuple((f"{0.1 + k:.2f}", "0") for k in range(slices)),
                ]
            )
        ),
        modality=draw(st.sampled_from(["CT", "MR"])),
        syntax=draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])),
        reversed_numbers=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


def check(recipe: Recipe, paths: list[Path], out: Path) -> None:
    volume = read_volume(paths)
    expected = recipe.values if recipe.volumes > 1 else recipe.values[..., 0]
    np.testing.assert_allclose(volume.affine_lps, recipe.affine_lps, atol=1e-5)
    np.testing.assert_array_equal(volume.array, expected.astype(volume.array.dtype))
    if volume.array.dtype.kind == "f":
        np.testing.assert_array_equal(volume.array, expected.astype(np.float32))
        assert volume.array.dtype == np.float32
    else:
        np.testing.assert_array_equal(volume.array.astype(np.float64), expected)
    image = volume.to_nifti()
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), volume.array)
    np.testing.assert_allclose(image.affine, LPS_TO_RAS @ recipe.affine_lps, atol=1e-4)
    volume.to_nifti(out / "x.nii.gz")
    again = nib.nifti1.Nifti1Image.from_filename(out / "x.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(again.dataobj), volume.array)
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-5)
    assert again.get_data_dtype() == volume.array.dtype


# the frames of this one happen to lie slice by slice, but not in the order of their TemporalPositionIndex
FRAMES_IN_A_WRONG_PLAN = Recipe(columns=2, rows=2, slices=3, volumes=2, bits_allocated=8, bits_stored=8, seed=532)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(recipe=recipes(), frames=st.booleans())
@example(recipe=FRAMES_IN_A_WRONG_PLAN, frames=True)
def test_any_series_becomes_what_its_headers_say(recipe: Recipe, *, frames: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = (multi_frame if frames else single_frame)(recipe, Path(folder))
        check(recipe, paths, Path(folder))


@pytest.mark.parametrize("orientation", all_orientations())
@pytest.mark.parametrize("signed", [True, False])
def test_all_ways_that_slices_can_lie(tmp_path: Path, orientation: tuple[float, ...], *, signed: bool) -> None:
    recipe = Recipe(orientation=orientation, signed=signed, slices=3, reversed_numbers=signed)
    check(recipe, single_frame(recipe, tmp_path), tmp_path)


def test_the_forty_eight_volume_orientations_are_kept_by_reorient(tmp_path: Path) -> None:
    recipe = Recipe(orientation=rotated((1, 0, 0, 0, 1, 0), (10, -15, 5)))
    volume = read_volume(single_frame(recipe, tmp_path))
    seen = set()
    for letters in ("LR", "PA", "SI"):
        assert letters
    orders = [(a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3]
    for order in orders:
        for flips in range(8):
            pairs = [("LR", "PA", "SI")[axis] for axis in order]
            code = "".join(pair[(flips >> index) & 1] for index, pair in enumerate(pairs))
            turned = volume.reorient(code)
            assert turned.axis_codes == code
            seen.add(code)
            corner = np.array([1, 0, 2, 1])
            value = turned.array[tuple(corner[:3])]
            place = turned.affine_lps @ corner
            index = np.rint(np.linalg.inv(volume.affine_lps) @ place).astype(int)
            assert volume.array[tuple(index[:3])] == value
    assert len(seen) == 48


def test_every_slice_knows_its_instance(tmp_path: Path) -> None:
    recipe = Recipe(volumes=2, slices=4, reversed_numbers=True)
    paths = single_frame(recipe, tmp_path)
    volume = read_volume(paths)
    for path in paths:
        ds = dcmread(path)
        t = int(ds.TemporalPositionIdentifier) - 1
        k = next(k for k in range(4) if volume.source(k, t).sop_instance_uid == ds.SOPInstanceUID)
        np.testing.assert_array_equal(volume.array[:, :, k, t], ds.pixel_array.T)
        flipped = volume.reorient("LPI")
        assert flipped.source(3 - k, t).sop_instance_uid == ds.SOPInstanceUID


def test_every_frame_knows_its_number(tmp_path: Path) -> None:
    recipe = Recipe(volumes=2, slices=4, seed=3)
    [path] = multi_frame(recipe, tmp_path)
    ds = dcmread(path)
    volume = read_volume([path])
    for t in range(2):
        for k in range(4):
            source = volume.source(k, t)
            assert source.sop_instance_uid == ds.SOPInstanceUID
            np.testing.assert_array_equal(volume.array[:, :, k, t], ds.pixel_array[source.frame_number - 1].T)


@pytest.mark.parametrize("frames", [True, False])
def test_spare_bits_with_overlays_do_not_count(tmp_path: Path, *, frames: bool) -> None:
    recipe = Recipe(bits_stored=12, signed=True, slices=3)
    paths = (multi_frame if frames else single_frame)(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        dirty = np.frombuffer(ds.PixelData, "<u2") | 0xA000
        ds.PixelData = dirty.astype("<u2").tobytes()
        ds.save_as(path)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def test_a_ct_keeps_sixteen_bits_whatever_sign_its_pixels_have(tmp_path: Path) -> None:
    for signed in (True, False):
        folder = tmp_path / str(signed)
        folder.mkdir()
        recipe = Recipe(bits_stored=12, bits_allocated=16, signed=signed, rescale=("1", "-1024"))
        assert read_volume(single_frame(recipe, folder)).array.dtype == np.int16


def test_values_that_outgrow_their_type_get_a_wider_one(tmp_path: Path) -> None:
    recipe = Recipe(signed=False, rescale=("1", "-1024"))
    volume = read_volume(single_frame(recipe, tmp_path))
    assert volume.array.dtype == np.int32
    np.testing.assert_array_equal(volume.array, recipe.values[..., 0])


def test_what_a_header_says_comes_along(tmp_path: Path) -> None:
    extra = {"WindowCenter": [40, 600], "WindowWidth": [400, 2000], "RepetitionTime": "2500", "RescaleType": "HU"}
    recipe = Recipe(volumes=2, modality="MR", extra=extra)
    paths = single_frame(recipe, tmp_path)
    volume = read_volume(paths)
    ds = dcmread(paths[0])
    assert volume.series_instance_uid == ds.SeriesInstanceUID
    assert volume.study_instance_uid == ds.StudyInstanceUID
    assert volume.frame_of_reference_uid == ds.FrameOfReferenceUID
    assert volume.modality == "MR"
    assert volume.display_window is not None
    assert (volume.display_window.center, volume.display_window.width) == (40, 400)
    assert volume.volume_step_s is None  # RepetitionTime is not such a time
    assert volume.to_nifti().header.get_zooms()[3] == 0
    assert volume.rescale.unit == "HU"
    assert volume.header is not None
    assert "SECRET" not in repr(volume).upper()


def test_a_tilted_stack_keeps_its_shear_in_the_sform_alone(tmp_path: Path) -> None:
    recipe = Recipe(shear=(0.0, 0.7, 0.0))
    volume = read_volume(single_frame(recipe, tmp_path), policy="split")
    assert volume.is_sheared
    np.testing.assert_allclose(volume.affine_lps, recipe.affine_lps, atol=1e-6)
    image = volume.to_nifti()
    assert int(image.header["qform_code"]) == 0
    assert int(image.header["sform_code"]) == 1
    np.testing.assert_allclose(image.get_sform(), LPS_TO_RAS @ recipe.affine_lps, atol=1e-5)


def test_eight_bits_in_big_endian_words(tmp_path: Path) -> None:
    recipe = Recipe(bits_allocated=8, bits_stored=8, signed=False, syntax=BIG_ENDIAN)
    paths = single_frame(recipe, tmp_path)
    for path in paths[::2]:
        ds = dcmread(path)
        assert ds.file_meta.TransferSyntaxUID == BIG_ENDIAN
        ds.PixelData = (
            np.frombuffer(ds.PixelData, "u2").byteswap().tobytes()
        )  # bytes of 16-bit words are swapped (PS3.5, section 8.1.2)
        ds["PixelData"].VR = "OW"
        ds.save_as(path)
    np.testing.assert_array_equal(read_volume(paths).array, recipe.values[..., 0])


def test_names_and_order_of_the_files_do_not_matter(tmp_path: Path) -> None:
    recipe = Recipe(slices=7)
    paths = single_frame(recipe, tmp_path)
    first = read_volume(paths)
    second = read_volume(sorted(paths))
    np.testing.assert_array_equal(first.array, second.array)
    assert first.sources == second.sources
    assert replace(first, array=second.array).affine_lps.tolist() == second.affine_lps.tolist()


@pytest.mark.parametrize("frames", [True, False])
@pytest.mark.parametrize(
    ("stated", "unit"), [({}, "HU"), ({"RescaleType": "US"}, ""), ({"RescaleType": "MGML"}, "MGML")]
)
def test_an_unspecified_unit_is_empty(tmp_path: Path, stated: dict[str, str], unit: str, *, frames: bool) -> None:
    recipe = Recipe(slices=3, rescale=("1", "-1024"), extra=stated)
    paths = (multi_frame if frames else single_frame)(recipe, tmp_path)
    # the frames of the enhanced series state US themselves
    assert read_volume(paths).rescale.unit == ("" if frames else unit)


def test_a_volume_says_how_its_values_came_about(tmp_path: Path) -> None:
    one = read_volume(single_frame(Recipe(rescale=("2", "-1000"), extra={"RescaleType": "HU"}), tmp_path))
    assert one.rescale == Rescale(2.0, -1000.0, "HU")
    (tmp_path / "varies").mkdir()
    each = tuple((f"{1 + k}", f"{10 * k - 5}") for k in range(6))
    several = read_volume(single_frame(Recipe(rescale_per_slice=each, modality="PT"), tmp_path / "varies"))
    assert several.rescale == Rescale(1.0, -5.0, "", varies=True)
