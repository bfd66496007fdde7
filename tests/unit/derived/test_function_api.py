"""The 0.0.1 API's three functions: its parameters and return values, without its defects (numbers of platform.md)."""

from __future__ import annotations

import base64
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from dcm_processor_service.derived import make_pdf_dicom, make_series_dicom, nifti_to_dicom
from dcm_processor_service.errors import DerivedObjectError
from tests.unit.derived.sources import assemble, make_headers, stored

PDF = b"%PDF-1.4 odd length"


def encoded(content: bytes = PDF) -> str:
    return base64.b64encode(content).decode()


def image(sop_class: str = SecondaryCaptureImageStorage, **values: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)  # type: ignore[arg-type]  # no file yet
    dataset.SOPClassUID = sop_class
    dataset.SeriesNumber = 7
    dataset.Rows = dataset.Columns = 2
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def reference() -> Dataset:
    return make_headers()[0]


def test_the_true_length_of_an_odd_document_is_recorded(reference: Dataset) -> None:
    made = stored(make_pdf_dicom(reference, encoded()))
    assert made.EncapsulatedDocumentLength == len(PDF) == 19
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == PDF


def test_number_and_description_follow_the_predecessor(reference: Dataset) -> None:
    assert make_pdf_dicom(reference, encoded()).SeriesNumber == 42000
    made = make_pdf_dicom(reference, encoded(), series_description="Spine report", series_number=31)
    assert (made.SeriesNumber, made.SeriesDescription, made.DocumentTitle) == (431, "Spine report", "Spine report")
    reference.SeriesNumber = 123456789
    assert make_pdf_dicom(reference, encoded(), series_number=31).SeriesNumber == 345678931


def test_a_reference_without_series_number_gets_a_default(reference: Dataset) -> None:
    del reference.SeriesNumber
    assert make_pdf_dicom(reference, encoded()).SeriesNumber == 2000


@pytest.mark.parametrize("function", ["pdf", "series"])
def test_an_age_is_counted_when_none_is_stated(reference: Dataset, function: str) -> None:
    reference.PatientBirthDate, reference.StudyDate = "19791231", "20250102"
    made = make_pdf_dicom(reference, encoded()) if function == "pdf" else make_series_dicom(reference, [image()])[0]
    assert made.PatientAge == "045Y"


def test_an_age_in_months_stays_in_months(reference: Dataset) -> None:
    reference.PatientAge = "006M"
    assert make_pdf_dicom(reference, encoded()).PatientAge == "006M"


@pytest.mark.parametrize("name", ["Wałęsa^Łukasz", "Yamada^Tarou=山田^太郎=やまだ^たろう"])
def test_names_of_every_script_survive(reference: Dataset, name: str) -> None:
    reference.PatientName = name
    reference.SpecificCharacterSet = "ISO_IR 192"
    assert stored(make_pdf_dicom(reference, encoded())).PatientName == name
    own = image(ImageComments="zażółć", PatientOrientation=["L", "P"])
    assert stored(make_series_dicom(reference, [own])[0]).ImageComments == "zażółć"
    assert stored(own).PatientName == name


def test_text_of_a_latin_dataset_survives(reference: Dataset) -> None:
    own = image(SOPInstanceUID="1.2.9", SpecificCharacterSet="ISO_IR 100", ImageComments="Schädel", PatientName="a")
    own.OperatorsName = ["Müller^Jörg", "Weiß"]
    own.file_meta.MediaStorageSOPInstanceUID = UID("1.2.9")
    made = stored(make_series_dicom(reference, [stored(own)])[0])
    assert (made.ImageComments, [str(name) for name in made.OperatorsName]) == ("Schädel", ["Müller^Jörg", "Weiß"])


def test_neither_age_nor_birth_date_is_fine(reference: Dataset) -> None:
    assert "PatientAge" not in make_series_dicom(reference, [image()])[0]


def test_small_decimals_keep_their_exponent(reference: Dataset) -> None:
    own = image(ImageOrientationPatient=[1, 6.123233995736766e-17, 0, 0, 1, -1.2345678901234567e-05])
    made = stored(make_series_dicom(reference, [own])[0])
    assert np.allclose(made.ImageOrientationPatient, [1, 6.123233995736766e-17, 0, 0, 1, -1.2345678901234567e-05], 1e-8)
    assert all(len(str(value)) <= 16 for value in made.ImageOrientationPatient)


@pytest.mark.parametrize(
    ("cosines", "letters"),
    [
        ([1, 0, 0, 0, 1, 0], ["L", "P"]),
        ([-1, 0, 0, 0, -1, 0], ["R", "A"]),
        ([0, 1, 0, 0, 0, -1], ["P", "F"]),
        ([1, 0, 0, 0, 0, 1], ["L", "H"]),
    ],
)
def test_orientation_letters_say_where_rows_and_columns_point(
    reference: Dataset, cosines: list[int], letters: list[str]
) -> None:
    own = image(ImageOrientationPatient=cosines, ImagePositionPatient=[0, 0, 0])
    made = make_series_dicom(reference, [own])[0]
    assert list(made.PatientOrientation) == letters
    assert made.FrameOfReferenceUID == reference.FrameOfReferenceUID


