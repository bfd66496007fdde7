"""What ``glance`` and a DICOMDIR tell about files, and which files a folder has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import SeriesMemory, scan_head, scan_instance
from dcm_processor_service.imaging.headers.folder import (
    DicomFolders,
    dicomdir_files,
    file_attributes,
    glance,
    text_attributes,
)
from dcm_processor_service.imaging.headers.private_tags import GE_COMPLEX_PART, PRIVATE_B_VALUES, SIEMENS_MOSAIC_COUNT
from dcm_processor_service.imaging.headers.values import ScannedElement, ScannedHeader
from dcm_processor_service.imaging.headers.vendor_elements import (
    block_owner,
    private_tags_of,
    vendor_elements,
    vendor_value,
)
from dcm_processor_service.models import LeftOutFile
from dcm_processor_service.testing import synthetic_series
from tests.unit.dicom_network.instances import write_dicomdir

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.headers.values import Header

BY_PYDICOM = "BY_PYDICOM"


def stored(folder: Path, **values: Any) -> Path:
    """Writes a file with these values; if it has a functional group, pydicom must read it."""
    (dataset,) = synthetic_series(slices=1)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword, value in values.items():
        if keyword == BY_PYDICOM:
            dataset.SharedFunctionalGroupsSequence = [Dataset()]
        elif value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    path = folder / f"{generate_uid()}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


OTHERS = {
    "PatientID": "OTHER",
    "IssuerOfPatientID": "OTHER",
    "PatientName": "Other^Name",
    "PatientSex": "O",
    "PatientBirthDate": "19990101",
    "StudyInstanceUID": "1.5",
    "SeriesInstanceUID": "1.5",
    "SpecificCharacterSet": "ISO_IR 144",
}


@pytest.mark.parametrize("others", [{}, {BY_PYDICOM: True}])
def test_a_glance_tells_patients_and_series_apart_and_nothing_else(tmp_path: Path, others: dict[str, Any]) -> None:
    first = glance(stored(tmp_path, **others))
    again = stored(tmp_path, SOPInstanceUID="1.2.3.77", InstanceNumber="9", SeriesDescription="other", **others)
    second = glance(again)
    assert first.belongs_to == second.belongs_to
    assert hash(first.belongs_to) == hash(second.belongs_to)
    assert (second.sop_instance_uid, second.size_bytes) == ("1.2.3.77", again.stat().st_size)
    found = {first.belongs_to}
    for keyword, value in OTHERS.items():
        found.add(glance(stored(tmp_path, **{keyword: value}, **others)).belongs_to)
    assert len(found) == 1 + len(OTHERS)


def test_a_glance_at_a_file_without_uid_finds_none(tmp_path: Path) -> None:
    assert glance(stored(tmp_path, SOPInstanceUID=None)).sop_instance_uid == ""


def test_attributes_are_texts_and_those_without_value_are_left_out(tmp_path: Path) -> None:
    path = stored(tmp_path, ImageType=["A", "B"], StudyDescription="", PatientComments=" c ")
    keywords = ("ImageType", "StudyDescription", "PatientComments", "AccessionNumber", "Rows")
    expected = {"ImageType": "A\\B", "PatientComments": "c", "Rows": str(dcmread(path).Rows)}
    assert file_attributes(path, keywords) == expected
    assert list(file_attributes(path, keywords)) == list(expected)
    assert text_attributes(scan_instance(path).header, ("ImageType", "PatientComments")) == {"ImageType": "A\\B"}
    with pytest.raises(UnreadableFileError, match="FileNotFoundError"):
        file_attributes(tmp_path / "none", keywords)


@pytest.mark.parametrize("lacking", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("others", [{}, {BY_PYDICOM: True}])
def test_an_instance_without_one_of_its_uids_is_left_out(tmp_path: Path, lacking: str, others: dict[str, Any]) -> None:
    (found,) = DicomFolders().read([stored(tmp_path, **{lacking: None}, **others)])
    assert isinstance(found, LeftOutFile)
    assert found.reason.startswith("without a readable StudyInstanceUID")
    assert found.faulty


def test_an_instance_of_no_patient_needs_only_its_own_uid(tmp_path: Path) -> None:
    values = {"SOPClassUID": "1.2.840.10008.5.1.4.39.1", "StudyInstanceUID": None, "SeriesInstanceUID": None}
    read = DicomFolders().read([stored(tmp_path, **values), stored(tmp_path, **values, SOPInstanceUID=None)])
    assert [isinstance(one, LeftOutFile) for one in read] == [False, True]


def test_the_files_of_a_dicomdir_come_in_the_order_of_its_records(tmp_path: Path) -> None:
    names = [("ST1", "IM2"), ("IM0",), ("ST1", "SE1", "IM1")]
    dicomdir = write_dicomdir(tmp_path, *names)
    assert dicomdir_files(dicomdir) == [tmp_path.joinpath(*parts) for parts in names]


def test_a_record_that_is_not_in_use_names_no_file(tmp_path: Path) -> None:
    dicomdir = write_dicomdir(tmp_path, ("IM0",), ("IM1",), ("IM2",))
    dataset = dcmread(dicomdir)
    dataset.DirectoryRecordSequence[1].RecordInUseFlag = 0
    del dataset.DirectoryRecordSequence[3].RecordInUseFlag
    dataset.save_as(dicomdir)
    assert dicomdir_files(dicomdir) == [tmp_path / "IM1", tmp_path / "IM2"]


@pytest.mark.parametrize("name", ["..", ".", "A/B", "/"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_name_that_leads_elsewhere_is_no_file(tmp_path: Path, name: str, place: int) -> None:
    parts = ["XYZ"[: len(name)] if at == place else "BBB" for at in (0, 1)]
    dicomdir = write_dicomdir(tmp_path, ("IM0",), tuple(parts))
    before = "\\".join(parts).encode()
    dicomdir.write_bytes(dicomdir.read_bytes().replace(before, before.replace(parts[place].encode(), name.encode())))
    assert dicomdir_files(dicomdir) == [tmp_path / "IM0", None]


def test_an_empty_directory_lists_nothing(tmp_path: Path) -> None:
    dicomdir = write_dicomdir(tmp_path)
    dataset = dcmread(dicomdir)
    dataset.DirectoryRecordSequence = []
    dataset.save_as(dicomdir)
    assert dicomdir_files(dicomdir) == []


@pytest.mark.parametrize("undefined", [False, True])
def test_a_directory_that_is_cut_off_is_not_read_as_a_shorter_one(tmp_path: Path, *, undefined: bool) -> None:
    dicomdir = write_dicomdir(tmp_path, ("ST1", "IM0"), ("ST1", "IM1"))
    dataset = dcmread(dicomdir)
    dataset["DirectoryRecordSequence"].is_undefined_length = undefined
    for record in dataset.DirectoryRecordSequence:
        record.is_undefined_length_sequence_item = undefined
    dataset.save_as(dicomdir)
    whole = dicomdir.read_bytes()
    begin = whole.index(b"\x04\0\x20\x12SQ")
    end = whole.index(b"\x08\0\x16\0UI", begin)
    for size in (begin, begin + 1, begin + 12, begin + 30, end - 60, end - 9, end - 1):
        dicomdir.write_bytes(whole[:size])
        with pytest.raises(UnreadableFileError, match=r"DICOMDIR is damaged, cut off, or not a DICOMDIR: get it again"):
            dicomdir_files(dicomdir)
    dicomdir.write_bytes(whole)
    assert len(dicomdir_files(dicomdir)) == 2


def test_a_file_that_is_no_directory_is_named(tmp_path: Path) -> None:
    path = stored(tmp_path)
    (tmp_path / "DICOMDIR").write_bytes(b"no DICOM")
    for no_directory in (path, tmp_path / "DICOMDIR"):
        with pytest.raises(UnreadableFileError, match="not a DICOMDIR: get it again"):
            dicomdir_files(no_directory)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_first_bytes_of_a_file_are_enough_if_they_hold_its_header(tmp_path: Path, syntax: str) -> None:
    path = stored(tmp_path)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(path)
    whole, alone = path.read_bytes(), scan_instance(path)
    assert alone.pixels is not None
    found = scan_head(path, whole[: alone.pixels.offset_bytes], len(whole), SeriesMemory())
    assert found is not None
    assert isinstance(found.header, ScannedHeader)
    assert isinstance(alone.header, ScannedHeader)
    assert found.header.elements.keys() == alone.header.elements.keys()
    assert (found.pixels, found.file_size_bytes) == (alone.pixels, len(whole))
    assert found.transfer_syntax_uid == syntax
    for cut in (alone.pixels.offset_bytes - 1, 500, 131, 0):
        assert scan_head(path, whole[:cut], len(whole), SeriesMemory()) is None


def headers(*elements: tuple[int, str, Any, bytes]) -> tuple[Header, Header]:
    """The same private elements in memory and scanned."""
    dataset = Dataset()
    for tag, vr, value, _ in elements:
        dataset.add_new(tag, vr, value)
    return dataset, ScannedHeader({tag: ScannedElement(vr, content) for tag, vr, _, content in elements})


SIEMENS = (0x00190010, "LO", "SIEMENS MR HEADER", b"SIEMENS MR HEADER ")
OTHER = (0x00190010, "LO", "SOMEBODY", b"SOMEBODY")


def moved(element: tuple[int, str, Any, bytes], block: int) -> tuple[int, str, Any, bytes]:
    return (element[0] & 0xFFFFFF00 | block, *element[1:])


def count(block: int, number: int) -> tuple[int, str, Any, bytes]:
    return (0x0019000A | block << 8, "US", number, number.to_bytes(2, "little"))


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ((SIEMENS, count(0x10, 36)), 36),
        ((moved(SIEMENS, 0x11), count(0x11, 36)), 36),
        ((OTHER, moved(SIEMENS, 0x11), count(0x10, 7), count(0x11, 36)), 36),
        ((moved(SIEMENS, 0x12), moved(SIEMENS, 0x15), count(0x15, 36)), 36),
        ((moved(SIEMENS, 0xFF), count(0xFF, 36)), 36),
        ((count(0x10, 36),), 36),  # an archive lost the name of the block
        ((OTHER, count(0x10, 36)), None),  # the block is another's
        ((moved(OTHER, 0x11), count(0x10, 36)), 36),
        ((moved(SIEMENS, 0x11), count(0x10, 36)), None),  # the vendor has a block, and says nothing in it
        ((SIEMENS,), None),
        ((), None),
        (((0x00190010, "LO", "siemens mr header", b"siemens mr header\0"), count(0x10, 5)), 5),
    ],
)
def test_a_private_value_is_that_of_the_vendors_own_block(elements: Any, expected: int | None) -> None:
    for header in headers(*elements):
        assert vendor_value(header, SIEMENS_MOSAIC_COUNT) == expected
        assert vendor_value(header, PRIVATE_B_VALUES[1]) is None
        assert vendor_value(header, GE_COMPLEX_PART) is None


def test_private_tags_are_those_of_one_group_in_order() -> None:
    for header in headers(count(0x11, 2), (0x00430010, "LO", "X", b"X "), SIEMENS, count(0x10, 1)):
        assert private_tags_of(header, 0x0019) == [0x00190010, 0x0019100A, 0x0019110A]
        assert private_tags_of(header, 0x0043) == [0x00430010]
        assert private_tags_of(header, 0x0051) == []
        assert block_owner(header, 0x00190010) == "SIEMENS MR HEADER"
        assert block_owner(header, 0x00190011) == ""


def test_vendor_elements_are_equal_where_their_values_are_one() -> None:
    shared = ScannedElement("US", b"\1\0")
    one = ScannedHeader({0x0019100A: shared, "Rows": ScannedElement("US", b"\1\0")})
    two = ScannedHeader({0x0019100A: shared, "Rows": ScannedElement("US", b"\2\0"), 0x00431039: shared})
    groups = frozenset({0x0019, 0x0065})
    assert vendor_elements(one, groups) == vendor_elements(two, groups)
    assert hash(vendor_elements(one, groups)) == hash(vendor_elements(two, groups))
    assert vendor_elements(one, frozenset({0x0043})) != vendor_elements(two, frozenset({0x0043}))
    assert vendor_elements(ScannedHeader({}), groups) == ()
