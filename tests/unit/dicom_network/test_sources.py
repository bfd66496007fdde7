from __future__ import annotations

import shutil
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dcm_processor_service.dicom_network.sources import (
    Outgoing,
    Unreadable,
    UnreadableInstanceError,
    survey,
)
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.folder import dicomdir_files
from dcm_processor_service.models import LeftOutFile
from tests.unit.dicom_network.instances import make_ct, write_dicomdir, write_series

if TYPE_CHECKING:
    from collections.abc import Iterator


def data_file(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def read_all(instance: Outgoing, syntax: str = "") -> bytes:
    with instance.open_file(syntax or instance.transfer_syntax_uid) as file:
        return b"".join(instance.read(file, 1000))


def only(items: object) -> Outgoing:
    (found,) = survey(items)  # type: ignore[arg-type]  # each test gives what it may
    assert isinstance(found, Outgoing)
    return found


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "rtplan.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"]
)
def test_a_file_is_read_up_to_its_uids_and_sent_as_it_lies(name: str) -> None:
    path = data_file(name)
    dataset = dcmread(path)
    instance = only(path)
    assert instance.sop_class_uid == dataset.SOPClassUID
    assert instance.sop_instance_uid == dataset.SOPInstanceUID
    assert instance.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID
    sent = read_all(instance)
    whole = path.read_bytes()
    own = whole[144 + dataset.file_meta.FileMetaInformationGroupLength :]
    assert sent == own + b"\0" * (len(own) % 2)


@pytest.mark.parametrize("name", ["ExplVR_LitEndNoMeta.dcm", "ExplVR_BigEndNoMeta.dcm", "rtstruct.dcm"])
def test_a_file_without_meta_information_goes_out_as_it_lies_and_as_a_file_that_has_some(name: str) -> None:
    path = data_file(name)
    instance = only(path)
    assert read_all(instance) == path.read_bytes()
    with instance.open_file(instance.transfer_syntax_uid) as file:
        content = file.read()
    whole = dcmread(BytesIO(content))  # what STOW-RS sends
    assert whole.file_meta.FileMetaInformationVersion == b"\0\1"
    assert content[144 + whole.file_meta.FileMetaInformationGroupLength :] == path.read_bytes()
    assert whole.file_meta.TransferSyntaxUID == instance.transfer_syntax_uid
    assert whole.file_meta.MediaStorageSOPInstanceUID == whole.SOPInstanceUID == instance.sop_instance_uid
    assert read_all(instance, str(ImplicitVRLittleEndian))


def test_uids_come_from_the_data_set_not_from_the_stale_copies(tmp_path: Path) -> None:
    dataset = make_ct()
    path = tmp_path / "stale.dcm"
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    uid = str(dataset.SOPInstanceUID).encode()
    path.write_bytes(content.replace(uid, uid[:-1] + b"0", 1))
    assert dcmread(path).file_meta.MediaStorageSOPInstanceUID != dataset.SOPInstanceUID
    assert only(path).sop_instance_uid == dataset.SOPInstanceUID


def test_a_dataset_is_encoded_and_stays_as_it_is() -> None:
    dataset = make_ct()
    before = deepcopy(dataset)
    instance = only(dataset)
    for syntax in (instance.transfer_syntax_uid, str(ImplicitVRLittleEndian), str(JPEG2000Lossless)):
        assert read_all(instance, syntax)
    assert dataset == before
    assert dataset.file_meta == before.file_meta
    assert not hasattr(dataset, "preamble")


def test_a_dataset_from_a_file_goes_out_byte_by_byte() -> None:
    path = data_file("CT_small.dcm")
    assert read_all(only(dcmread(path))) == read_all(only(path))


def test_values_that_pydicom_warns_of_cause_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "wrong.dcm"
    make_ct().save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(b"Modality".ljust(2), b"").replace(b"CS\x02\x00CT", b"CS\x02\x00c?"))
    assert b"c?" in read_all(only(dcmread(path)))


