"""Data that is unpacked once: whole, verified, bounded, and kept from the hands of two processes."""

from __future__ import annotations

import hashlib
import lzma
import os
import signal
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.disk import file_sha256
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime import data_cache
from dcm_processor_service.runtime.data_archive import damage_as_error
from dcm_processor_service.runtime.data_cache import cached_data_dir
from dcm_processor_service.testing import fake_context
from tests.command_line import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

MUCH = 1 << 30
FILES = {"weights.bin": b"w" * 300_000, "nested/labels.txt": b"lung\n"}

USE = """
import sys
from pathlib import Path
from dcm_processor_service.runtime.data_cache import cached_data_dir
data, cache, most = sys.argv[1:]
place = cached_data_dir(Path(data), Path(cache), int(most))
print(place, flush=True)
sys.stdin.readline()
"""
"""Uses data until it is told to end."""


@pytest.fixture(autouse=True)
def locks_of_this_process() -> Iterator[None]:
    yield
    for descriptor in data_cache._in_use.values():
        os.close(descriptor)
    data_cache._in_use.clear()


def archive(folder: Path, files: dict[str, bytes] | None = None, name: str = "weights.zip") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in (FILES if files is None else files).items():
            made.writestr(path, content)
    return folder / name


def used(data: Path, cache: Path, most_bytes: int = MUCH) -> Path:
    place = cached_data_dir(data, cache, most_bytes)
    assert place is not None
    return place


def begun(data: Path, cache: Path, most_bytes: int = MUCH) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", USE, str(data), str(cache), str(most_bytes)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def place_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def ended(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate("\n")
        assert process.returncode == 0


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_zip_file_is_found_unpacked(tmp_path: Path, *, as_folder: bool) -> None:
    data = archive(tmp_path / "data")
    place = used(data.parent if as_folder else data, tmp_path / "cache")
    assert {name: (place / name).read_bytes() for name in FILES} == FILES
    assert place.parent.name == hashlib.sha256(data.read_bytes()).hexdigest()


def test_it_is_unpacked_once(tmp_path: Path) -> None:
    data, cache = archive(tmp_path / "data"), tmp_path / "cache"
    before = (used(data, cache) / "weights.bin").stat()
    assert (used(data, cache) / "weights.bin").stat().st_ino == before.st_ino


def test_a_checksum_beside_the_file_is_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, cache = archive(tmp_path / "data"), tmp_path / "cache"
    checksum = hashlib.sha256(data.read_bytes()).hexdigest()
    data.with_name("weights.zip.sha256").write_text(f"{checksum}  weights.zip\n")
    place = used(data.parent, cache)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(data_cache, "file_sha256", reading)
    assert used(data.parent, cache) == place
    assert data not in read


def replaced(tmp_path: Path) -> Path:
    """Data whose archive was replaced by another of the same size, while the checksum of the first is still there."""
    data = archive(tmp_path / "data")
    beside = data.with_name("weights.zip.sha256")
    beside.write_text(hashlib.sha256(data.read_bytes()).hexdigest())
    used(data.parent, tmp_path / "cache")
    archive(data.parent, {**FILES, "nested/labels.txt": b"bone\n"})
    return data


def test_a_checksum_older_than_the_file_does_not_count(tmp_path: Path) -> None:
    data = replaced(tmp_path)
    os.utime(data.with_name("weights.zip.sha256"), (1, 1))
    assert (used(data.parent, tmp_path / "cache") / "nested" / "labels.txt").read_bytes() == b"bone\n"


def test_a_checksum_of_another_file_is_refused_though_that_is_in_the_cache(tmp_path: Path) -> None:
    data = replaced(tmp_path)
    os.utime(data, (1, 1))  # as where both were copied, the checksum last
    with pytest.raises(ConfigurationError, match="does not have the SHA-256"):
        used(data.parent, tmp_path / "cache")


