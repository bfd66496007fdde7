"""Which engine runs, what the result says about it, and that no wrong result of dcm2niix is ever used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from dcm_processor_service.errors import (
    InvalidNameError,
    InvalidSeriesError,
    NiftiConversionError,
    UnsupportedTransferSyntaxError,
    UnsupportedValueError,
)
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.synthetic import Recipe, multi_frame, single_frame

RECIPE = Recipe(columns=12, rows=10, slices=6, signed=True, bits_stored=12, rescale=("1", "-1024"))


def loaded(path: Path) -> nib.nifti1.Nifti1Image:
    image: nib.nifti1.Nifti1Image = nib.funcs.as_closest_canonical(nib.nifti1.Nifti1Image.from_filename(path))
    return image


@pytest.fixture
def ct(tmp_path: Path) -> list[Path]:
    (tmp_path / "in").mkdir()
    return single_frame(RECIPE, tmp_path / "in")


@pytest.mark.parametrize("engine", ["auto", "native", "dcm2niix", "dicom2nifti"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_all_engines_agree_on_a_plain_ct(tmp_path: Path, ct: list[Path], engine: Any, suffix: str) -> None:
    target = tmp_path / "out" / f"ct{suffix}"
    files = AutoConverter().convert(ct, target, engine=engine)
    assert files.engine == ("native" if engine == "auto" else engine)
    assert files.paths == (target,)
    assert target.read_bytes()[:2] == (b"\x1f\x8b" if suffix.endswith("gz") else b"\x5c\x01")
    native = tmp_path / "native.nii"
    AutoConverter().convert(ct, native, engine="native")
    np.testing.assert_array_equal(loaded(target).get_fdata(), loaded(native).get_fdata())
    np.testing.assert_allclose(loaded(target).affine, loaded(native).affine, atol=1e-4)
    assert sorted(path.name for path in target.parent.iterdir()) == ["ct.json", target.name]
    content = (tmp_path / "out" / "ct.json").read_text()
    assert "SECRET" not in content.upper()
    assert json.loads(content)["Modality"] == "CT"
    [volume] = files.volumes
    image = nib.nifti1.Nifti1Image.from_filename(target)
    assert volume.shape == image.shape
    np.testing.assert_allclose(np.array(volume.affine_ras), image.affine, atol=1e-4)


def test_dcm2niix_sees_the_files_that_are_asked_for_whatever_lies_beside_them_and_whatever_their_names(
    tmp_path: Path, ct: list[Path]
) -> None:
    expected = AutoConverter().convert(ct, tmp_path / "a.nii", engine="dcm2niix").volumes[0]
    single_frame(replace(RECIPE, slices=3, seed=9), ct[0].parent)
    assert AutoConverter().convert(ct, tmp_path / "b.nii", engine="dcm2niix").volumes[0].shape == expected.shape
    odd = [path.rename(path.with_name(f".{number}.par")) for number, path in enumerate(ct)]
    assert AutoConverter().convert(odd, tmp_path / "c.nii", engine="dcm2niix").volumes[0].shape == expected.shape
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes() == (tmp_path / "c.nii").read_bytes()


def test_the_result_says_why_its_engine_ran(tmp_path: Path, ct: list[Path]) -> None:
    assert AutoConverter().convert(ct, tmp_path / "a.nii").reason == "one uniform volume"
    four_d = multi_frame(Recipe(volumes=2), tmp_path)
    assert AutoConverter().convert(four_d, tmp_path / "b.nii").reason == "a clean 4D stack"
    assert AutoConverter().convert(ct, tmp_path / "c.nii", engine="dcm2niix").reason == "asked for"


@pytest.mark.parametrize("engine", ["auto", "native", "dcm2niix", "dicom2nifti"])
def test_the_check_comes_before_any_engine(tmp_path: Path, ct: list[Path], engine: Any) -> None:
    ordered = sorted(ct, key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidSeriesError, match="MISSING_SLICES") as caught:
        AutoConverter().convert([*ordered[:2], *ordered[3:]], tmp_path / "out" / "x.nii", engine=engine)
    assert caught.value.report is not None
    assert not list((tmp_path / "out").iterdir())


def test_several_volumes_are_named_files_in_stable_order(tmp_path: Path) -> None:
    recipe = Recipe(volumes=2, modality="MR")
    paths = single_frame(recipe, tmp_path)
    for path in paths:
        ds = dcmread(path)
        ds.EchoTime = str(int(ds.TemporalPositionIdentifier) * 4)
        del ds.TemporalPositionIdentifier
        ds.save_as(path)
    files = AutoConverter().convert(paths, tmp_path / "out" / "x.nii.gz", policy="split")
    assert [path.name for path in files.paths] == ["x_echo-1.nii.gz", "x_echo-2.nii.gz"]
    assert [path.name for path in files.sidecars] == ["x_echo-1.json", "x_echo-2.json"]
    assert [volume.name for volume in files.volumes] == ["echo-1", "echo-2"]
    one = AutoConverter().convert(paths, tmp_path / "out" / "y.nii", policy="largest")
    assert [path.name for path in one.paths] == ["y.nii"]


def test_sidecars_of_all_kinds_are_written(tmp_path: Path, ct: list[Path]) -> None:
    for engine in ("native", "dcm2niix", "dicom2nifti"):
        simplified = AutoConverter().convert(ct, tmp_path / f"{engine}.nii", engine=engine, sidecar="simplified")
        content = json.loads(simplified.sidecars[0].read_text())
        assert (content["Slices"], content["PatientID"]) == (6, "SECRET-ID")
        none = AutoConverter().convert(ct, tmp_path / f"{engine}-2.nii", engine=engine, sidecar="none")
        assert none.sidecars == ()


def test_unknown_engine_policy_and_suffix_are_refused(tmp_path: Path, ct: list[Path]) -> None:
    with pytest.raises(UnsupportedValueError, match="engine"):
        AutoConverter().convert(ct, tmp_path / "x.nii", engine="magic")  # type: ignore[arg-type]  # what the message is for
    with pytest.raises(UnsupportedValueError, match="policy"):
        AutoConverter().convert(ct, tmp_path / "x.nii", policy="hope")  # type: ignore[arg-type]  # what the message is for
    with pytest.raises(InvalidNameError):
        AutoConverter().convert(ct, tmp_path / "x.nrrd")


Made: TypeAlias = "tuple[int, ...] | nib.nifti1.Nifti1Image"


def fake_dcm2niix(
    folder: Path,
    images: dict[str, Made],
    ending: str = "exit 0",
    spacing: tuple[float, float, float] = (0.6, 0.8, 2.5),
    *,
    gradients: bool = True,
) -> str:
    """A program that takes dcm2niix's arguments and leaves images, or empty ones of such shapes, in the folder."""
    made = folder / "made"
    made.mkdir()
    for name, shape in images.items():
        if not isinstance(shape, tuple):
            shape.to_filename(made / f"volume{name}.nii")
            continue
        nib.nifti1.Nifti1Image(np.zeros(shape, np.int16), np.diag([*spacing, 1])).to_filename(
            made / f"volume{name}.nii"
        )
    if gradients:
        (made / "volume.bval").write_text("0 1000 1000")
        (made / "volume.bvec").write_text("0 1 0")
    program = folder / "fake-dcm2niix"
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != "-o" ]; do shift; done\ncp "{made}"/* "$2"\n{ending}\n')
    program.chmod(0o700)
    return str(program)


CLEAN = (12, 10, 6)


@pytest.mark.parametrize(
    ("images", "ending", "message"),
    [
        ({"": CLEAN}, "exit 1", "exit code 1"),
        ({}, "exit 0", "no image"),
        ({"": (12, 10, 5)}, "exit 0", "wrote 5 slices"),
        ({"": CLEAN, "_e2": CLEAN}, "exit 0", "wrote 12 slices"),
        ({"_Eq": CLEAN, "_Tilt": CLEAN, "_ROI1": CLEAN}, "exit 0", "no image"),
    ],
)
def test_an_exit_code_of_zero_from_dcm2niix_is_not_trusted(
    tmp_path: Path,
    ct: list[Path],
    images: dict[str, Made],
    ending: str,
    message: str,
) -> None:
    program = fake_dcm2niix(tmp_path, images, ending)
    (tmp_path / "out").mkdir()
    with pytest.raises(NiftiConversionError, match=message):
        AutoConverter(dcm2niix_program=program).convert(ct, tmp_path / "out" / "x.nii", engine="dcm2niix")
    assert not list((tmp_path / "out").iterdir())


def test_slices_that_dcm2niix_puts_elsewhere_are_not_used(tmp_path: Path, ct: list[Path]) -> None:
    program = fake_dcm2niix(tmp_path, {"": CLEAN}, spacing=(0.6, 0.8, 5.0))
    with pytest.raises(NiftiConversionError, match="placed the slices"):
        AutoConverter(dcm2niix_program=program).convert(ct, tmp_path / "x.nii", engine="dcm2niix")


def test_by_products_never_count_as_the_series(tmp_path: Path, ct: list[Path]) -> None:
    right = read_volume(ct).to_nifti()
    program = fake_dcm2niix(tmp_path, {"": right, "_Eq_1": (40, 40, 40), "_ROI2": (40, 40, 40)})
    files = AutoConverter(dcm2niix_program=program).convert(ct, tmp_path / "x.nii", engine="dcm2niix", policy="largest")
    assert files.volumes[0].shape == CLEAN


def test_dcm2niix_is_stopped_when_it_takes_too_long(tmp_path: Path, ct: list[Path]) -> None:
    program = fake_dcm2niix(tmp_path, {}, "exec sleep 600")
    with pytest.raises(NiftiConversionError, match=r"longer than 0\.2 s"):
        AutoConverter(timeout_s=0.2, dcm2niix_program=program).convert(ct, tmp_path / "x.nii", engine="dcm2niix")


def test_a_missing_program_is_named(tmp_path: Path, ct: list[Path]) -> None:
    with pytest.raises(NiftiConversionError, match="reinstall"):
        AutoConverter(dcm2niix_program=str(tmp_path / "absent")).convert(ct, tmp_path / "x.nii", engine="dcm2niix")


def diffusion(folder: Path, *, directions: bool = True) -> list[Path]:
    paths = single_frame(Recipe(columns=12, rows=10, volumes=3, slices=4, modality="MR"), folder)
    for path in paths:
        ds = dcmread(path)
        number = int(ds.TemporalPositionIdentifier)
        ds.DiffusionBValue = 0.0 if number == 1 else 1000.0
        if number > 1 and directions:
            ds.DiffusionGradientOrientation = [0.6, 0.8, 0.0] if number == 2 else [0.0, 0.0, 1.0]
        ds.save_as(path)
    return paths


def test_diffusion_that_dcm2niix_puts_elsewhere_is_native(tmp_path: Path) -> None:
    """Counted slice by slice, a series gets an affine without a third direction from it, and exit code 0."""
    program = fake_dcm2niix(tmp_path, {"": (12, 10, 4, 3)}, spacing=(0.6, 0.8, 5.0))
    files = AutoConverter(dcm2niix_program=program).convert(diffusion(tmp_path), tmp_path / "out" / "x.nii")
    assert files.engine == "native"
    assert "placed the slices" in files.reason


def test_diffusion_that_lacks_slices_gives_its_whole_volumes_when_asked(tmp_path: Path) -> None:
    paths = sorted(diffusion(tmp_path), key=lambda path: int(dcmread(path).InstanceNumber))[:-1]
    with pytest.raises(InvalidSeriesError, match="MISSING_SLICES"):
        AutoConverter().convert(paths, tmp_path / "x.nii")
    files = AutoConverter().convert(paths, tmp_path / "out" / "x.nii", engine="auto", policy="largest")
    assert (files.engine, files.volumes[0].shape) == ("native", (12, 10, 4, 2))


def test_diffusion_falls_back_to_native_and_says_so(tmp_path: Path) -> None:
    paths = diffusion(tmp_path)
    program = fake_dcm2niix(tmp_path, {}, "exit 3")
    files = AutoConverter(dcm2niix_program=program).convert(paths, tmp_path / "out" / "x.nii")
    assert files.engine == "native"
    assert "exit code 3" in files.reason
    assert files.volumes[0].shape == (12, 10, 4, 3)
    assert [path.name for path in files.sidecars] == ["x.json", "x.bval", "x.bvec"]
    assert files.sidecars[1].read_text() == "0 1000 1000\n"
    # the image's axes run to the left and backwards, as in LPS, and FSL's first component runs the other way
    assert files.sidecars[2].read_text() == "0 -0.6 0\n0 0.8 0\n0 0 1\n"


def test_volumes_of_one_b_value_each_need_no_directions(tmp_path: Path) -> None:
    paths = diffusion(tmp_path, directions=False)
    for path in paths:
        ds = dcmread(path)
        ds.DiffusionBValue = (int(ds.TemporalPositionIdentifier) - 1) * 500.0
        ds.save_as(path)
    files = AutoConverter().convert(paths, tmp_path / "out" / "x.nii", engine="native")
    assert [path.name for path in files.sidecars] == ["x.json", "x.bval"]
    assert files.sidecars[1].read_text() == "0 500 1000\n"


def test_diffusion_without_directions_is_refused_where_dcm2niix_has_none_either(tmp_path: Path) -> None:
    paths = diffusion(tmp_path, directions=False)
    image = read_volume(paths).to_nifti()
    program = fake_dcm2niix(tmp_path, {"": image}, gradients=False)
    with pytest.raises(InvalidSeriesError, match="b-values or gradient directions"):
        AutoConverter(dcm2niix_program=program).convert(paths, tmp_path / "out" / "x.nii")
    assert not list((tmp_path / "out").iterdir())


def test_b_values_and_gradients_are_kept(tmp_path: Path) -> None:
    paths = diffusion(tmp_path)
    program = fake_dcm2niix(tmp_path, {"": read_volume(paths).to_nifti()})
    files = AutoConverter(dcm2niix_program=program).convert(paths, tmp_path / "out" / "x.nii.gz")
    assert files.engine == "dcm2niix"
    assert [path.name for path in files.sidecars] == ["x.json", "x.bval", "x.bvec"]
    assert files.sidecars[1].read_text() == "0 1000 1000"


def test_a_syntax_that_nothing_decodes_is_named(tmp_path: Path, ct: list[Path]) -> None:
    for path in ct:
        ds = dcmread(path)
        ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
        ds.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x08\x00\x00\x00" + b"\1" * 8
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)
    with pytest.raises(UnsupportedTransferSyntaxError, match="MPEG2"):
        AutoConverter().convert(ct, tmp_path / "x.nii")


def test_nothing_of_the_patient_in_any_message(tmp_path: Path) -> None:
    found = get_testdata_file("MR_truncated.dcm", download=False)
    assert isinstance(found, str)
    ds = dcmread(found)
    with pytest.raises(InvalidSeriesError) as caught:
        AutoConverter().convert([Path(found)], tmp_path / "x.nii")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate"):
        assert str(ds.get(keyword, "absent") or "absent") not in str(caught.value)
