"""The folders of temporary files: their owner, their content, and their removal by the next process."""

from __future__ import annotations

import gc
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.disk import claim_file
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.session.scratch import Scratch, open_scratch

if TYPE_CHECKING:
    from pathlib import Path

ABANDONED = "dcm-processor-scratch-abcd_012"


def abandoned(parent: Path, name: str = ABANDONED, *, claimed: bool = True) -> Path:
    """Makes a folder as a killed process leaves it."""
    folder = parent / name
    folder.mkdir()
    if claimed:
        (folder / ".claimed").touch()
        (folder / "patient.dcm").write_bytes(b"x")
    return folder


def test_nothing_is_made_before_the_first_use_and_nothing_is_left(tmp_path: Path) -> None:
    with open_scratch(tmp_path) as scratch:
        assert list(tmp_path.iterdir()) == []
        folder = scratch.folder("series")
        assert scratch.folder("series") == folder
        assert folder.parent.parent == tmp_path
        (folder / "patient.dcm").write_bytes(b"x")
        with scratch.temporary() as temporary:
            assert temporary.parent == folder.parent
            assert temporary.stat().st_mode & 0o077 == folder.parent.stat().st_mode & 0o077 == 0
            (temporary / "patient.dcm").write_bytes(b"x")
        assert not temporary.exists()
        assert (folder / "patient.dcm").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_that_nobody_closes_goes_with_its_owner(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.folder("series")
    del scratch
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_processes_are_removed_at_the_first_use(tmp_path: Path) -> None:
    for folder in (abandoned(tmp_path), abandoned(tmp_path, ABANDONED[:-1] + "z", claimed=False)):
        assert folder.exists()
    with open_scratch(tmp_path) as scratch:
        own = scratch.folder("series").parent
        assert list(tmp_path.iterdir()) == [own]


def test_the_folder_of_a_living_process_stays(tmp_path: Path) -> None:
    folder = abandoned(tmp_path)
    claim = claim_file(folder / ".claimed")
    assert claim is not None
    with claim, open_scratch(tmp_path) as scratch:
        scratch.folder("series")
        assert (folder / "patient.dcm").exists()
    with open_scratch(tmp_path) as other, open_scratch(tmp_path) as scratch:
        mine = other.folder("series")
        scratch.folder("series")
        assert not folder.exists()
        assert mine.is_dir()


@pytest.mark.parametrize("name", [f"{ABANDONED}9", ABANDONED[:-1], ABANDONED.upper(), f"x{ABANDONED}", "patients"])
def test_a_folder_of_another_name_stays(tmp_path: Path, name: str) -> None:
    folder = abandoned(tmp_path, name)
    with open_scratch(tmp_path) as scratch:
        scratch.folder("series")
    assert (folder / "patient.dcm").exists()


def test_a_folder_of_another_user_a_link_and_a_file_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = abandoned(tmp_path, "elsewhere")
    (tmp_path / f"{ABANDONED[:-1]}3").symlink_to(elsewhere)
    (tmp_path / f"{ABANDONED[:-1]}4").write_bytes(b"a file")
    with open_scratch(tmp_path) as scratch:
        scratch.folder("series")
    assert (elsewhere / "patient.dcm").exists()
    assert len(list(tmp_path.iterdir())) == 3
    folder, other = abandoned(tmp_path), os.getuid() + 1
    with monkeypatch.context() as patch, open_scratch(tmp_path) as scratch:
        patch.setattr(os, "getuid", lambda: other)
        scratch.folder("series")
    assert (folder / "patient.dcm").exists()


def test_a_claim_that_cannot_be_opened_is_no_reason_to_remove_anything_or_to_fail(tmp_path: Path) -> None:
    strange, folder = abandoned(tmp_path, claimed=False), abandoned(tmp_path, f"{ABANDONED[:-1]}x")
    (strange / ".claimed").symlink_to(tmp_path)
    with open_scratch(tmp_path) as scratch:
        scratch.folder("series")
    assert strange.exists()
    assert not folder.exists()


def test_a_disk_without_the_room_is_told_with_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with open_scratch(tmp_path) as scratch:
        assert scratch.folder("exact", 1000).is_dir()
        with pytest.raises(ConfigurationError, match=r"has 1000 bytes free, 1001 are needed; .*SERVICE-SCRATCH"):
            scratch.folder("series", 1001)


def test_a_parent_that_takes_no_folder_is_told_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for parent, reason in ((tmp_path / "file", "Not a directory"), (tmp_path / "nowhere", "No such file or directory")):
        with open_scratch(parent) as scratch:
            told = rf"can be made: {reason}; set .*SERVICE-SCRATCH"
            with pytest.raises(ConfigurationError, match=told):
                scratch.folder("series")
            with pytest.raises(ConfigurationError, match=told), scratch.temporary():
                pass
