"""What highdicom is given of a source: identity without a patient, made once where headers are equal."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from dcm_processor_service.derived.objects.shells import Shells


def read(number: int, rows: int = 512, syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """A header as a file of it reads."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"2.25.{number}"
    header.StudyInstanceUID, header.SeriesInstanceUID = "2.25.100", "2.25.101"
    header.PatientName, header.PatientID = "Doe^Jane", "P1"
    header.Rows, header.Columns, header.InstanceNumber = rows, 512, number
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    header.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def test_a_shell_says_which_instance_it_is_and_nothing_of_the_patient() -> None:
    shells = Shells()
    for number in (1, 2):
        made = shells.of(read(number))
        assert (made.SOPInstanceUID, made.InstanceNumber) == (f"2.25.{number}", number)
        assert (made.PatientName, made.PatientID) == ("", "")
        assert (made.Rows, made.ImageType[2]) == (512, "AXIAL")


def test_equal_bytes_that_mean_different_numbers_stay_apart() -> None:
    shells = Shells()
    little, big = read(1, rows=0x0201), read(2, rows=0x0102, syntax=ExplicitVRBigEndian)
    assert little.get_item("Rows").value == big.get_item("Rows").value
    assert [shells.of(header).Rows for header in (little, big)] == [0x0201, 0x0102]


@pytest.mark.parametrize("uid", ["", None])
def test_a_header_without_a_study_gets_one_that_highdicom_takes(uid: str | None) -> None:
    header = read(1)
    header.StudyInstanceUID = uid
    assert Shells().of(header).StudyInstanceUID == "2.25.0"


def test_elements_that_are_equal_are_made_once() -> None:
    shells = Shells()
    one, other = (shells.of(read(number)) for number in (1, 2))
    assert one["StudyInstanceUID"] is other["StudyInstanceUID"]
    assert one["SOPInstanceUID"] is not other["SOPInstanceUID"]
