"""Series of the platform, and series of folders, through the functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from bson import ObjectId
from pydicom import Dataset, dcmread

import dcm_processor_service as sdk

from .catalogue import case, defect

if TYPE_CHECKING:
    from .catalogue import Bench


@case
def a_series_is_read_by_id(bench: Bench) -> None:
    datasets = sdk.get_series_dicom(bench.series_id)
    assert datasets is not None
    assert len(datasets) == len(bench.headers["Instances"])
    assert {str(dataset.SeriesInstanceUID) for dataset in datasets} == {bench.headers["SeriesInstanceUID"]}
    assert datasets[0].pixel_array.shape == (16, 16)
    again = sdk.get_series_dicom(ObjectId(bench.series_id))
    assert again is not None
    assert len(again) == len(datasets)


@case
def a_series_is_written_to_a_folder(bench: Bench) -> None:
    paths = sdk.get_series_dicom(bench.series_id, str(bench.folder / "new"))
    assert paths is not None
    assert sorted(paths) == sorted(str(bench.folder / "new" / f"{one}.dcm") for one in bench.headers["Instances"])
    assert all(isinstance(path, str) for path in paths)
    assert {str(dcmread(path).SeriesInstanceUID) for path in paths} == {bench.headers["SeriesInstanceUID"]}


@case
def an_unknown_series_is_none(_bench: Bench) -> None:
    assert sdk.get_series_dicom("0" * 24) is None


@case
def an_unknown_series_has_no_volume(_bench: Bench) -> None:
    try:
        sdk.get_series_nifti("0" * 24)
    except ValueError as error:
        assert "0" * 24 in str(error)  # noqa: PT017  a case runs where there is no pytest
    else:
        raise AssertionError("gave a volume")


@case
def a_series_is_converted_to_a_file(bench: Bench) -> None:
    target = str(bench.folder / "volume.nii.gz")
    filename, json_filename, nothing = sdk.get_series_nifti(bench.series_id, target)
    assert (filename, nothing) == (target, None)
    assert nib.load(target).shape == (16, 16, len(bench.headers["Instances"]))  # type: ignore[attr-defined]  # partly typed
    sidecar = json.loads(Path(str(json_filename)).read_text(encoding="utf-8"))
    assert sidecar["Modality"] == "CT"
    assert sidecar["Slices"] == len(bench.headers["Instances"])


@case
def a_series_is_converted_to_an_array(bench: Bench) -> None:
    _image, header, array = sdk.get_series_nifti(bench.series_id)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert array.shape == (16, 16, len(bench.headers["Instances"]))
    assert isinstance(header, dict)
    assert header["Modality"] == "CT"


@defect(7)
def an_image_in_memory_can_be_used_afterwards(bench: Bench) -> None:
    image, _header, array = sdk.get_series_nifti(bench.series_id)
    assert np.array_equal(np.asarray(image.dataobj, dtype=np.float32), array)


@defect(8)
def a_name_without_gz_gives_a_plain_file(bench: Bench) -> None:
    target = bench.folder / "volume.nii"
    sdk.get_series_nifti(bench.series_id, str(target))
    assert target.read_bytes()[:2] != b"\x1f\x8b"
    assert nib.load(target).shape[:2] == (16, 16)  # type: ignore[attr-defined]  # partly typed


@defect(9)
def the_sidecar_lies_beside_the_image(bench: Bench) -> None:
    folder = bench.folder / "all.nii.files"
    folder.mkdir()
    target = str(folder / "volume.nii.gz")
    _filename, json_filename, _nothing = sdk.get_series_nifti(bench.series_id, target)
    assert Path(str(json_filename)) == folder / "volume.json"
    assert (folder / "volume.json").is_file()


@case
def a_folder_is_converted(bench: Bench) -> None:
    target = bench.folder / "volume.nii.gz"
    assert sdk.dicom_series_to_nifti(bench.params["scan_folder"], str(target)) == bench.params["scan_slices"]
    assert nib.load(target).shape[-1] == bench.params["scan_slices"]  # type: ignore[attr-defined]  # partly typed


@case
def a_folder_without_images_gives_no_volume(bench: Bench) -> None:
    (bench.folder / "empty").mkdir()
    target = bench.folder / "volume.nii.gz"
    assert sdk.dicom_series_to_nifti(str(bench.folder / "empty"), str(target)) == 0
    assert not target.exists()


@defect(30)
def a_jpeg_2000_folder_is_converted(bench: Bench) -> None:
    target = bench.folder / "volume.nii.gz"
    assert sdk.dicom_series_to_nifti(bench.params["jpeg_2000_folder"], str(target)) == bench.params["scan_slices"]
    plain = bench.folder / "plain.nii.gz"
    sdk.dicom_series_to_nifti(bench.params["scan_folder"], str(plain))
    assert np.array_equal(nib.load(target).get_fdata(), nib.load(plain).get_fdata())  # type: ignore[attr-defined]  # partly


def _header() -> Dataset:
    dataset = Dataset()
    dataset.PatientID = "OWN-ID"
    dataset.PatientName = "Name^Given"
    dataset.PatientAge = "045Y"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    return dataset


@case
def a_header_is_simplified(_bench: Bench) -> None:
    simple = sdk.get_simplified_json(_header(), 12)
    assert simple["PatientName"] == "Name^Given"
    assert simple["PatientAge"] == 45
    assert simple["ImageType"] == ["ORIGINAL", "PRIMARY"]
    assert simple["Slices"] == 12
    assert "Slices" not in sdk.get_simplified_json(_header())


@defect(10)
def values_inside_sequences_stay_inside(_bench: Bench) -> None:
    dataset, other = _header(), Dataset()
    other.PatientID = "OTHER-ID"
    dataset.OtherPatientIDsSequence = [other]
    assert sdk.get_simplified_json(dataset)["PatientID"] == "OWN-ID"