@pytest.mark.parametrize(
    ("written", "sentence"), [("0" * 64, "does not have the SHA-256"), ("none", "holds no SHA-256")]
)
def test_a_wrong_checksum_is_refused(tmp_path: Path, written: str, sentence: str) -> None:
    data = archive(tmp_path / "data")
    data.with_name("weights.zip.sha256").write_text(written)
    with pytest.raises(ConfigurationError, match=sentence):
        used(data, tmp_path / "cache")


@pytest.mark.parametrize("damage", ["changed", "cut", "removed", "added", "manifest"])
def test_what_is_damaged_is_unpacked_again(tmp_path: Path, damage: str) -> None:
    data, cache = archive(tmp_path / "data"), tmp_path / "cache"
    place = used(data, cache)
    weights = place / "weights.bin"
    weights.chmod(0o600)
    if damage == "changed":
        weights.write_bytes(b"x" * 300_000)
    elif damage == "cut":
        weights.write_bytes(b"w")
    elif damage == "removed":
        weights.unlink()
    elif damage == "added":
        (place / "more.bin").write_bytes(b"")
    else:
        (place.parent / "manifest.json").write_text('{"weights.bin": ')
    assert used(data, cache) == place
    assert {str(one.relative_to(place)) for one in place.rglob("*") if one.is_file()} == {*FILES}
    assert weights.read_bytes() == FILES["weights.bin"]


def test_data_of_other_kinds_stays_where_it_is(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    several = archive(tmp_path / "several").parent
    archive(several, name="more.zip")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "weights.bin").write_bytes(b"w")
    for data in (several, plain, tmp_path / "missing"):
        assert cached_data_dir(data, cache, MUCH) == data
    assert cached_data_dir(None, cache, MUCH) is None
    assert cached_data_dir(several, None, MUCH) == several
    assert not cache.exists()


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    datas = [archive(tmp_path / name, {f"{name}.bin": bytes(1000)}) for name in "abc"]
    places = []
    for second, data in enumerate(datas[:2]):
        process = begun(data, cache, 2500)
        places.append(place_of(process))
        ended(process)
        os.utime(places[-1].parent.with_suffix(".lock"), (second, second))
    again = begun(datas[0], cache, 2500)  # so that the second is the one that was not used for longest
    place_of(again)
    ended(again)
    third = begun(datas[2], cache, 2500)
    assert place_of(third).is_dir()
    ended(third)
    assert [place.is_dir() for place in places] == [True, False]


def test_what_a_process_uses_stays_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = begun(archive(tmp_path / "a", {"a.bin": bytes(1000)}), cache, 2000)
    place = place_of(first)
    with pytest.raises(ConfigurationError, match="raise DCM_PROCESSOR_SERVICE_DATA_CACHE_BYTES"):
        used(archive(tmp_path / "b", {"b.bin": bytes(1000)}), cache, 2000)
    assert (place / "a.bin").read_bytes() == bytes(1000)
    ended(first)
    assert used(tmp_path / "b" / "weights.zip", cache, 2000).is_dir()
    assert not place.exists()


def test_of_processes_at_once_one_unpacks_and_all_find_it(tmp_path: Path) -> None:
    data, cache = archive(tmp_path / "data", {f"{n}.bin": os.urandom(100_000) for n in range(20)}), tmp_path / "cache"
    processes = [begun(data, cache) for _ in range(4)]
    (place,) = {place_of(process) for process in processes}
    with zipfile.ZipFile(data) as told:
        assert all((place / name).read_bytes() == told.read(name) for name in told.namelist())
    ended(*processes)
    assert sorted(one.suffix for one in cache.iterdir()) == ["", ".lock"]


