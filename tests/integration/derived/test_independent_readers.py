"""Round trips through readers that are not this room's: dcm2niix, and the package's own volumes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom import dcmread

from dcm_processor_service.derived import ImageOptions, SourceSeries, StudyIdentity, derive_image, nifti_to_dicom, save
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.desk import examples
from tests.shared_data import shared_folder
from tests.unit.derived.sources import make_recipe
from tests.unit.derived.volumes import ORIENTATIONS, affines, same_place, turned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.derived.objects.image import DerivedImage
    from dcm_processor_service.models.derived import ImageKind

WHO = StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4) - 7
SCANS = ("dcm_qa_nih/In/20180918GE/mr_0004", "dcm_qa_enh/In/Siemens/XA10", "dcm_qa_agfa/Agfa")
OBLIQUE = np.array([[0.68, -0.31, 0.55, -120.5], [0.42, 0.95, 0.05, 33.25], [-0.55, 0.18, 2.95, -710.0], [0, 0, 0, 1]])


def made_perpendicular(affine: NDArray[np.float64], spacing: Sequence[float]) -> NDArray[np.float64]:
    axes, _ = np.linalg.qr(affine[:3, :3])
    fixed: NDArray[np.float64] = affine.copy()
    fixed[:3, :3] = axes * np.sign(np.sum(axes * affine[:3, :3], axis=0)) * spacing
    return fixed


def through_dcm2niix(made: Sequence[Any], folder: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """What dcm2niix makes of the files: voxels, and the affine in LPS."""
    save(made, folder / "in")
    (folder / "out").mkdir()
    command = [str(dcm2niix.bin), "-z", "n", "-b", "n", "-f", "out", "-o", str(folder / "out"), str(folder / "in")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    written = sorted((folder / "out").glob("*.nii"))
    assert len(written) == 1, run.stdout
    image = nib.nifti1.load(written[0])
    return np.asanyarray(image.dataobj), LPS_TO_RAS @ np.asarray(image.affine)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_dcm2niix_finds_every_voxel_in_every_orientation(
    order: tuple[int, ...], signs: tuple[int, ...], tmp_path: Path
) -> None:
    array, affine = turned(PLAIN, np.diag([0.75, 1.5, 3.0, 1.0]), order, signs)
    nifti = nib.nifti1.Nifti1Image(array, LPS_TO_RAS @ affine)
    again, again_affine = through_dcm2niix(nifti_to_dicom(nifti, "CT", "Turned"), tmp_path)
    assert same_place(array, affine, again, again_affine) < 1e-4


@pytest.mark.parametrize("kind", ["ct", "mr", "pt", "sc"])
@pytest.mark.parametrize("volumes", [1, 3])
def test_dcm2niix_reads_every_class_oblique(kind: ImageKind, volumes: int, tmp_path: Path) -> None:
    affine = made_perpendicular(OBLIQUE, (0.9, 1.1, 3.0))
    array = np.arange(120 * volumes, dtype=np.int16).reshape(6, 5, 4, volumes)
    made = derive_image(array, WHO, make_recipe(), affine, ImageOptions(kind=kind))
    again, again_affine = through_dcm2niix(made.datasets, tmp_path)
    assert same_place(array, affine, again, again_affine) < 1e-4


@pytest.mark.parametrize("kind", ["ct", "mr", "pt", "sc"])
def test_dcm2niix_reads_fractions_within_the_bound(kind: ImageKind, tmp_path: Path) -> None:
    array = np.random.default_rng(3).random((6, 5, 4)) * 3 - 1
    made = derive_image(array, WHO, make_recipe(), np.diag([1.0, 1.0, 2.0, 1.0]), ImageOptions(kind=kind))
    again, affine = through_dcm2niix(made.datasets, tmp_path)
    to_again = np.rint(np.linalg.inv(affine) @ np.diag([1.0, 1.0, 2.0, 1.0])).astype(int)
    indices = np.indices(array.shape).reshape(3, -1)
    found = (to_again @ np.vstack([indices, np.ones(indices.shape[1], int)]))[:3]
    assert np.abs(again[tuple(found)] - array[tuple(indices)]).max() <= made.mapping.error_bound * 1.001


@pytest.mark.parametrize("volumes", [1, 2])
def test_multi_frame_is_a_volume_again(volumes: int, tmp_path: Path) -> None:
    affine = made_perpendicular(OBLIQUE, (0.9, 1.1, 3.0))
    array = np.arange(120 * volumes, dtype=np.uint16).reshape(6, 5, 4, volumes)
    made = derive_image(array, WHO, make_recipe(), affine, ImageOptions(kind="sc", multi_frame=True))
    volume = read_volume(save(made.datasets, tmp_path))
    assert same_place(array, affine, volume.array, volume.affine_lps) < 1e-4


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    array=hnp.arrays(st.sampled_from([np.int16, np.uint16]), st.sampled_from([(4, 3, 5), (3, 4, 4, 2)])),
    affine=affines(),
    orientation=st.sampled_from(ORIENTATIONS),
)
def test_volumes_and_dicom_are_each_others_inverse(
    array: NDArray[Any], affine: NDArray[np.float64], orientation: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array, affine = turned(array, affine, *orientation)
    first = derive_image(array, WHO, make_recipe(), affine, ImageOptions(kind="mr"))
    volume = read_volume(save(first.datasets, tmp_path_factory.mktemp("first")))
    assert same_place(array, affine, volume.array, volume.affine_lps) < 1e-4
    again = derived_again(first.datasets, volume.array, volume.affine_lps)
    assert again.on_source_grid
    last = read_volume(save(again.datasets, tmp_path_factory.mktemp("last")))
    assert np.array_equal(last.array, volume.array)
    assert np.abs(last.affine_lps - volume.affine_lps).max() < 1e-4
    assert last.frame_of_reference_uid == volume.frame_of_reference_uid


def derived_again(headers: Sequence[Any], array: NDArray[Any], affine: NDArray[np.float64]) -> DerivedImage:
    return derive_image(array, SourceSeries.from_headers(headers), make_recipe("again"), affine)


@pytest.mark.parametrize("folder", SCANS)
def test_real_scans_come_back_voxel_by_voxel(folder: str, tmp_path: Path) -> None:
    files = sorted(path for path in (shared_folder("data") / folder).iterdir() if path.suffix in {".dcm", ".img"})
    volume = read_volume(files)
    made = derived_again([dcmread(path, stop_before_pixels=True) for path in files], volume.array, volume.affine_lps)
    assert made.on_source_grid
    assert made.mapping.is_exact
    again = read_volume(save(made.datasets, tmp_path))
    assert np.array_equal(again.array, volume.array)
    assert np.abs(again.affine_lps - volume.affine_lps).max() < 1e-4
    assert again.frame_of_reference_uid == volume.frame_of_reference_uid
    assert again.series_instance_uid != volume.series_instance_uid
