"""Scans in a zip file: unpacked once, inside of their folder, or refused with a sentence."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.local.zipped import is_zipped, unzipped
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from pathlib import Path


def zip_of(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    paths = save(make_series(slices=3), tmp_path / "scans")
    return zip_of(tmp_path / "scans.ZIP", {f"CT/deep/{path.name}": path.read_bytes() for path in paths})


def test_a_workspace_files_what_a_zip_file_holds(scans: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "work")
    filed, catalogue = place.ingest([scans])
    assert (filed.instance_count, catalogue.left_out) == (3, [])
    again, _ = place.ingest([scans])
    assert again.series == filed.series


def test_it_is_unpacked_once_for_its_owner_alone(scans: Path, tmp_path: Path) -> None:
    folder = unzipped(scans, tmp_path / "work")
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("*.dcm")}
    assert len(first) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert unzipped(scans, tmp_path / "work") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.dcm")} == first


def test_another_content_is_unpacked_elsewhere(scans: Path, tmp_path: Path) -> None:
    before = unzipped(scans, tmp_path / "work")
    zip_of(scans, {"other.dcm": b"x" * 7})
    after = unzipped(scans, tmp_path / "work")
    assert after != before
    assert [path.name for path in after.iterdir()] == ["other.dcm"]


@pytest.mark.parametrize("name", ["../up.dcm", "/absolute.dcm", "a/../../up.dcm", "a\\..\\up.dcm"])
def test_a_name_that_leads_out_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = zip_of(tmp_path / "evil.zip", {"fine.dcm": b"1", name: b"2"})
    with pytest.raises(ConfigurationError, match="leads out of its folder; unpack it by hand"):
        unzipped(path, tmp_path / "work")
    assert not list((tmp_path / "work").rglob("*.dcm"))
    assert not (tmp_path / "up.dcm").exists()


def test_a_damaged_file_is_a_sentence(scans: Path, tmp_path: Path) -> None:
    content = bytearray(scans.read_bytes())
    content[100:200] = bytes(100)
    (tmp_path / "damaged.zip").write_bytes(content)
    (tmp_path / "short.zip").write_bytes(content[:50])
    for name in ("damaged.zip", "short.zip"):
        with pytest.raises(ConfigurationError, match="is not a zip file that can be unpacked"):
            unzipped(tmp_path / name, tmp_path / "work")


def test_an_encrypted_file_is_refused(scans: Path, tmp_path: Path) -> None:
    content = bytearray(scans.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the general purpose flag of the first entry (APPNOTE 4.4.4)
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(ConfigurationError, match="is encrypted; unpack it, and give the folder"):
        unzipped(tmp_path / "locked.zip", tmp_path / "work")


def test_what_does_not_fit_on_the_disk_is_refused(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    with pytest.raises(ConfigurationError, match="bytes unpacked, and 10 are free"):
        unzipped(scans, tmp_path / "work")


def test_a_dicom_file_and_a_folder_are_no_zip_files(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    assert not is_zipped(tmp_path / "folder.zip")
    assert not is_zipped(tmp_path / "scan.dcm")
