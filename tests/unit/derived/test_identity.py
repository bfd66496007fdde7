"""Whose object it is: ages, names, character sets, groups, time."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.derived.attributes.identity import age_string, copy_attributes, write_identity
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models.derived import StudyIdentity
from tests.unit.derived.sources import make_headers, stored


@pytest.mark.parametrize(
    ("stated", "born", "studied", "age"),
    [
        ("045Y", "", "", "045Y"),
        ("45Y", "", "", "045Y"),
        ("6M", "", "", "006M"),
        ("7", "", "", "007Y"),
        ("", "19800229", "20250228", "044Y"),
        ("", "19800229", "20250301", "045Y"),
        ("", "20240115", "20250114", "011M"),
        ("", "20241220", "20250102", "013D"),
        ("", "", "", ""),
        ("", "20250103", "20250102", ""),
        ("", "", "20250102", ""),
        ("about 40", "19800101", "20250102", "045Y"),
    ],
)
def test_ages(stated: str, born: str, studied: str, age: str) -> None:
    header = Dataset()
    header.PatientBirthDate, header.StudyDate = born, studied
    header.add_new("PatientAge", "LO", stated)  # as another VR, so that pydicom lets malformed ages in
    assert age_string(header) == age


def test_text_of_a_latin_source_is_utf_8_afterwards() -> None:
    header = make_headers()[0]
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName, header.StudyDescription = "Müller^Jörg", "Schädel"
    header.file_meta = _meta()
    read = stored(header)
    target = Dataset()
    write_identity(target, SourceSeries((read,)))
    target.SpecificCharacterSet = "ISO_IR 192"
    target.SOPClassUID, target.SOPInstanceUID, target.file_meta = header.SOPClassUID, "1.2", _meta()
    again = stored(target)
    assert (str(again.PatientName), again.StudyDescription) == ("Müller^Jörg", "Schädel")
    assert again.get_item("PatientName") is not None


def _meta() -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def test_private_elements_of_sequences_stay_behind() -> None:
    header, target, item = Dataset(), Dataset(), Dataset()
    item.PatientID = "other"
    item.SpecificCharacterSet = "ISO_IR 100"
    item.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "secret")
    header.OtherPatientIDsSequence = [item]
    copy_attributes(header, target, ["OtherPatientIDsSequence"])
    (copied,) = target.OtherPatientIDsSequence
    assert [element.keyword for element in copied] == ["PatientID"]
    assert copied is not item


def test_malformed_values_of_the_source_stay_behind_but_not_its_keys() -> None:
    header = make_headers()[0]
    for keyword, vr, value in (
        ("StudyDate", "DA", b"2025-1-2"), ("PatientSex", "CS", b"female"), ("PatientWeight", "DS", b"heavy"),
        ("StudyID", "SH", b"seventeen letters"), ("StudyDescription", "LO", b"fine"),
    ):  # fmt: skip
        tag = Tag(keyword)
        header[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
    target = Dataset()
    write_identity(target, SourceSeries((header,)))
    assert (target.StudyDate, target.PatientSex) == (None, None)
    assert "PatientWeight" not in target
    assert (target.StudyID, target.StudyDescription) == ("seventeen letters", "fine")


def test_type_2_attributes_are_there_even_when_the_source_lacks_them() -> None:
    target = Dataset()
    write_identity(target, StudyIdentity(patient_id="P-1", study_instance_uid="1.2.3"))
    for keyword in ("PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber", "ReferringPhysicianName"):
        assert keyword in target
        assert not target[keyword].value


def test_an_object_belongs_to_a_study() -> None:
    with pytest.raises(DerivedObjectError, match="names no study"):
        write_identity(Dataset(), StudyIdentity(patient_id="P-1", study_instance_uid=""))


def source_with(character_set: str, keyword: str, content: bytes, *, nested: bool = False) -> SourceSeries:
    """A source as it is read from a file whose text is not, or is, in the character set that it declares."""
    header, item = make_headers()[0], Dataset()
    header.SpecificCharacterSet = character_set
    header.file_meta = _meta()
    setattr(item if nested else header, keyword, "Q" * len(content))
    if nested:
        header.OtherPatientIDsSequence = [item]
    file = BytesIO()
    header.save_as(file, enforce_file_format=True)
    return SourceSeries((dcmread(BytesIO(file.getvalue().replace(b"Q" * len(content), content))),))


@pytest.mark.filterwarnings("ignore:Failed to decode")
@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID", "StudyID", "AccessionNumber"])
@pytest.mark.parametrize(
    ("character_set", "content"),
    [("ISO_IR 192", "J\u00f6rg 7 ".encode("latin-1")), ("ISO_IR 13", b"\xfe\xfe17"), ("ISO_IR 166", b"\xfc\xfd17")],
)
def test_what_archives_file_by_is_never_written_as_other_text(character_set: str, content: bytes, keyword: str) -> None:
    target = Dataset()
    with pytest.raises(DerivedObjectError, match=f"^{keyword} of the source cannot be read") as caught:
        write_identity(target, source_with(character_set, keyword, content))
    assert "7" not in str(caught.value).split("SpecificCharacterSet")[0]
    assert "\ufffd" not in str(target)


@pytest.mark.parametrize(
    ("character_set", "content", "written"),
    [
        ("ISO_IR 192", "J\u00f6rg 7 ".encode(), "J\u00f6rg 7"),
        ("ISO_IR 100", "J\u00f6rg 7".encode("latin-1"), "J\u00f6rg 7"),
        ("ISO_IR 192", b"P 7", "P 7"),
    ],
)
def test_what_archives_file_by_is_kept_where_it_can_be_read(character_set: str, content: bytes, written: str) -> None:
    target = Dataset()
    write_identity(target, source_with(character_set, "PatientID", content))
    assert target.PatientID.strip() == written


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_another_id_that_cannot_be_read_is_left_empty() -> None:
    target = Dataset()
    write_identity(target, source_with("ISO_IR 192", "PatientID", b"J\xf6rg 7", nested=True))
    assert not target.OtherPatientIDsSequence[0].PatientID
