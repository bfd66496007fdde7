"""A full disk raises an error with the path and the bytes needed, and leaves exactly the earlier state."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import Container, opened
from dcm_processor_service.errors import ConfigurationError, LocalFileError, StoreUnavailableError
from tests.faults.local.kinds import sqlite_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_BYTES = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yields a disk of 1 MB: a mounted one for root; for other users a limit on the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, hard))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_file_that_does_not_fit_leaves_the_one_before(small_disk: Path) -> None:
    with opened(Container(settings=sqlite_settings(small_disk / "work"))) as container:
        session = container.session()
        session.files.put("a", b"old" * 1000)
        before = size_on_disk(small_disk / "work" / "files")
        with pytest.raises(StoreUnavailableError) as caught:
            session.files.put("a", b"x" * 5_000_000)
        message = str(caught.value)
        assert str(small_disk / "work") in message
        assert "5000000 bytes are needed, " in message
        assert "move the workspace to a larger disk" in message
        assert isinstance(caught.value.__cause__, OSError)
        assert session.files.read("a") == b"old" * 1000
        assert size_on_disk(small_disk / "work" / "files") == before
        assert os.listdir(small_disk / "work" / "claims") == []  # noqa: PTH208  hidden names too
        session.files.put("a", b"new")
        assert session.files.read("a") == b"new"


def test_a_value_that_does_not_fit_leaves_the_one_before(small_disk: Path) -> None:
    with opened(Container(settings=sqlite_settings(small_disk / "work"))) as container:
        data = container.session().data
        data["a"] = "old"
        before = size_on_disk(small_disk)
        with pytest.raises(StoreUnavailableError) as caught:
            data["a"] = "x" * 5_000_000
        message = str(caught.value)
        assert str(small_disk / "work") in message
        assert "full" in message or "disk I/O error" in message
        assert "xxx" not in message
        assert data["a"] == "old"
        assert size_on_disk(small_disk) <= before + 64 * 1024
        data["a"] = "new"
        assert data["a"] == "new"


@contextmanager
def no_byte_left() -> Iterator[None]:
    """No file can grow, as on a disk without a byte left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("content", [b"y" * 10, b"y" * 5_000_000])
@pytest.mark.parametrize("name", ["a", "another"])
def test_on_a_disk_without_a_byte_left_a_put_says_what_it_needs(tmp_path: Path, name: str, content: bytes) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "work"))) as container:
        session = container.session()
        session.files.put("a", b"old")
        with no_byte_left(), pytest.raises(StoreUnavailableError, match=f"{len(content)} bytes are needed"):
            session.files.put(name, content)
        assert [stored.name for stored in session.files.list()] == ["a"]
        assert session.files.read("a") == b"old"
        assert len(os.listdir(tmp_path / "work" / "files")) == 1  # noqa: PTH208  hidden names too
        session.files.put(name, content)
        assert session.files.read(name) == content
        assert os.listdir(tmp_path / "work" / "claims") == []  # noqa: PTH208


def test_temporary_files_that_do_not_fit_leave_nothing(small_disk: Path, tmp_path: Path) -> None:
    settings = sqlite_settings(tmp_path / "work", scratch=small_disk, durability="fast")
    with opened(Container(settings=settings)) as container:
        session = container.session()
        with pytest.raises(LocalFileError, match=r"cannot be written: .*(space|large)"):
            session.files.save("a.txt", "x" * 5_000_000)
        assert not session.files.has("a.txt")
        with pytest.raises(ConfigurationError, match="DCM-PROCESSOR-SERVICE-SCRATCH to a larger disk"):
            container.scratch().folder("series", need_bytes=2**62)
        (own,) = small_disk.iterdir()
        assert [path.name for path in own.iterdir()] == [".claimed"]
    assert list(small_disk.iterdir()) == []


def test_a_file_that_does_not_fit_on_the_scratch_disk_is_opened_or_refused_in_a_sentence(tmp_path: Path) -> None:
    with opened(Container(settings=sqlite_settings(tmp_path / "work"))) as container:
        files = container.session().files
        files.put("a", b"old")
        with no_byte_left(), pytest.raises(LocalFileError, match="content' cannot be written"), files.open("a"):
            pytest.fail("it was opened")
        with files.open("a") as content:
            assert content.read() == b"old"
