"""Real scans compared with known results: identical voxels and equal affines, or the right refusal."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 its own documentation's name for it

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.headers.fast_scan import scan_instance
from dcm_processor_service.imaging.headers.instance_file import read_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.nifti.verification import verify_series
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.models import SeriesKind
from dcm_processor_service.models.images.limits import Limits
from tests.shared_data import shared_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

NIH = "dcm_qa_nih/In/20180918GE/mr_000"
MOSAIC = "dcm_qa_nih/In/20180918Si/mr_000"


def files(folder: str, unpack_to: Path) -> list[Path]:
    """The DICOM files of a folder; gzipped ones are unpacked."""
    found = []
    for path in sorted((shared_folder("data") / folder).iterdir()):
        if path.suffix == ".gz":
            plain = unpack_to / path.stem
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            found.append(plain)
        elif path.suffix in {".dcm", ".img", ""} and path.is_file() and path.name != "LICENSE":
            found.append(path)
    return found


def same(image: nib.nifti1.Nifti1Image, reference: Path, relative: float = 0.0) -> None:
    known = nib.funcs.as_closest_canonical(nib.nifti1.Nifti1Image.from_filename(shared_folder("data") / reference))
    own = nib.funcs.as_closest_canonical(image)
    assert own.shape == known.shape
    np.testing.assert_allclose(own.affine, known.affine, atol=1e-3)
    np.testing.assert_allclose(own.get_fdata(), known.get_fdata(), rtol=relative, atol=relative * 1000)


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_ge_epi_through_the_native_engine(tmp_path: Path, number: int) -> None:
    paths = files(f"{NIH}{number}", tmp_path)
    result = AutoConverter().convert(paths, tmp_path / "x.nii.gz")
    assert (result.engine, result.volumes[0].shape) == ("native", (64, 64, 15, 10))
    image = nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii.gz")
    same(image, Path(f"dcm_qa_nih/Ref/DCM2NIIX_regression_test_{number}.nii"))
    assert image.get_data_dtype() == np.int16


@pytest.mark.parametrize("name", ["AP_3", "PA_4", "RL_5", "LR_6"])
@pytest.mark.parametrize("engine", ["auto", "dicom2nifti"])
def test_siemens_mosaics(tmp_path: Path, name: str, engine: Any) -> None:
    paths = files(f"{MOSAIC}{name[-1]}", tmp_path)
    assert inspect_series(paths).kind is SeriesKind.MOSAIC
    result = AutoConverter().convert(paths, tmp_path / "x.nii", engine=engine)
    assert result.engine == ("dcm2niix" if engine == "auto" else engine)
    same(nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii"), Path(f"dcm_qa_nih/Ref/EPI_PE={name}.nii"))
    [volume] = read_volumes(paths)
    assert volume.shape == (72, 72, 5, 2)
    assert len(volume.sources) == 2
    same(volume.to_nifti(), Path(f"dcm_qa_nih/Ref/EPI_PE={name}.nii"))


@pytest.mark.parametrize(
    ("name", "number"), [("12bitSigned_0x0F0F", 4), ("12bitUnsigned", 2), ("12bitUnsigned_0x0F0F", 3)]
)
def test_twelve_bits_with_overlays_in_the_rest(tmp_path: Path, name: str, number: int) -> None:
    AutoConverter().convert([shared_folder("data") / f"dcm_qa_12bit/In/{name}.dcm"], tmp_path / "x.nii.gz")
    same(nib.nifti1.Nifti1Image.from_filename(tmp_path / "x.nii.gz"), Path(f"dcm_qa_12bit/Ref/{number}.nii"))


def test_siemens_enhanced(tmp_path: Path) -> None:
    paths = files("dcm_qa_enh/In/Siemens/XA10", tmp_path)
    [volume] = read_volumes(paths)
    same(volume.to_nifti(), Path("dcm_qa_enh/Ref/Siemens_REST1_w_SMS_PF7-8_6.nii"))
    assert len({source.sop_instance_uid for line in volume.sources for source in line}) == 4


def test_philips_enhanced_holds_two_kinds_of_image(tmp_path: Path) -> None:
    paths = files("dcm_qa_enh/In/Philips", tmp_path)
    with pytest.raises(InvalidSeriesError, match="MULTI_VOLUME"):
        read_volumes(paths)
    field_map, magnitude = read_volumes(paths, "split")
    # the reference's scaling factors are float32, with rounding errors
    same(magnitude.to_nifti(), Path("dcm_qa_enh/Ref/Philips_WIP_B0_NS_801_e1.nii"), relative=1e-6)
    same(field_map.to_nifti(), Path("dcm_qa_enh/Ref/Philips_WIP_B0_NS_801_e2_fieldmaphz.nii"), relative=1e-5)
    result = AutoConverter().convert(paths, tmp_path / "x.nii", engine="dcm2niix", policy="split")
    same(nib.nifti1.Nifti1Image.from_filename(result.paths[0]), Path("dcm_qa_enh/Ref/Philips_WIP_B0_NS_801_e1.nii"))


def test_one_scan_through_two_archives_is_one_volume(tmp_path: Path) -> None:
    for folder in ("Agfa", "Siemens"):
        (tmp_path / folder).mkdir()
    [agfa] = read_volumes(files("dcm_qa_agfa/Agfa", tmp_path / "Agfa"))
    [siemens] = read_volumes(files("dcm_qa_agfa/Siemens", tmp_path / "Siemens"))
    assert agfa.shape == (64, 64, 25, 4)
    np.testing.assert_array_equal(agfa.array, siemens.array)
    np.testing.assert_array_equal(agfa.affine_lps, siemens.affine_lps)


def test_a_ct_with_variable_steps_and_tilt_gets_no_uniform_affine(tmp_path: Path) -> None:
    paths = files("dcm_qa_ct/In/GE", tmp_path)
    report = inspect_series(paths)
    assert {"MIXED_SPACING", "GANTRY_TILT"} <= report.codes
    assert report.parts[0].tilt_deg == pytest.approx(18.5, abs=0.1)
    for engine in ("auto", "native", "dcm2niix", "dicom2nifti"):
        with pytest.raises(InvalidSeriesError, match="MIXED_SPACING"):
            AutoConverter().convert(paths, tmp_path / "x.nii", engine=engine)
    runs = read_volumes(paths, "split")
    assert [run.shape[2] for run in runs] == [14, 14]
    [upright] = read_volumes(paths, "resample")
    assert not upright.is_sheared


def test_philips_diffusion_comes_with_its_gradients(tmp_path: Path) -> None:
    paths = [path for path in files("dcm_qa_philips_dwi/In/cl/DICOM", tmp_path) if frames_of(scan_instance(path))]
    result = AutoConverter().convert(paths, tmp_path / "out" / "x.nii.gz")
    assert result.engine == "dcm2niix"
    assert result.volumes[0].shape == (112, 112, 32, 17)
    reference = shared_folder("data") / "dcm_qa_philips_dwi/Ref/701_DTI_Biobank_2mm_MB3S2_EPI_cl.bval"
    known = reference.read_text().split()
    assert sorted((tmp_path / "out" / "x.bval").read_text().split()) == sorted(known)
    [native] = read_volumes(paths)
    by_reference = nib.funcs.as_closest_canonical(nib.nifti1.Nifti1Image.from_filename(tmp_path / "out" / "x.nii.gz"))
    np.testing.assert_allclose(nib.funcs.as_closest_canonical(native.to_nifti()).affine, by_reference.affine, atol=1e-3)
    AutoConverter().convert(paths, tmp_path / "native" / "x.nii", engine="native")
    own, known_directions = directions_ras(tmp_path / "native" / "x.nii"), directions_ras(tmp_path / "out" / "x.nii.gz")
    weights = np.loadtxt(tmp_path / "native" / "x.bval")
    np.testing.assert_allclose(weights, np.loadtxt(tmp_path / "out" / "x.bval"), atol=1e-3)
    np.testing.assert_allclose(own[:, weights > 1], known_directions[:, weights > 1], atol=1e-3)


def directions_ras(image: Path) -> NDArray[np.float64]:
    """Returns gradient directions in the patient, shape (3, volumes), from the FSL table beside an image."""
    affine = np.asarray(nib.nifti1.Nifti1Image.from_filename(image).affine)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = np.loadtxt(image.with_name("x.bvec"))
    along[0] *= -1 if np.linalg.det(axes) > 0 else 1
    in_patient: NDArray[np.float64] = axes @ along
    return in_patient


@pytest.mark.parametrize("folder", [f"{NIH}4", f"{NIH}7", f"{MOSAIC}3", f"{MOSAIC}6", "dcm_qa_enh/In/Siemens/XA10"])
def test_two_readings_agree_on_every_voxel(tmp_path: Path, folder: str) -> None:
    paths = files(folder, tmp_path)
    verify_series(paths, "strict", Limits(), tmp_path)


def test_the_quick_scan_finds_what_pydicom_finds(tmp_path: Path) -> None:
    """Each file leads to the same record, whether it was scanned or read as a whole."""
    folders = [f"{NIH}4", f"{MOSAIC}3", "dcm_qa_ct/In/GE", "dcm_qa_philips_dwi/In/cl/DICOM", "dcm_qa_12bit/In"]
    scanned = 0
    for folder in folders:
        for path in files(folder, tmp_path)[:40]:
            quick, whole = scan_instance(path), read_instance(path)
            scanned += isinstance(quick.header, ScannedHeader)
            assert quick.pixels == whole.pixels
            assert quick.transfer_syntax_uid == whole.transfer_syntax_uid
            assert quick.sop_instance_uid == whole.sop_instance_uid
            for one, other in zip(frames_of(quick), frames_of(whole), strict=True):
                assert (one.orientation, one.position, one.pixel_spacing) == (
                    other.orientation,
                    other.position,
                    other.pixel_spacing,
                )
                assert (one.slope, one.intercept, one.pixel_format) == (
                    other.slope,
                    other.intercept,
                    other.pixel_format,
                )
    assert scanned > 100


@pytest.mark.parametrize("number", [4, 6])
def test_simpleitk_reads_the_same_from_the_files(tmp_path: Path, number: int) -> None:
    paths = files(f"{NIH}{number}", tmp_path)
    [volume] = read_volumes(paths)
    by_uid = {scan_instance(path).sop_instance_uid: str(path) for path in paths}
    for t in (0, 9):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([by_uid[volume.source(k, t).sop_instance_uid] for k in range(volume.shape[2])])
        theirs, ours = reader.Execute(), volume.to_sitk()[:, :, :, t]
        np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
        np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6)
        np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), atol=1e-6)
        np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-6)


def test_simpleitk_reads_the_same_from_an_enhanced_object(tmp_path: Path) -> None:
    paths = files("dcm_qa_agfa/Siemens", tmp_path)
    [volume] = read_volumes(paths)
    by_uid = {scan_instance(path).sop_instance_uid: str(path) for path in paths}
    for t in range(volume.shape[3]):
        theirs, ours = sitk.ReadImage(by_uid[volume.source(0, t).sop_instance_uid]), volume.to_sitk()[:, :, :, t]
        np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
        np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-6)
        np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), atol=1e-6)