def test_folders_are_walked_by_name_and_other_files_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "b", 2)
    shutil.copy(data_file("MR_small.dcm"), tmp_path / "a.dcm")
    (tmp_path / "b" / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").write_bytes(b"")
    found = list(survey(tmp_path))
    names = [one.source.name for one in found if isinstance(one, Outgoing) and isinstance(one.source, Path)]
    assert names == ["a.dcm", "0000.dcm", "0001.dcm"]
    left_out = [(Path(one.path).name, one.reason) for one in found if isinstance(one, LeftOutFile)]
    assert left_out == [("notes.txt", "not readable as DICOM"), ("empty", "empty")]


def test_a_folder_without_dicom_is_an_error_that_does_not_name_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidSeriesError, match="item 1 holds no DICOM file") as caught:
        list(survey([tmp_path]))
    assert str(tmp_path) not in str(caught.value)


def test_an_item_that_cannot_be_sent_is_reported_without_its_file_name(tmp_path: Path) -> None:
    text = tmp_path / "Mueller^Anna.txt"
    text.write_text("no DICOM")
    broken = tmp_path / "Mueller^Anna.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM")
    found = list(survey([text, tmp_path / "absent", broken, Dataset()]))
    assert all(isinstance(one, Unreadable) for one in found)
    assert [one.reason.partition(" is ")[0] for one in found[:1] if isinstance(one, Unreadable)] == ["item 1"]
    assert not any("Mueller" in one.reason for one in found if isinstance(one, Unreadable))


def test_a_compressed_dataset_must_say_how() -> None:
    dataset = dcmread(data_file("JPEG2000.dcm"))
    del dataset.file_meta
    (found,) = survey(dataset)
    assert isinstance(found, Unreadable)
    assert "TransferSyntaxUID" in found.reason


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["1.2.x", "1.2 3", "ä"])
def test_an_invalid_uid_does_not_reach_a_request(tmp_path: Path, keyword: str, uid: str) -> None:
    dataset = make_ct()
    path = tmp_path / "wrong.dcm"
    dataset.save_as(path, enforce_file_format=True)
    own = str(dataset[keyword].value).encode()
    path.write_bytes(path.read_bytes().replace(own, uid.encode().ljust(len(own), b"x")))
    dataset[keyword]._value = uid
    assert all(isinstance(one, Unreadable) and "UID that is not valid" in one.reason for one in survey([dataset, path]))


def test_a_uid_that_is_too_long_does_not_reach_a_request() -> None:
    dataset = make_ct()
    dataset["SOPInstanceUID"]._value = "1" * 65
    assert isinstance(next(survey(dataset)), Unreadable)


def test_a_dataset_without_file_meta_goes_in_what_it_was_read_in() -> None:
    dataset = dcmread(data_file("rtplan.dcm"))
    del dataset.file_meta
    assert only(dataset).transfer_syntax_uid == ImplicitVRLittleEndian