def test_without_a_frame_of_reference_the_series_gets_one_of_its_own(reference: Dataset) -> None:
    reference.pop("FrameOfReferenceUID", None)
    place: dict[str, Any] = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 0]}
    made, other = (make_series_dicom(reference, [image(**place), image(**place)]) for _ in range(2))
    uids = {each.FrameOfReferenceUID for each in made}
    assert len(uids) == 1
    assert uids.pop().startswith("2.25.")
    assert made[0].FrameOfReferenceUID != other[0].FrameOfReferenceUID


def test_the_same_datasets_come_back_as_one_new_series(reference: Dataset) -> None:
    given = [image(InstanceNumber=5), image()]
    made = make_series_dicom(reference, given, "Screenshots")
    assert all(one is other for one, other in zip(made, given, strict=True))
    assert len({each.SeriesInstanceUID for each in made}) == 1
    assert len({each.SOPInstanceUID for each in made}) == 2
    assert [each.file_meta.MediaStorageSOPInstanceUID for each in made] == [each.SOPInstanceUID for each in made]
    assert {(int(each.SeriesNumber), each.SeriesDescription) for each in made} == {(47, "Screenshots")}
    assert made[0].StudyInstanceUID == reference.StudyInstanceUID
    assert [int(each.InstanceNumber) for each in made] == [5, 2]


def test_the_affine_decides_where_slices_lie() -> None:
    affine_ras = np.array([[0, 0, -3.0, 10], [0.5, 0, 0, -20], [0, -0.7, 0, 30], [0, 0, 0, 1]])
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    made = nifti_to_dicom(nib.nifti1.Nifti1Image(array, affine_ras), "CT", "Converted")
    again, affine_lps = assemble(made)
    assert np.allclose(made[0].PixelSpacing, [0.7, 0.5])
    assert float(made[0].SliceThickness) == 3.0
    voxel = np.array([1, 2, 3, 1])
    at = np.rint(np.linalg.inv(affine_lps) @ (np.diag([-1, -1, 1, 1]) @ affine_ras @ voxel)).astype(int)
    assert again[tuple(at[:3])] == array[1, 2, 3]


@pytest.mark.parametrize("largest", [58450.0, 1.0, 3e7])
def test_values_come_back_within_one_step(largest: float) -> None:
    array = (np.linspace(-0.3, 1, 60).reshape(3, 4, 5) * largest).astype(np.float32)
    made = nifti_to_dicom(nib.nifti1.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0])), "CT")
    again, _ = assemble(made)
    assert np.abs(again[..., 0] - array).max() <= float(made[0].RescaleSlope) / 2 * 1.001


def test_a_reference_gives_study_and_frame(reference: Dataset) -> None:
    nifti = nib.nifti1.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    made = nifti_to_dicom(nifti, "MR", "Copy", study_instance_uid="9.9.9", ref_dcm=reference)
    first = made[0]
    assert isinstance(made, list)
    assert first.StudyInstanceUID == reference.StudyInstanceUID
    assert first.FrameOfReferenceUID == reference.FrameOfReferenceUID
    assert (first.Modality, first.SOPClassUID, int(first.SeriesNumber)) == ("MR", MRImageStorage, 42001)
    assert first.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_without_a_reference_the_study_is_the_given_or_a_new_one() -> None:
    nifti = nib.nifti1.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    assert nifti_to_dicom(nifti, "CT", study_instance_uid="9.9.9")[0].StudyInstanceUID == "9.9.9"
    assert nifti_to_dicom(nifti, "CT")[0].StudyInstanceUID.startswith("2.25.")
    assert nifti_to_dicom(nifti, "XX", sop_class_uid=CTImageStorage)[0].SOPClassUID == CTImageStorage


@pytest.mark.parametrize(
    ("modality", "sop_class"),
    [
        ("CT", CTImageStorage),
        ("ct", CTImageStorage),
        ("MR", MRImageStorage),
        ("PT", PositronEmissionTomographyImageStorage),
        ("PET", PositronEmissionTomographyImageStorage),
        ("US", SecondaryCaptureImageStorage),
        ("", SecondaryCaptureImageStorage),
    ],
)
def test_the_modality_chooses_the_class(modality: str, sop_class: str) -> None:
    nifti = nib.nifti1.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    for made in nifti_to_dicom(nifti, modality):
        assert (made.SOPClassUID, made.Modality) == (sop_class, modality.upper())


def test_what_cannot_be_made_is_said() -> None:
    nifti = nib.nifti1.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    with pytest.raises(DerivedObjectError, match="not made from NIfTI"):
        nifti_to_dicom(nifti, "SEG", sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4")
    with pytest.raises(DerivedObjectError, match="not a PDF"):
        make_pdf_dicom(Dataset(), encoded(b"hello"))
    with pytest.raises(DerivedObjectError, match="names no study"):
        make_pdf_dicom(Dataset(), encoded())


def test_values_stay_in_the_units_of_a_reference_that_has_some() -> None:
    nifti = nib.nifti1.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    pet = make_headers(SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT", Units="BQML")[0]
    assert nifti_to_dicom(nifti, "PT", "Copy", ref_dcm=pet)[0].Units == "BQML"
    ct = make_headers(RescaleType="HU", RescaleSlope="1", RescaleIntercept="-1024")[0]
    assert nifti_to_dicom(nifti, "CT", "Copy", ref_dcm=ct)[0].get("RescaleType", "HU") == "HU"
