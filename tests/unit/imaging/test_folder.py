"""Walking through a folder, and reading the instances in it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from pydicom import dcmread

from dcm_processor_service.imaging.headers import folder as folder_reading
from dcm_processor_service.imaging.headers.folder import DicomFolders, files_below, files_in
from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.models import LeftOutFile
from dcm_processor_service.testing import synthetic_series
from tests.unit.imaging.awkward_folder import LEFT_OUT, TAKEN, make_awkward_folder


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(root: Path, **options: Path) -> list[str]:
    """Returns the files that are not left out, relative to the root."""
    found = (one for one in files_below(root, **options) if not isinstance(one, LeftOutFile))
    return [path.relative_to(root).as_posix() for path in found]


def test_an_awkward_folder_is_read_in_order_and_all_of_it_is_reported(tmp_path: Path) -> None:
    folder = make_awkward_folder(tmp_path / "scans", tmp_path / "outside")
    found = list(DicomFolders().read(files_below(folder)))
    paths = [one.path if isinstance(one, LeftOutFile) else str(one.path) for one in found]
    names = [path.removeprefix(f"{folder}/") for path in paths]
    assert names == sorted([*TAKEN, *LEFT_OUT], key=lambda name: Path(name).parts)
    assert {
        name: one.reason for name, one in zip(names, found, strict=True) if isinstance(one, LeftOutFile)
    } == LEFT_OUT


def test_folders_stand_in_their_place_among_the_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.dcm", "a/2", "a/10", "a.dcm", "c/d/e", "B")
    assert listed(tmp_path) == ["B", "a/10", "a/2", "a.dcm", "b.dcm", "c/d/e"]
    assert list(files_in(tmp_path)) == [tmp_path / name for name in ("B", "a.dcm", "b.dcm")]


def test_a_path_that_is_given_itself_is_listed_whatever_it_is(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/scans/a.dcm", ".hidden.dcm")
    assert listed(tmp_path / ".cache" / "scans") == ["a.dcm"]
    for path in (tmp_path / ".hidden.dcm", tmp_path / "missing"):
        assert list(files_below(path)) == [path]
    link = tmp_path / "link"
    link.symlink_to(tmp_path / ".cache" / "scans")
    assert listed(link) == ["a.dcm"]


def test_a_folder_that_is_excepted_is_passed_over_unless_it_is_named_itself(tmp_path: Path) -> None:
    touch(tmp_path, "scans/a", "work/results/b")
    assert listed(tmp_path, without=tmp_path / "work") == ["scans/a"]
    assert listed(tmp_path / "work", without=tmp_path / "work") == ["results/b"]
    assert listed(tmp_path / "work" / "results", without=tmp_path / "work") == ["b"]


def test_a_folder_that_went_away_is_reported(tmp_path: Path) -> None:
    touch(tmp_path, "a", "b/c", "d")
    walk = files_below(tmp_path)
    assert next(walk) == tmp_path / "a"
    (tmp_path / "b" / "c").unlink()
    (tmp_path / "b").rmdir()
    gone, last = walk
    assert isinstance(gone, LeftOutFile)
    assert (gone.reason, gone.faulty) == ("unreadable (FileNotFoundError): check that it exists and may be read", True)
    assert last == tmp_path / "d"


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_pipes_and_sockets_are_never_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX) as one:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            before = Path.cwd()
            os.chdir(tmp_path)  # in a short path, because the name of a socket must be short
            try:
                one.bind("x")
            finally:
                os.chdir(before)
        else:
            path.symlink_to("/dev/zero")
        (found,) = DicomFolders().read([path])
    assert isinstance(found, LeftOutFile)
    assert (found.reason, found.faulty) == ("a pipe, socket or device", False)


def test_names_that_no_output_can_hold_are_escaped(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m.txt")).write_text("no scan")
    (found,) = DicomFolders().read(files_below(tmp_path))
    assert isinstance(found, LeftOutFile)
    assert found.path == f"{tmp_path}/\\udcff\\x1b[31m.txt"
    assert found.model_dump_json()


def test_an_instance_counts_once_and_a_patient_or_series_tells_instances_apart(tmp_path: Path) -> None:
    (dataset,) = synthetic_series(slices=1)
    for number, (keyword, value) in enumerate(
        [
            ("PatientName", "Other^Name"),
            ("PatientID", "OTHER"),
            ("SeriesInstanceUID", "1.2.3"),
            ("StudyDescription", "x"),
        ]
    ):
        setattr(dataset, keyword, value)
        dataset.save_as(tmp_path / str(number), enforce_file_format=True)
    found = list(DicomFolders().read(files_below(tmp_path)))
    assert [one.reason for one in found if isinstance(one, LeftOutFile)] == ["the same instance as another file"]
    assert isinstance(found[3], LeftOutFile)


def test_two_instances_under_one_uid_are_two_and_a_copy_of_either_counts_once(tmp_path: Path) -> None:
    (dataset,) = synthetic_series(slices=1)
    for name, pixels in [("a", dataset.PixelData), ("b", dataset.PixelData[::-1])] * 2:
        dataset.PixelData = pixels
        place = tmp_path / "copies" / name if (tmp_path / name).exists() else tmp_path / name
        place.parent.mkdir(exist_ok=True)
        dataset.save_as(place, enforce_file_format=True)
    found = list(DicomFolders().read(files_below(tmp_path)))
    assert [str(one.path).removeprefix(f"{tmp_path}/") for one in found] == ["a", "b", "copies/a", "copies/b"]
    assert [isinstance(one, LeftOutFile) for one in found] == [False, False, True, True]


def test_a_folder_of_instances_under_one_uid_is_read_without_comparing_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Path] = []

    def counted(one: Path, other: Path) -> bool:
        compared.append(other)
        return is_same_instance(one, other)

    monkeypatch.setattr(folder_reading, "is_same_instance", counted)
    (dataset,) = synthetic_series(slices=1)
    for number in range(20):
        dataset.PixelData = bytes([number]) + dataset.PixelData[1:]
        dataset.save_as(tmp_path / f"{number:02}", enforce_file_format=True)
    found = list(DicomFolders().read(files_below(tmp_path)))
    assert len([one for one in found if not isinstance(one, LeftOutFile)]) == 20
    assert len(compared) <= 4 * 20


def test_an_instance_of_no_patient_needs_no_study(tmp_path: Path) -> None:
    (dataset,) = synthetic_series(slices=1)
    del dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PixelData
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.38.1"  # Hanging Protocol
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    (found,) = DicomFolders().read(files_below(tmp_path))
    assert not isinstance(found, LeftOutFile)
    assert dcmread(found.path).SOPInstanceUID == found.sop_instance_uid


def test_long_values_of_what_is_no_image_are_left_in_the_file(tmp_path: Path) -> None:
    (dataset,) = synthetic_series(slices=1)
    del dataset.PixelData, dataset.BitsAllocated
    dataset.EncapsulatedDocument = bytes(1 << 25)
    dataset.save_as(tmp_path / "x", enforce_file_format=True)
    (found,) = DicomFolders().read(files_below(tmp_path))
    assert not isinstance(found, LeftOutFile)
    raw = found.header.get_item("EncapsulatedDocument", keep_deferred=True)  # type: ignore[union-attr]  # not scanned
    assert raw.value is None
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    (cut,) = DicomFolders().read(files_below(tmp_path))
    assert isinstance(cut, LeftOutFile)
    assert cut.reason.startswith("cut off")