def test_a_dicomdir_stands_for_the_files_that_it_lists(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / "ST1"
        folder.mkdir(exist_ok=True)
        make_ct(number).save_as(folder / f"IM{number}", enforce_file_format=True)
    dicomdir = write_dicomdir(tmp_path, ("ST1", "IM2"), ("ST1", "IM0"), ("ST1", "IM1"))
    listed = [one.sop_instance_uid for one in survey(dicomdir) if isinstance(one, Outgoing)]
    assert listed == [make_ct(number).SOPInstanceUID for number in (2, 0, 1)]
    assert len([one for one in survey(tmp_path) if isinstance(one, Outgoing)]) == 3


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_a_dicomdir_does_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    make_ct(7).save_as(tmp_path / "SECRET", enforce_file_format=True)
    inside = tmp_path / "INSIDE"
    inside.mkdir()
    make_ct(7).save_as(inside / "SECRET", enforce_file_format=True)
    dicomdir = write_dicomdir(inside, ("AA", "SECRET"))
    dicomdir.write_bytes(dicomdir.read_bytes().replace(b"AA\\SECRET", name.encode().ljust(2) + b"\\SECRET"))
    (found,) = survey(dicomdir)
    assert isinstance(found, Unreadable)


def test_nothing_is_read_before_it_is_asked_for() -> None:
    taken: list[int] = []

    def series() -> Iterator[Dataset]:
        for number in range(3):
            taken.append(number)
            yield make_ct(number)

    found = survey(series())
    next(found)
    assert taken == [0]


def test_a_file_that_was_removed_raises_unreadable_instance(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    instance = only(path)
    path.unlink()
    with pytest.raises(UnreadableInstanceError, match="cannot be read any more"):
        read_all(instance)


def test_a_value_that_cannot_be_encoded_is_not_in_the_message() -> None:
    dataset = make_ct()
    dataset.add_new("StudyDate", "DA", "20200101")
    dataset["StudyDate"]._value = object()
    with pytest.raises(UnreadableInstanceError, match="cannot be encoded") as caught:
        read_all(only(dataset))
    assert "object" not in str(caught.value)


def test_a_file_of_a_dicomdir_that_cannot_be_sent_is_told_as_one_of_it(tmp_path: Path) -> None:
    (tmp_path / "TEXT").write_text("no DICOM", encoding="utf-8")
    (good,) = write_series(tmp_path, 1)
    good.rename(tmp_path / "GOOD")
    found = list(survey([make_ct(5), write_dicomdir(tmp_path, ("TEXT",), ("GOOD",), ("GONE",))]))
    assert [type(one) for one in found] == [Outgoing, Unreadable, Outgoing, Unreadable]
    for one in found[1::2]:
        assert isinstance(one, Unreadable)
        assert one.reason.startswith("item 2 is a DICOMDIR that lists a file which is ")
        assert "TEXT" not in one.reason
    assert [one.path for one in found if isinstance(one, Unreadable)] == [
        str(tmp_path / "TEXT"),
        str(tmp_path / "GONE"),
    ]


def test_a_record_of_a_dicomdir_that_is_not_in_use_is_passed_over(tmp_path: Path) -> None:
    path = write_dicomdir(tmp_path, ("IM0",), ("IM1",))
    directory = dcmread(path)
    directory.DirectoryRecordSequence[1].RecordInUseFlag = 0x0000
    directory.save_as(path)
    assert dicomdir_files(path) == [tmp_path / "IM1"]


class InDrops(BytesIO):
    """A file of a slow file system, which returns an odd number of bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or -1, 7) if size is not None and size > 0 else size)


def test_a_file_that_is_read_in_drops_is_sent_as_it_lies(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    (path,) = tmp_path.rglob("*.dcm")
    instance = only(path)
    assert b"".join(instance.read(InDrops(path.read_bytes()), 1000)) == read_all(instance)


class Trickling(BytesIO):
    """A file on a network, which returns a few bytes at a time."""

    def read(self, count: int | None = -1, /) -> bytes:
        return super().read(count if count is None or count < 0 else min(count, 7))


def test_pieces_have_the_length_that_was_asked_for_however_few_bytes_come_at_a_time(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, 1)
    instance = only(path)
    with instance.open_file(instance.transfer_syntax_uid) as file:
        content = file.read()
    pieces = list(instance.read(Trickling(content), 100))
    assert {len(piece) for piece in pieces[:-1]} == {100}
    assert 0 < len(pieces[-1]) <= 100
    assert b"".join(pieces) == read_all(instance)


def test_a_new_dataset_whose_meta_names_no_syntax_goes_out_in_the_default_one() -> None:
    for meta in (None, FileMetaDataset()):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2"
        if meta is not None:
            dataset.file_meta = meta
        assert only(dataset).transfer_syntax_uid == ExplicitVRLittleEndian


def test_a_dataset_without_uids_is_told_which_it_lacks() -> None:
    dataset = Dataset()
    (both,) = survey([dataset])
    dataset.SOPInstanceUID = "1.2"
    (one,) = survey([dataset])
    assert both == Unreadable("item 1 is a dataset without SOPClassUID and SOPInstanceUID")
    assert one == Unreadable("item 1 is a dataset without SOPClassUID")
