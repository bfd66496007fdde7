"""Files on this machine's disk: whole or as before, with the permissions of any new file, and errors that name them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.disk import open_to_read, private_folder, write_whole
from dcm_processor_service.errors import LocalFileError, LocalFileNotFoundError, StoredValueError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_with_its_content_in_a_new_folder(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001
    target = tmp_path / "a" / "b.txt"
    with write_whole(target, durable=durable) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["b.txt"]  # noqa: PTH208  hidden names too


def test_the_temporary_file_has_the_final_permissions_from_the_start(tmp_path: Path, umask: int) -> None:
    with write_whole(tmp_path / "a") as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_writing_leaves_the_umask_of_the_process_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(_mask: int) -> int:
        raise AssertionError("the umask belongs to all threads of the process")

    with monkeypatch.context() as patched:
        patched.setattr(os, "umask", changed)
        with write_whole(tmp_path / "a") as file:
            file.write(b"x")


@pytest.mark.parametrize("fault", [StoredValueError("damaged"), ValueError("of the writer"), KeyboardInterrupt()])
def test_a_failure_of_the_writer_passes_and_leaves_what_was_there(tmp_path: Path, fault: BaseException) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(type(fault)) as caught, write_whole(target) as file:  # noqa: PT012  it is about what comes after
        file.write(b"new")
        raise fault
    assert caught.value is fault
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_reported_with_the_path_and_in_the_error_asked_for(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(StoreUnavailableError, match=r"/a' cannot be written: No space left on device; ") as caught,
        write_whole(tmp_path / "a", error=StoreUnavailableError),
    ):
        raise full
    assert caught.value.__cause__ is full
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "folder", "file/below", "n" * 300, "nul\0", "\ud800", "pipe"])
def test_a_place_that_takes_no_file_is_refused_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LocalFileError, match="cannot be written") as caught, write_whole(tmp_path / name):
        raise AssertionError("nothing must be written")
    assert isinstance(caught.value.__cause__, (OSError, ValueError))
    assert sorted(tmp_path.rglob("*")) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("none", LocalFileNotFoundError), ("", LocalFileError), ("nul\0", LocalFileError), ("\ud800", LocalFileError)],
)
def test_a_file_that_cannot_be_read_is_reported_with_its_path(tmp_path: Path, name: str, kind: type[Exception]) -> None:
    with pytest.raises(LocalFileError, match="cannot be read: ") as caught, open_to_read(tmp_path / name):
        raise AssertionError("nothing must be opened")
    assert type(caught.value) is kind


def test_a_missing_file_is_a_file_not_found_error_of_python(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_to_read(tmp_path / "none"):
        raise AssertionError("nothing must be opened")


def test_a_planted_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "target"
    elsewhere.write_bytes(b"theirs")
    target.symlink_to(elsewhere)
    with write_whole(target) as file:
        file.write(b"ours")
    assert (elsewhere.read_bytes(), target.read_bytes(), target.is_symlink()) == (b"theirs", b"ours", False)


def test_a_private_folder_is_its_owners_alone_at_every_level(tmp_path: Path, umask: int) -> None:
    folder = private_folder(tmp_path / "root", "a", "b")
    assert umask
    assert folder == tmp_path / "root" / "a" / "b"
    levels = (tmp_path / "root", tmp_path / "root" / "a", folder)
    assert [stat.S_IMODE(one.stat().st_mode) for one in levels] == [0o700] * 3
    assert private_folder(tmp_path / "root", "a", "b") == folder


@pytest.mark.parametrize("plant", ["link", "file", "lost"])
def test_a_private_folder_leads_through_no_link(tmp_path: Path, plant: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    place = tmp_path / "root" / "a"
    if plant == "file":
        place.write_bytes(b"")
    else:
        place.symlink_to(tmp_path / ("elsewhere" if plant == "link" else "nowhere"))
    reason = "something of this name that is not a folder" if plant == "file" else "is a link.*remove it"
    with pytest.raises(LocalFileError, match=reason):
        private_folder(tmp_path / "root", "a", "b")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()