def test_two_that_are_filled_at_once_stay_within_the_bound(tmp_path: Path) -> None:
    """One unpacks when the other begins, which waits, and is refused because the first is in use."""
    cache = tmp_path / "cache"
    first = archive(tmp_path / "a", {"a.bin": bytes(1000)})
    waiting = "from dcm_processor_service.runtime import data_cache as c\nm = c._make_room\n"
    waiting += "def late(*a):\n    m(*a); print('room', flush=True); sys.stdin.readline()\nc._make_room = late\n"
    code = USE.replace("data, cache, most", waiting + "data, cache, most", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, str(first), str(cache), "1500"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as filling:
        assert str(place_of(filling)) == "room"
        second = begun(archive(tmp_path / "b", {"b.bin": bytes(1000)}), cache, 1500)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1.5)
        assert filling.stdin is not None
        filling.stdin.write("\n")
        filling.stdin.flush()
        assert place_of(filling).is_dir()
        second.communicate("\n")
        assert second.returncode == 1
        filling.communicate("\n")
    assert len([*cache.glob("*/content")]) == 1


def test_a_process_killed_while_it_unpacks_leaves_nothing_that_passes_for_data(tmp_path: Path) -> None:
    data, cache = archive(tmp_path / "data"), tmp_path / "cache"
    dying = "import os\nos.rename = Path.rename = lambda *_: os.kill(os.getpid(), 9)\n"
    killing = USE.replace("data, cache, most", dying + "data, cache, most", 1)
    words = [sys.executable, "-c", killing, str(data), str(cache), str(MUCH)]
    killed = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [one.suffix for one in sorted(cache.iterdir())] == [".lock", ".part"]
    assert (used(data, cache) / "weights.bin").read_bytes() == FILES["weights.bin"]
    assert not list(cache.glob("*.part"))


def test_what_another_killed_process_left_goes_with_the_next_filling(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    left = cache / f"{'a' * 64}.part"
    left.mkdir(parents=True)
    (left / "half.bin").write_bytes(bytes(100))
    left.with_suffix(".lock").touch()
    used(archive(tmp_path / "data"), cache)
    assert not left.exists()


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt"])
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="leads out of its folder"):
        used(archive(tmp_path / "data", {name: b"x"}), tmp_path / "cache")
    assert not (tmp_path / "out.txt").exists()


def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    data = archive(tmp_path / "data")
    content = bytearray(data.read_bytes())
    content[40:60] = bytes(20)
    data.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a zip file that can be unpacked"):
        used(data, tmp_path / "cache")
    assert [one.suffix for one in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_every_kind_of_packing_is_the_archive_s_fault(tmp_path: Path, kind: int) -> None:
    for number in range(9, 60, 3):
        data = tmp_path / f"data-{number}" / "weights.zip"
        data.parent.mkdir()
        with zipfile.ZipFile(data, "w", kind) as made:
            made.writestr("weights.bin", bytes(range(200)))
        content = bytearray(data.read_bytes())
        content[41 + number] ^= 0xFF
        data.write_bytes(content)
        with pytest.raises(ConfigurationError, match="not a zip file that can be unpacked"):
            used(data, tmp_path / "cache")


@pytest.mark.parametrize(
    "error", [lzma.LZMAError(), struct.error(), UnicodeDecodeError("ascii", b"", 0, 0, ""), OSError("x")]
)
def test_what_a_damaged_archive_makes_python_raise_is_its_fault(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(ConfigurationError, match="not a zip file that can be unpacked"), damage_as_error(tmp_path):
        raise error


def test_what_the_disk_refuses_is_not_the_archive_s_fault(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), damage_as_error(tmp_path):
        raise PermissionError(13, "refused")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    data = archive(tmp_path / "data")
    link = zipfile.ZipInfo("latest.bin")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(data, "a") as made:
        made.writestr(link, "weights.bin")
    with pytest.raises(ConfigurationError, match="holds a symbolic link"):
        used(data, tmp_path / "cache")


def test_a_context_has_the_unpacked_data(tmp_path: Path) -> None:
    data, cache = archive(tmp_path / "data"), tmp_path / "cache"
    ctx = fake_context(data_dir=data.parent, data_cache=cache)
    assert ctx.data_dir is not None
    assert (ctx.data_dir / "nested" / "labels.txt").read_text() == "lung\n"
