"""When each engine is chosen, where its files are written, and which results of other programs are used."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, RLELossless

from dcm_processor_service.errors import InvalidSeriesError, NiftiConversionError, UnsupportedTransferSyntaxError
from dcm_processor_service.imaging.nifti import engine_dicom2nifti, engine_native
from dcm_processor_service.imaging.nifti.comparison import (
    difference_from_series,
    difference_of_values,
    placement,
)
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.nifti.engines import ENGINES
from dcm_processor_service.imaging.nifti.task import ConversionTask
from dcm_processor_service.imaging.series.inspection import examine, inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume, read_volumes
from dcm_processor_service.models import NiftiFiles, SeriesFinding, SeriesKind
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.nifti import NiftiVolume
from tests.unit.imaging.synthetic import Recipe, single_frame
from tests.unit.imaging.test_convert import RECIPE, Made, diffusion, fake_dcm2niix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.models import SeriesReport


@pytest.fixture
def ct(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    return single_frame(RECIPE, tmp_path / "in")


@pytest.fixture
def report(ct: list[Path]) -> SeriesReport:
    return inspect_series(ct)


def with_codes(report: SeriesReport, *codes: str, **changes: Any) -> SeriesReport:
    findings = tuple(SeriesFinding(code=code, message="m", blocking=False) for code in codes)
    return report.model_copy(update={"findings": findings, **changes})


def reasons(report: SeriesReport, policy: Any) -> dict[str, tuple[str, str]]:
    found = {name: engine.chosen_for(report, policy) for name, engine in ENGINES.items()}
    return {name: tuple(choice) for name, choice in found.items() if choice is not None}  # type: ignore[misc]  # two texts


def test_a_clean_volume_is_native(report: SeriesReport) -> None:
    assert reasons(report, "strict") == {"native": ("one uniform volume", "")}
    four = with_codes(report, kind=SeriesKind.FOUR_D)
    assert reasons(four, "split") == {"native": ("a clean 4D stack", "")}
    unclean = report.model_copy(update={"kind": SeriesKind.MULTI_VOLUME, "parts": ()})
    (reason, otherwise) = reasons(unclean, "largest")["native"]
    assert reason == "policy largest extracts volumes from a series that is not one volume: multi-volume"
    assert otherwise == ""


@pytest.mark.parametrize("policy", ["strict", "split", "largest", "resample"])
def test_diffusion_is_converted_by_dcm2niix_unless_it_would_be_wrong(report: SeriesReport, policy: str) -> None:
    weighted = with_codes(report, is_diffusion=True)
    assert ("dcm2niix" in reasons(weighted, policy)) is (policy != "resample")
    assert "native" in reasons(weighted, policy)
    for code in ("MODALITY_LUT", "REAL_WORLD_VALUES"):
        assert "dcm2niix" not in reasons(with_codes(report, code, is_diffusion=True), policy)
    assert ("dcm2niix" in reasons(with_codes(report, "OTHER", is_diffusion=True), policy)) is (policy != "resample")
    mosaic = with_codes(report, kind=SeriesKind.MOSAIC)
    assert all(reasons(mosaic, policy)["dcm2niix"])  # with the reason for the next engine, if this one fails


def test_which_engines_bring_decoders() -> None:
    assert [name for name, engine in ENGINES.items() if engine.brings_decoders] == ["dcm2niix", "dicom2nifti"]


@pytest.mark.parametrize("engine", ["native", "dcm2niix", "dicom2nifti"])
@pytest.mark.parametrize("verify", [False, True])
def test_temporary_files_lie_beside_the_destination_and_go_away(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch, engine: Any, *, verify: bool
) -> None:
    program = fake_dcm2niix(tmp_path, {"": read_volume(ct).to_nifti()}, gradients=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    target = tmp_path / "a" / "b" / "x.nii"
    files = AutoConverter(dcm2niix_program=program).convert(ct, target, engine=engine, verify=verify)
    assert files.paths == (target,)
    assert sorted(path.name for path in target.parent.iterdir()) == ["x.json", "x.nii"]
    np.testing.assert_array_equal(nib.nifti1.Nifti1Image.from_filename(target).get_fdata(), RECIPE.values[..., 0])


def two_echoes(folder: Path) -> list[Path]:
    paths = single_frame(Recipe(columns=12, rows=10, slices=3, volumes=2, modality="MR"), folder)
    for path in paths:
        dataset = dcmread(path)
        dataset.EchoTime = str(int(dataset.TemporalPositionIdentifier) * 4)
        del dataset.TemporalPositionIdentifier
        dataset.save_as(path)
    return paths


def test_images_without_a_name_of_their_own_are_numbered(tmp_path: Path) -> None:
    paths = two_echoes(tmp_path)
    first, second = (volume.to_nifti() for volume in read_volumes(paths, policy="split"))
    program = fake_dcm2niix(tmp_path, {"": first, "_e2": second}, gradients=False)
    converter = AutoConverter(dcm2niix_program=program)
    files = converter.convert(paths, tmp_path / "out" / "x.nii.gz", engine="dcm2niix", policy="split")
    assert [volume.name for volume in files.volumes] == ["1", "e2"]
    assert [path.name for path in files.paths] == ["x_1.nii.gz", "x_e2.nii.gz"]
    assert [path.name for path in files.sidecars] == ["x_1.json", "x_e2.json"]
    for path, image in zip(files.paths, (first, second), strict=True):
        np.testing.assert_array_equal(nib.nifti1.Nifti1Image.from_filename(path).get_fdata(), image.get_fdata())
    with pytest.raises(InvalidSeriesError, match="MULTI_VOLUME"):
        converter.convert(paths, tmp_path / "y.nii", engine="dcm2niix")


def test_the_image_with_the_most_voxels_is_the_largest(tmp_path: Path) -> None:
    paths = diffusion(tmp_path)
    whole = read_volume(paths).to_nifti()
    array = np.asanyarray(whole.dataobj)
    parts: dict[str, Made] = {
        "_a": nib.nifti1.Nifti1Image(array[..., 0], whole.affine),
        "_b": nib.nifti1.Nifti1Image(array[..., 1:], whole.affine),
    }
    program = fake_dcm2niix(tmp_path, parts, gradients=False)
    for name, weights in (("a", "0"), ("b", "1000 1000")):
        (tmp_path / "made" / f"volume_{name}.bval").write_text(weights)
    converter = AutoConverter(dcm2niix_program=program)
    files = converter.convert(paths, tmp_path / "out" / "x.nii", engine="dcm2niix", policy="largest")
    assert files.volumes[0].shape == (12, 10, 4, 2)
    assert [path.name for path in files.sidecars] == ["x.json", "x.bval"]
    assert files.sidecars[1].read_text() == "1000 1000"
    with pytest.raises(InvalidSeriesError, match=r"makes 2 images of it \(a, b\): convert with policy split") as caught:
        converter.convert(paths, tmp_path / "y.nii", engine="dcm2niix")
    assert caught.value.report is not None


def test_metadata_of_dcm2niix_is_kept(tmp_path: Path, ct: list[Path]) -> None:
    program = fake_dcm2niix(tmp_path, {"": read_volume(ct).to_nifti()}, gradients=False)
    (tmp_path / "made" / "volume.json").write_bytes(b'{"Modality": "CT", "Text": "\xff"}')
    converter = AutoConverter(dcm2niix_program=program)
    files = converter.convert(ct, tmp_path / "x.nii", engine="dcm2niix")
    assert json.loads(files.sidecars[0].read_text())["Modality"] == "CT"
    assert (files.reason, files.report is not None) == ("asked for", True)


def wrong_shape(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    class Fake:
        """A converter that writes two files and says that the image has such a shape."""

        def __init__(self, limits: Limits) -> None:
            assert isinstance(limits, Limits)

        def convert(self, paths: list[Path], destination: Path) -> NiftiFiles:
            assert paths
            beside = destination.with_suffix(".bval")
            for path in (destination, beside):
                path.write_bytes(b"x")
            volume = NiftiVolume(destination, "", shape, ())
            return NiftiFiles((destination,), "dicom2nifti", "", (beside,), (volume,))

    monkeypatch.setattr(engine_dicom2nifti, "Dicom2NiftiConverter", Fake)


def test_a_result_whose_shape_differs_from_the_headers_is_not_used(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_shape(monkeypatch, (12, 10, 5))
    with pytest.raises(NiftiConversionError, match=r"made shape \(12, 10, 5\)"):
        AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_axes_in_another_order_are_the_same_shape(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_shape(monkeypatch, (6, 12, 10))
    files = AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti")
    assert [path.name for path in files.sidecars] == ["x.json", "x.bval"]
    assert (files.reason, files.report is not None) == ("asked for", True)
    none = AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti", sidecar="none")
    assert [path.name for path in none.sidecars] == ["x.bval"]


@pytest.mark.parametrize("result", [{}, {"NII": None}, ValueError("a value of the patient")])
def test_what_dicom2nifti_cannot_do_is_a_sentence(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    def answer(*_: object, **__: object) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(engine_dicom2nifti, "dicom_array_to_nifti", answer)
    with pytest.raises(NiftiConversionError, match="dicom2nifti") as caught:
        AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti")
    assert "patient" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "kept"),
    [(("BVAL_FILE", "BVEC_FILE"), ["x.bval", "x.bvec"]), (("BVAL_FILE",), ["x.bval"]), ((), [])],
)
def test_gradients_of_dicom2nifti_are_kept_beside_the_image(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch, made: tuple[str, ...], kept: list[str]
) -> None:
    image = read_volume(ct).to_nifti()

    def answer(_datasets: object, output: str, **_: object) -> dict[str, Any]:
        found: dict[str, Any] = {"NII": image, "BVAL_FILE": None, "BVEC_FILE": f"{output}.none"}
        for key in made:
            found[key] = f"{output}.{key}"
            Path(found[key]).write_text(key)
        return found

    monkeypatch.setattr(engine_dicom2nifti, "dicom_array_to_nifti", answer)
    files = AutoConverter().convert(ct, tmp_path / "out" / "x.nii", engine="dicom2nifti")
    assert [path.name for path in files.sidecars] == ["x.json", *kept]
    assert [path.read_text() for path in files.sidecars[1:]] == list(made)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(["x.json", "x.nii", *kept])


def test_what_dicom2nifti_writes_says_where_it_lies(tmp_path: Path, ct: list[Path]) -> None:
    AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti")
    header = nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)


def task(paths: list[Path], **changes: Any) -> ConversionTask:
    values: dict[str, Any] = {"destination": Path("out.v2.NII.gz"), "policy": "strict", "sidecar": "bids"}
    return ConversionTask(examine(paths), limits=Limits(), **(values | changes))


def test_what_a_library_raises_within_an_engine_is_a_sentence(
    tmp_path: Path, ct: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("a value of the patient")

    monkeypatch.setattr(engine_native, "write_with_sidecar", fails)
    with pytest.raises(
        NiftiConversionError, match=r"^series .* cannot be converted: a file of it is damaged"
    ) as caught:
        AutoConverter().convert(ct, tmp_path / "x.nii")
    assert "patient" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_task_names_one_of_several_volumes(ct: list[Path]) -> None:
    one = task(ct)
    assert one.named_destination("e2") == Path("out.v2_e2.NII.gz")
    assert sorted(one.image_paths) == sorted(ct)


ALL: dict[str, bool] = {"whole": True, "any_order": False}
SAMPLE: dict[str, bool] = {"whole": False, "any_order": False}
ORDER: dict[str, bool] = {"whole": False, "any_order": True}


@pytest.fixture
def moving(tmp_path: Path) -> tuple[ConversionTask, NDArray[Any], NDArray[np.float64]]:
    """A series of five volumes with five slices, its voxels, and where they lie in RAS."""
    (tmp_path / "in").mkdir()
    recipe = Recipe(volumes=5, slices=5, modality="MR")
    paths = single_frame(recipe, tmp_path / "in")
    return task(paths), recipe.values, np.diag([-1.0, -1, 1, 1]) @ recipe.affine_lps


def test_an_image_of_the_series_does_not_differ(moving: Any) -> None:
    one, values, affine = moving
    for options in (ALL, SAMPLE, ORDER):
        assert difference_from_series(values, affine, one, **options) == ""
    assert difference_from_series(values[..., ::-1], affine, one, **ORDER) == ""
    assert "its values differ" in difference_from_series(values[..., ::-1], affine, one, **SAMPLE)


def test_a_sample_is_the_first_the_middle_and_the_last(moving: Any) -> None:
    one, values, affine = moving
    for place in range(5):
        for time in range(5):
            other = values.copy()
            other[2, 1, place, time] += 1e5
            assert "its values differ" in difference_from_series(other, affine, one, **ALL)
            seen = difference_from_series(other, affine, one, **SAMPLE)
            assert bool(seen) is (place in {0, 2, 4} and time in {0, 2, 4})
            assert bool(difference_from_series(other, affine, one, **ORDER)) is (place in {0, 2, 4})


@pytest.mark.parametrize("options", [ALL, SAMPLE, ORDER])
def test_an_image_with_more_volumes_or_elsewhere_differs(moving: Any, options: dict[str, bool]) -> None:
    one, values, affine = moving
    longer = np.concatenate([values, values[..., :1]], axis=3)
    assert difference_from_series(longer, affine, one, **options) == "it has 6 volumes, and the series 5"
    moved = affine.copy()
    moved[0, 3] += 5
    assert difference_from_series(values, moved, one, **options).startswith("it lies elsewhere")


def test_fewer_volumes_are_part_of_a_series_only_if_their_order_does_not_matter(moving: Any) -> None:
    one, values, affine = moving
    for options in (ALL, SAMPLE):
        assert difference_from_series(values[..., :4], affine, one, **options) == "it has 4 volumes, and the series 5"
    assert difference_from_series(values[..., 1:4], affine, one, **ORDER) == ""
    assert difference_from_series(values[..., 3], affine, one, **ORDER) == ""


def test_a_ten_thousandth_of_the_greatest_value_is_rounding() -> None:
    native = np.array([[[-20000.0, 5.0], [0.0, 1.0]]])
    for off, differs in ((1.99, False), (2.01, True), (-1.99, False), (-2.01, True)):
        values = native[..., np.newaxis].copy()
        values[0, 1, 0, 0] += off
        assert bool(difference_of_values(values, native)) is differs
        assert bool(difference_of_values(values, native, any_order=True)) is differs


def test_an_image_of_zeros_only_equals_zeros() -> None:
    zeros = np.zeros((2, 2, 2, 1), np.int16)
    assert difference_of_values(zeros, zeros[..., 0]) == ""
    assert difference_of_values(zeros, zeros, any_order=True) == ""
    assert difference_of_values(zeros + 1, zeros) == "its values differ by up to 1, where the greatest is 0"


def test_shapes_that_differ_are_told() -> None:
    values, native = np.zeros((2, 2, 2, 2)), np.zeros((2, 2, 2, 1))
    assert "it has shape (2, 2, 2, 2)" in difference_of_values(values, native)


def test_unsigned_values_below_others_differ() -> None:
    values, native = np.zeros((1, 1, 1, 1), np.uint16), np.full((1, 1, 1, 1), 7, np.uint16)
    assert "differ by up to 7" in difference_of_values(values, native)


def test_the_least_integer_of_a_type_does_not_overflow() -> None:
    least = np.full((1, 2, 1, 1), -(1 << 15), np.int16)
    assert difference_of_values(least, least) == ""
    assert difference_of_values(least.astype(np.float32) + 3, least) == ""  # a ten-thousandth is 3.27
    assert "greatest is 32768" in difference_of_values(least.astype(np.float32) + 4, least)


@pytest.mark.parametrize("any_order", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("time", [0, 1, 2])
def test_what_is_no_number_in_one_of_two_images_is_a_difference(value: float, time: int, *, any_order: bool) -> None:
    native = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    other = native.copy()
    other[1, 0, 1, time] = value
    assert difference_of_values(other, native, any_order=any_order)
    assert difference_of_values(native, other, any_order=any_order)
    assert difference_of_values(other, other.copy(), any_order=any_order) == ""
    other_still = other.copy()
    other_still[0, 0, 0, time] += 1
    assert difference_of_values(other_still, other, any_order=any_order)


@pytest.mark.parametrize(("along", "fits"), [(0.09, True), (-0.09, True), (0.11, False), (-0.11, False)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tenth_of_a_voxel_is_the_same_place(axis: int, along: float, *, fits: bool) -> None:
    spacing = np.array([0.5, 2.0, 3.0])
    affine, moved = np.diag([*spacing, 1.0]), np.diag([*spacing, 1.0])
    moved[axis, 3] = along * spacing[axis]
    assert (placement(moved, (4, 5, 6), affine, (4, 5, 6)) is not None) is fits


@pytest.mark.parametrize(("part", "fits"), [(0.01, True), (0.04, False), (0.06, False)])
def test_spacings_may_differ_by_what_the_far_corner_allows(part: float, *, fits: bool) -> None:
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    wider = np.diag([1.0 + part, 1.0, 1.0, 1.0])
    assert (placement(wider, (6, 5, 4), affine, (6, 5, 4)) is not None) is fits
    assert placement(wider, (2, 2, 2), affine, (2, 2, 2)) is None or part < 0.05


def test_two_axes_along_one_axis_of_the_series_are_refused() -> None:
    flat = np.eye(4)
    flat[:3, :3] = [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert placement(flat, (3, 3, 3), np.eye(4), (3, 3, 3)) is None


def of_an_unknown_decoder(paths: list[Path]) -> list[Path]:
    for path in paths:
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = MPEG2MPML
        dataset.PixelData = encapsulate([bytes(8)])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.save_as(path)
    return paths


def test_pixels_that_nothing_here_decodes_are_left_to_a_program_that_does(tmp_path: Path, ct: list[Path]) -> None:
    image = read_volume(ct).to_nifti()
    converter = AutoConverter(dcm2niix_program=fake_dcm2niix(tmp_path, {"": image}, gradients=False))
    files = converter.convert(of_an_unknown_decoder(ct), tmp_path / "x.nii")
    assert (files.engine, files.reason) == ("dcm2niix", "no decoder for its pixels is installed")
    np.testing.assert_array_equal(nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii").get_fdata(), image.dataobj)


def test_a_program_that_puts_such_pixels_elsewhere_is_not_believed(tmp_path: Path, ct: list[Path]) -> None:
    image = read_volume(ct).to_nifti()
    moved = nib.nifti1.Nifti1Image(np.asanyarray(image.dataobj), np.diag([1.0, 1, -1, 1]) @ image.affine)
    converter = AutoConverter(dcm2niix_program=fake_dcm2niix(tmp_path, {"": moved}, gradients=False))
    with pytest.raises(UnsupportedTransferSyntaxError, match="MPEG2"):
        converter.convert(of_an_unknown_decoder(ct), tmp_path / "x.nii")
    assert not (tmp_path / "x.nii").exists()


def test_compressed_pixels_are_decoded_for_dicom2nifti(tmp_path: Path, ct: list[Path]) -> None:
    for path in ct:
        dataset = dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    files = AutoConverter().convert(ct, tmp_path / "x.nii", engine="dicom2nifti")
    assert (files.engine, files.volumes[0].shape) == ("dicom2nifti", (12, 10, 6))
    np.testing.assert_array_equal(
        nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii").get_fdata(), RECIPE.values[..., 0]
    )


def test_one_axis_along_two_axes_of_the_series_is_refused() -> None:
    across = np.eye(4)
    across[:3, :3] = np.array([[1.0, 0.02, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert placement(across, (3, 5, 3), np.eye(4), (3, 3, 3)) is None


def test_hidden_files_of_other_names_are_shown_to_dcm2niix_under_names_that_it_takes(
    tmp_path: Path, ct: list[Path]
) -> None:
    odd = [path.rename(path.with_name(f".{number}.par")) for number, path in enumerate(ct)]
    files = AutoConverter().convert(odd, tmp_path / "x.nii", engine="dcm2niix")
    assert files.volumes[0].shape == (12, 10, 6)


def test_what_reading_finds_is_in_the_report_of_the_files(tmp_path: Path, ct: list[Path]) -> None:
    dataset = dcmread(ct[2])
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(ct[2])
    files = AutoConverter().convert(ct, tmp_path / "x.nii")
    assert files.report is not None
    assert "CONSTANT_FRAME" in files.report.codes
