"""Workspaces that are read-only, held by another process, damaged, or prepared by an attacker."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import Container, RuntimeContext, opened
from dcm_processor_service.errors import LocalFileError, StoredValueError, StoreError, StoreUnavailableError
from dcm_processor_service.local.workspace import Workspace
from tests.faults.local.kinds import python, sqlite_settings
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    with opened(Container(settings=sqlite_settings(folder))) as container:
        container.session().data["a"] = 1
        container.session().files.put("a", b"content")
    return folder


@pytest.fixture
def read_only(filled: Path) -> Iterator[Path]:
    """Yields a read-only workspace: for root on a disk mounted read-only, for other users without write permission."""
    if os.geteuid() != 0:
        for path in (*filled.rglob("*"), filled):
            path.chmod(path.stat().st_mode & ~0o222)
        yield filled
        for path in (filled, *filled.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
        return
    subprocess.run(["mount", "--bind", str(filled), str(filled)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(filled)], check=True)
    yield filled
    subprocess.run(["umount", str(filled)], check=True)


def test_a_read_only_workspace_is_read_and_says_so_when_it_is_written(read_only: Path) -> None:
    before = sorted(path.name for path in read_only.rglob("*"))
    with opened(Container(settings=sqlite_settings(read_only))) as container:
        session = container.session()
        assert session.data["a"] == 1
        assert session.files.read("a") == b"content"
        assert [stored.name for stored in session.files.list()] == ["a"]

        def write_value() -> None:
            session.data["a"] = 2

        for write in (write_value, lambda: session.files.put("a", b"new"), lambda: session.files.delete("a")):
            with pytest.raises(StoreError, match="is read-only: it can be read, not written; choose") as caught:
                write()
            assert not caught.value.retryable
            assert str(read_only) in str(caught.value)
        assert session.data["a"] == 1
    assert sorted(path.name for path in read_only.rglob("*")) == before


def test_opening_and_reading_wait_for_no_writer_and_writing_says_who_is_in_the_way(filled: Path) -> None:
    other = sqlite3.connect(filled / "workspace.sqlite3", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with opened(Container(settings=sqlite_settings(filled, store_timeout_s=0.05))) as container:
            session = container.session()
            assert session.data["a"] == 1
            assert session.files.read("a") == b"content"
            with pytest.raises(StoreUnavailableError, match=r"another process is writing .* try again") as caught:
                session.data["a"] = 2
            assert caught.value.retryable
            other.execute("ROLLBACK")
            session.data["a"] = 2
            assert session.data["a"] == 2
    finally:
        other.close()


def test_a_damaged_database_says_so(filled: Path) -> None:
    (filled / "workspace.sqlite3").write_bytes(b"this was a database once" * 1000)
    with (
        opened(Container(settings=sqlite_settings(filled))) as container,
        pytest.raises(StoredValueError, match="is damaged: file is not a database; restore it") as caught,
    ):
        container.session().data.get("a")
    assert str(filled) in str(caught.value)


def test_a_database_that_lost_its_end_says_so(filled: Path) -> None:
    database = filled / "workspace.sqlite3"
    os.truncate(database, 4096)
    with (
        opened(Container(settings=sqlite_settings(filled))) as container,
        pytest.raises(StoredValueError, match=r"is damaged: .*restore it"),
    ):
        container.session().data.get("a")


def test_many_processes_make_one_workspace_at_once(tmp_path: Path) -> None:
    code = """
import os, sys
from dcm_processor_service import Container, RuntimeSettings, opened
def use(number):
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=sys.argv[1], session_id="5" * 24, job_id="1" * 24)
    with opened(Container(settings=settings)) as container:
        os.read(waiting, 1)
        container.session().data[str(number)] = number
        container.session().files.put(str(number), b"x")
waiting, start = os.pipe()
children = []
for number in range(12):
    child = os.fork()
    if child == 0:
        use(number)
        os._exit(0)
    children.append(child)
os.write(start, b"x" * 12)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0] * 12, codes
"""
    ran = python("-c", code, tmp_path / "work")
    assert ran.returncode == 0, ran.stderr
    with opened(Container(settings=sqlite_settings(tmp_path / "work"))) as container:
        assert len(container.session().data.keys()) == len(container.session().files.list()) == 12


def segment(ctx: RuntimeContext) -> None:
    ctx.session.files.put("masks/mask.txt", b"mask")
    ctx.session.data["a"] = 1


def run_in(folder: Path, scans: Path) -> None:
    save(make_series(1), scans)
    place = Workspace(folder)
    filed, _ = place.ingest([scans])
    ran = place.run(segment, filed.series[0], filed=filed, job_name="segment", params={})
    assert ran.outcome.ok


def test_what_a_workspace_holds_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run_in(tmp_path / "work", tmp_path / "scans")
        container = Container(settings=sqlite_settings(tmp_path / "work", scratch=tmp_path))
        with opened(container):
            container.session().data["open"] = 1  # SQLite's log is there now
            folder = container.scratch().folder("series")
            private = [tmp_path / "work", *(tmp_path / "work").rglob("*"), folder.parent]
            modes = {path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode) for path in private}
            assert {path.name for path in private} >= {"workspace.sqlite3-wal", "mask.txt", "series.preview.png"}
    finally:
        os.umask(before)
    assert {mode for path, mode in modes.items() if (tmp_path / path).suffix} | {0o600, 0o700} == {0o600, 0o700}
    wrong = {path: oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert not wrong


def test_a_workspace_of_an_older_version_becomes_private(filled: Path) -> None:
    (filled / "workspace.sqlite3").chmod(0o644)
    (filled / "files").chmod(0o755)
    with opened(Container(settings=sqlite_settings(filled))) as container:
        assert container.session().data["a"] == 1
    assert stat.S_IMODE((filled / "workspace.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((filled / "files").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["workspace.sqlite3", "files", "claims"])
def test_a_planted_link_in_the_workspace_is_refused(name: str, tmp_path: Path) -> None:
    elsewhere, work = tmp_path / "elsewhere", tmp_path / "work"
    work.mkdir()
    if name == "workspace.sqlite3":
        elsewhere.touch()
    else:
        elsewhere.mkdir()
    (work / name).symlink_to(elsewhere)
    with opened(Container(settings=sqlite_settings(work))) as container:
        for write in (container.session().files.put, container.session().data.set):
            with pytest.raises(StoreError, match=rf"{name}' is a link.*remove it"):
                write("a", b"patient")
    assert elsewhere.stat().st_size == 0 if name == "workspace.sqlite3" else list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("place", ["results", "results/segment", "results/segment/series-*/masks"])
def test_a_planted_link_among_the_results_is_refused(place: str, tmp_path: Path) -> None:
    elsewhere, work = tmp_path / "elsewhere", tmp_path / "work"
    elsewhere.mkdir()
    run_in(work, tmp_path / "scans")
    (link,) = work.glob(place)
    shutil.rmtree(link)
    link.symlink_to(elsewhere)
    with pytest.raises(LocalFileError, match=r"is a link.*remove it"):
        run_in(tmp_path / "work", tmp_path / "scans")
    assert list(elsewhere.iterdir()) == []


def test_a_planted_link_of_a_results_name_is_replaced(tmp_path: Path) -> None:
    run_in(tmp_path / "work", tmp_path / "scans")
    (mask,) = (tmp_path / "work" / "results").rglob("mask.txt")
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    mask.unlink()
    mask.symlink_to(victim)
    run_in(tmp_path / "work", tmp_path / "scans")
    assert victim.read_bytes() == b"untouched"
    assert mask.read_bytes() == b"mask"
    assert not mask.is_symlink()
