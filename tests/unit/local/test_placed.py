"""A run removes from a folder of results what an earlier run placed there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcm_processor_service.errors import LocalFileError
from dcm_processor_service.local.placed import note_placed, remove_placed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "results" / "series-1").mkdir(parents=True)
    return folder


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_only_what_was_placed_is_removed(folder: Path) -> None:
    note_placed(folder, ["mask.nii.gz", "a/b/c.txt", "shared/own.txt", "never-written.txt"])
    for name in ("mask.nii.gz", "a/b/c.txt", "shared/own.txt"):
        write(folder / name)
    kept = [write(folder / "mask-corrected.nii.gz"), write(folder / "shared" / "notes.txt")]
    remove_placed(folder)
    assert [one for one in sorted(folder.rglob("*")) if one.is_file()] == kept
    assert not (folder / "a").exists()
    again = write(folder / "mask.nii.gz")  # the note is gone too
    remove_placed(folder)
    assert again.exists()


@pytest.mark.parametrize("note", [None, "", "{", "{}", "[1, null]", "3"])
def test_without_a_note_nothing_is_removed(folder: Path, note: str | None) -> None:
    kept = write(folder / "mask.nii.gz")
    if note is not None:
        (folder.parent / ".series-1.placed.json").write_text(note)
    remove_placed(folder)
    assert kept.exists()


def test_no_name_and_no_link_leads_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    kept = [write(tmp_path / "outside" / "own.txt"), write(folder.parent / "own.txt")]
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "linked.txt").symlink_to(kept[0])
    note_placed(folder, ["../own.txt", str(kept[0]), "link/own.txt", "linked.txt", ""])
    remove_placed(folder)
    assert all(one.exists() for one in kept)
    assert not (folder / "linked.txt").is_symlink()


def test_a_file_that_cannot_be_removed_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path, *, missing_ok: bool) -> None:
        raise PermissionError(13, "Permission denied")

    note_placed(folder, ["mask.nii.gz"])
    write(folder / "mask.nii.gz")
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(LocalFileError, match="cannot be emptied: Permission denied"):
        remove_placed(folder)
