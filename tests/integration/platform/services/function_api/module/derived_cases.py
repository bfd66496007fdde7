"""Images out of arrays through the functions: every voxel must lie where the affine says, with its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

import dcm_processor_service as sdk

from .catalogue import case, defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from .catalogue import Bench

SHAPE = (5, 6, 4)
PIR_1_1_2 = np.array([[0, 0, 2, -3], [-1, 0, 0, 7], [0, -1, 0, 11], [0, 0, 0, 1]], dtype=float)
"""The one image that the 0.0.1 API places right."""
OBLIQUE = np.array([[-0.8, 0.1, 0.3, 40], [0.05, -0.9, 0.6, 12], [0.1, 0.2, 2.4, -33], [0, 0, 0, 1]], dtype=float)


def _image(values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> nib.nifti1.Nifti1Image:
    return nib.nifti1.Nifti1Image(values.astype(np.float32), affine)


def _square(affine: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same image plane with perpendicular axes, as DICOM wants them."""
    rotation, _rest = np.linalg.qr(affine[:3, :3])
    rotation *= np.sign(np.diag(rotation.T @ affine[:3, :3]))
    square: np.ndarray[Any, Any] = affine.copy()
    square[:3, :3] = rotation @ np.diag([0.8, 0.9, 2.5])
    return square


def _worst_error(datasets: Sequence[Dataset], values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> float:
    """Largest difference of a pixel from the voxel at its place; a pixel outside of the image is an error."""
    assert sum(dataset.Rows * dataset.Columns for dataset in datasets) == values.size
    to_voxel = np.linalg.inv(affine) @ np.diag([-1, -1, 1, 1])  # from LPS
    worst = 0.0
    for dataset in datasets:
        position, directions = (
            np.asarray(dataset.ImagePositionPatient, float),
            np.asarray(dataset.ImageOrientationPatient, float),
        )
        row_spacing, column_spacing = (float(one) for one in dataset.PixelSpacing)
        pixels = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        for (row, column), value in np.ndenumerate(pixels):
            place = position + directions[:3] * column_spacing * column + directions[3:] * row_spacing * row
            voxel = (to_voxel @ [*place, 1])[:3]
            index = tuple(int(one) for one in np.rint(voxel))
            assert np.allclose(voxel, index, atol=0.01), f"pixel {row}, {column} lies between voxels: {voxel}"
            assert all(0 <= one < size for one, size in zip(index, values.shape, strict=True)), f"outside: {index}"
            worst = max(worst, abs(float(value) - float(values[index])))
    return worst


def _numbers() -> np.ndarray[Any, Any]:
    return np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE) - 30


@case
def the_image_that_always_worked_is_placed_right(_bench: Bench) -> None:
    made = sdk.nifti_to_dicom(_image(_numbers(), PIR_1_1_2), "CT", study_instance_uid="1.2.3")
    assert _worst_error(made, _numbers(), PIR_1_1_2) == 0
    assert {str(dataset.StudyInstanceUID) for dataset in made} == {"1.2.3"}
    assert len({str(dataset.SeriesInstanceUID) for dataset in made}) == 1
    assert {str(dataset.file_meta.TransferSyntaxUID) for dataset in made} == {"1.2.840.10008.1.2.1"}


@case
def a_reference_gives_patient_and_study(bench: Bench) -> None:
    references = sdk.get_series_dicom(bench.series_id)
    assert references
    reference = references[0]
    reference.PatientAge = "045Y"
    made = sdk.nifti_to_dicom(_image(_numbers(), PIR_1_1_2), "CT", "Derived", ref_dcm=reference)
    assert {str(dataset.StudyInstanceUID) for dataset in made} == {str(reference.StudyInstanceUID)}
    assert {str(dataset.PatientID) for dataset in made} == {str(reference.PatientID)}
    assert {str(dataset.SeriesDescription) for dataset in made} == {"Derived"}
    assert {str(dataset.Modality) for dataset in made} == {"CT"}


@defect(18)
def an_oblique_image_is_placed_right(_bench: Bench) -> None:
    affine = _square(OBLIQUE)
    made = sdk.nifti_to_dicom(_image(_numbers(), affine), "CT", study_instance_uid="1.2.3")
    assert _worst_error(made, _numbers(), affine) == 0


@defect(18)
def an_ordinary_axial_image_is_placed_right(_bench: Bench) -> None:
    affine = np.diag([0.7, 0.7, 5.0, 1.0])
    affine[:3, 3] = [-100, -120, 40]
    made = sdk.nifti_to_dicom(_image(_numbers(), affine), "CT", study_instance_uid="1.2.3")
    assert _worst_error(made, _numbers(), affine) == 0


@defect(19)
def values_beyond_16_bits_are_rescaled(_bench: Bench) -> None:
    values = np.linspace(-1000, 58450, int(np.prod(SHAPE))).reshape(SHAPE)
    made = sdk.nifti_to_dicom(_image(values, PIR_1_1_2), "CT", study_instance_uid="1.2.3")
    assert _worst_error(made, values, PIR_1_1_2) <= float(made[0].RescaleSlope)
    assert float(made[0].RescaleSlope) < 2


@defect(20)
def fractions_are_rescaled(_bench: Bench) -> None:
    values = np.linspace(0, 1, int(np.prod(SHAPE))).reshape(SHAPE)
    made = sdk.nifti_to_dicom(_image(values, PIR_1_1_2), "CT", study_instance_uid="1.2.3")
    assert _worst_error(made, values, PIR_1_1_2) < 0.001
