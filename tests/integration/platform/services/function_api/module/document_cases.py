"""Reports and derived series through the functions."""

from __future__ import annotations

import base64
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage

import dcm_processor_service as sdk

from .catalogue import case, defect

if TYPE_CHECKING:
    from pydicom import Dataset

    from .catalogue import Bench

PDF = b"%PDF-1.4 a report"
ODD = b"%PDF-1.4 an odd one"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _slices(bench: Bench) -> list[Dataset]:
    datasets = sdk.get_series_dicom(bench.series_id)
    assert datasets
    return list(datasets)


def _born(dataset: Dataset) -> Dataset:
    """A reference whose age follows from birth date and study date alone."""
    reference = deepcopy(dataset)
    if "PatientAge" in reference:
        del reference.PatientAge
    reference.PatientBirthDate = "19790101"
    reference.StudyDate = "20240630"
    return reference


@case
def a_report_is_made(bench: Bench) -> None:
    reference = _slices(bench)[0]
    report = sdk.make_pdf_dicom(reference, _text(PDF + b"!"), "Volumetry")
    assert report.SOPClassUID == EncapsulatedPDFStorage
    assert report.file_meta.MediaStorageSOPInstanceUID == report.SOPInstanceUID
    assert bytes(report.EncapsulatedDocument) == PDF + b"!"
    assert report.SeriesDescription == "Volumetry"
    assert str(report.PatientName) == str(reference.PatientName)
    assert report.StudyInstanceUID == reference.StudyInstanceUID
    assert report.SeriesInstanceUID != reference.SeriesInstanceUID
    assert str(report.SeriesNumber) == f"{reference.SeriesNumber}2000"
    assert (
        str(sdk.make_pdf_dicom(reference, _text(PDF), series_number=77).SeriesNumber) == f"{reference.SeriesNumber}77"
    )


@defect(11)
def an_odd_length_is_recorded(bench: Bench) -> None:
    report = sdk.make_pdf_dicom(_slices(bench)[0], _text(ODD))
    assert len(ODD) % 2 == 1
    assert report.EncapsulatedDocumentLength == len(ODD)
    assert bytes(report.EncapsulatedDocument)[: len(ODD)] == ODD


@defect(12)
def a_reference_needs_no_series_number(bench: Bench) -> None:
    reference = _slices(bench)[0]
    del reference.SeriesNumber
    assert str(sdk.make_pdf_dicom(reference, _text(PDF)).SeriesNumber).isdigit()


@defect(13)
def the_age_of_a_report_follows_from_dates(bench: Bench) -> None:
    assert sdk.make_pdf_dicom(_born(_slices(bench)[0]), _text(PDF)).PatientAge == "045Y"


@defect(13)
def the_age_of_a_series_follows_from_dates(bench: Bench) -> None:
    slices = _slices(bench)
    derived = sdk.make_series_dicom(_born(slices[0]), slices, "Derived")
    assert {dataset.PatientAge for dataset in derived} == {"045Y"}


@defect(14)
def a_name_beyond_latin_1_is_kept(bench: Bench) -> None:
    from io import BytesIO

    from pydicom import dcmread, dcmwrite

    reference = _slices(bench)[0]
    reference.SpecificCharacterSet = "ISO_IR 192"
    reference.PatientName = "Wąsaż^Łukasz"
    written = BytesIO()
    dcmwrite(written, sdk.make_pdf_dicom(reference, _text(PDF)))
    written.seek(0)
    assert str(dcmread(written).PatientName) == "Wąsaż^Łukasz"


@case
def a_series_is_made_of_datasets(bench: Bench) -> None:
    slices = _slices(bench)
    reference = deepcopy(slices[0])
    reference.PatientAge = "045Y"
    before = [(str(dataset.SOPInstanceUID), str(dataset.SeriesNumber)) for dataset in slices]
    derived = sdk.make_series_dicom(reference, slices, "Derived")
    assert all(made is given for made, given in zip(derived, slices, strict=True))
    assert len({str(dataset.SeriesInstanceUID) for dataset in derived}) == 1
    for dataset, (uid, number) in zip(derived, before, strict=True):
        assert dataset.SOPInstanceUID != uid
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.SeriesDescription == "Derived"
        assert str(dataset.SeriesNumber) == f"{reference.SeriesNumber}{number}"


@defect(15)
def a_series_needs_neither_age_nor_birth_date(bench: Bench) -> None:
    slices = _slices(bench)
    reference = deepcopy(slices[0])
    for keyword in ("PatientAge", "PatientBirthDate"):
        if keyword in reference:
            delattr(reference, keyword)
    assert len(sdk.make_series_dicom(reference, slices)) == len(slices)


@defect(16)
def small_decimals_stay_small(bench: Bench) -> None:
    slices = _slices(bench)
    reference = deepcopy(slices[0])
    reference.PatientAge = "045Y"
    slices[0].ImageOrientationPatient = [1, 0, 6.123233995736766e-17, 0, 1, 0]
    slices[0].ImagePositionPatient = [-1.2345678901234567e-05, 100.12345678901234, 0]
    made = sdk.make_series_dicom(reference, slices)[0]
    assert np.allclose([float(value) for value in made.ImageOrientationPatient], [1, 0, 6.123e-17, 0, 1, 0], atol=1e-12)
    assert np.allclose(
        [float(value) for value in made.ImagePositionPatient], [-1.2345679e-05, 100.123456789, 0], atol=1e-8
    )


@defect(17)
def a_secondary_capture_knows_its_sides(bench: Bench) -> None:
    slices = _slices(bench)
    reference = deepcopy(slices[0])
    reference.PatientAge = "045Y"
    for dataset in slices:
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PatientOrientation = ""
    if "PatientOrientation" in reference:
        del reference.PatientOrientation
    made = sdk.make_series_dicom(reference, slices)[0]
    assert list(made.PatientOrientation) == ["L", "P"]
