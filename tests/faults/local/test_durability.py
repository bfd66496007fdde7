"""An acknowledged put has synced all to the disk in the right order: a power cut after it loses nothing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container, opened
from tests.faults.local.kinds import sqlite_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Disk:
    """Records in order each sync, commit and removal, which the system's own functions perform."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        fsync, unlink, connect = os.fsync, os.unlink, sqlite3.connect

        def noted_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.events.append(("synced", str(Path(f"/proc/self/fd/{descriptor}").readlink())))

        def noted_unlink(path: Any, **options: Any) -> None:
            self.events.append(("removed", os.fspath(path)))
            unlink(path, **options)

        def noted_connect(*arguments: Any, **options: Any) -> Any:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda text: self.events.append(("SQLite", text)))
            return connection

        patched.setattr(os, "fsync", noted_fsync)
        patched.setattr(os, "unlink", noted_unlink)
        patched.setattr(sqlite3, "connect", noted_connect)

    def at(self, kind: str, text: str) -> int:
        found = [place for place, event in enumerate(self.events) if event == (kind, text)]
        assert len(found) == 1, f"{kind} {text}: {self.events}"
        return found[0]


@pytest.fixture
def disk() -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patched:
        yield Disk(patched)


def test_content_and_folder_are_synced_before_the_row_and_the_row_before_the_old_goes(
    disk: Disk, tmp_path: Path
) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "a" / "work"))) as container:
        files = container.session().files
        old = files.put("a", b"old", content_type="text/plain").id
        contents = tmp_path / "a" / "work" / "files"
        disk.events.clear()
        new = files.put("a", b"new", content_type="text/plain").id
        order = [
            disk.at("synced", str(contents / new)),
            disk.at("synced", str(contents)),
            disk.at("SQLite", "COMMIT"),
            disk.at("removed", str(contents / old)),
        ]
        assert order == sorted(order)
        disk.events.clear()
        files.delete("a")
        assert disk.at("SQLite", "COMMIT") < disk.at("removed", str(contents / new))


def test_a_new_workspace_has_its_folders_and_its_database_on_the_disk(disk: Disk, tmp_path: Path) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "a" / "work"))) as container:
        container.session().data["x"] = 1
        assert ("SQLite", "PRAGMA synchronous = FULL") in disk.events
        synced = {path for kind, path in disk.events if kind == "synced"}
        assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "work")} <= synced


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("fast", 1)])
def test_the_setting_decides_what_a_commit_waits_for(durability: str, synchronous: int, tmp_path: Path) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "work", durability=durability))) as container:
        container.session().data["x"] = 1
        store = container.data_repository()._store  # type: ignore[attr-defined]
        assert store.rows("PRAGMA synchronous", ()) == [(synchronous,)]
        assert store.rows("PRAGMA journal_mode", ()) == [("wal",)]


def test_with_durability_fast_no_put_waits_for_the_disk(disk: Disk, tmp_path: Path) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "work", durability="fast"))) as container:
        files = container.session().files
        files.put("a", b"old")
        files.put("a", b"new")
        assert files.read("a") == b"new"
    assert [event for event in disk.events if event[0] == "synced"] == []
    assert len(os.listdir(tmp_path / "work" / "files")) == 1  # noqa: PTH208  hidden names too
