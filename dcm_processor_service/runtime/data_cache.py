"""Keeps large data of a service, such as a model's weights, unpacked between jobs.

The platform unpacks a worker's data again for every job. If the data is itself one zip file, the platform only copies
it; this module unpacks it once, into a folder named by its SHA-256, which every later job finds. Before a job looks for
its entry, it takes a shared lock on it, and holds the lock until its process ends; a process that fills, repairs or
removes an entry holds an exclusive lock. An entry has another name until it is complete, so a killed process leaves
nothing that looks like an entry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from dcm_processor_service.disk import file_faults, file_sha256, is_file, is_folder, make_folder, sync_folder
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports.forks import SharedLock
from dcm_processor_service.runtime.data_archive import damage_as_error, listing, require_files_inside, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import fcntl

__all__ = ["cached_data_dir"]

_SUFFIX = ".zip"
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_MANIFEST, _LISTING, _CONTENT, _LOCK, _PART = "manifest.json", "listing.sha256", "content", ".lock", ".part"

_in_use: dict[Path, int] = {}
"""Descriptors of this process's lock files, by path; they stay open, so that no entry in use is removed."""

_one_thread = SharedLock()


class _Entry(NamedTuple):
    """One archive's place in the cache."""

    root: Path
    checksum: str

    @property
    def folder(self) -> Path:
        return self.root / self.checksum

    @property
    def part(self) -> Path:
        return self.root / f"{self.checksum}{_PART}"

    @property
    def lock(self) -> Path:
        return self.root / f"{self.checksum}{_LOCK}"


def cached_data_dir(data_dir: Path | None, cache: Path | None, most_bytes: int) -> Path | None:
    """Returns where a job finds its data: in the cache, or in ``data_dir`` if the data is not one zip file.

    Args:
        data_dir: Folder, or zip file, of the worker's data. ``weights.zip.sha256`` beside ``weights.zip`` may state its
            checksum, as sha256sum writes it, so that the file is read only when it is unpacked; a checksum
            file that is older than the archive is ignored.
        cache: Folder of the cache; None for no cache.
        most_bytes: How many bytes the cache may take.

    Raises:
        ConfigurationError: The archive is damaged, has a file that leads out of its folder, does not have the stated
            checksum, or does not fit into the cache.
        LocalFileError: Archive or cache cannot be read or written.
    """
    archive = None if data_dir is None or cache is None else _archive(data_dir)
    if archive is None or cache is None:
        return data_dir
    if sys.platform == "win32":
        raise ConfigurationError(
            "the data cache needs file locks, which this system does not have; leave DATA_CACHE out"
        )
    with file_faults(cache, "made"):
        make_folder(cache)
    entry = _Entry(cache.absolute(), _stated_checksum(archive) or file_sha256(archive))
    if _is_of_another(entry, archive):
        _require_checksum(entry, archive)
    with _one_thread, file_faults(cache, "used"):
        if entry.lock not in _in_use:
            _in_use[entry.lock] = os.open(entry.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        held = _in_use[entry.lock]
        _lock(held, exclusive=False)
        while not _is_whole(entry):
            _lock(held, exclusive=True)
            if not _is_whole(entry):  # no other process has filled it while this one waited
                with _alone(cache):
                    _fill(entry, archive, most_bytes)
            _lock(held, exclusive=False)
        os.utime(entry.lock)
    return entry.folder / _CONTENT


def _archive(data: Path) -> Path | None:
    """Returns the path of the zip file, if the data is one zip file; None if the data is a folder of other files."""
    if is_file(data):
        return data if data.suffix.lower() == _SUFFIX else None
    if not is_folder(data):
        return None
    with file_faults(data, "read"):
        found = [one for one in sorted(data.iterdir()) if not one.name.startswith(".")]
    archives = [one for one in found if one.suffix.lower() == _SUFFIX and is_file(one)]
    others = [one for one in found if one not in archives and one.suffix != ".sha256"]
    return archives[0] if len(archives) == 1 and not others else None


def _stated_checksum(archive: Path) -> str:
    """Returns the checksum in the file beside the archive; empty without such a file, or if the archive is newer.

    Raises:
        ConfigurationError: The file holds no checksum.
    """
    beside = archive.with_name(f"{archive.name}.sha256")
    if not is_file(beside):
        return ""
    with file_faults(beside, "read"):
        if beside.stat().st_mtime_ns < archive.stat().st_mtime_ns:  # it belongs to an earlier archive
            return ""
        word = beside.read_text(encoding="ascii", errors="replace").split(maxsplit=1)[:1]
    if not word or not _CHECKSUM.fullmatch(word[0].lower()):
        raise ConfigurationError(f"{str(beside)!r} holds no SHA-256; write it with sha256sum, or remove it")
    return word[0].lower()


if sys.platform != "win32":

    def _lock(descriptor: int, *, exclusive: bool) -> None:
        """Waits until this process has the lock; gives up a lock of the other kind that it holds."""
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)

    @contextmanager
    def _alone(cache: Path) -> Iterator[None]:
        """Lets one process at a time make room and unpack, because two would count on the same free space."""
        held = os.open(cache, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # a network file system may lock files, but no folders
                _lock(held, exclusive=True)
            yield
        finally:
            os.close(held)

    @contextmanager
    def _unused(path: Path) -> Iterator[bool]:
        """Locks an entry against other processes; yields False if one of them uses it."""
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

else:

    def _lock(_descriptor: int, *, exclusive: bool) -> None:
        raise NotImplementedError(exclusive)

    @contextmanager
    def _alone(_cache: Path) -> Iterator[None]:
        yield

    @contextmanager
    def _unused(_path: Path) -> Iterator[bool]:
        yield False


def _is_whole(entry: _Entry) -> bool:
    """Returns whether every file of an entry is there with its original content."""
    try:
        recorded = json.loads((entry.folder / _MANIFEST).read_text(encoding="utf-8"))
        content = entry.folder / _CONTENT
        names = {str(one.relative_to(content)) for one in content.rglob("*") if not one.is_dir()}
        return names == {*recorded} and all(file_sha256(content / name) == recorded[name] for name in recorded)
    except (OSError, ValueError, TypeError):  # the entry is missing or incomplete
        return False


def _is_of_another(entry: _Entry, archive: Path) -> bool:
    """Returns whether an entry was filled from another archive than this one, for which the same checksum is stated."""
    try:
        recorded = (entry.folder / _LISTING).read_text(encoding="ascii")
    except OSError:  # not filled yet
        return False
    return recorded != listing(archive)


def _require_checksum(entry: _Entry, archive: Path) -> None:
    if file_sha256(archive) != entry.checksum:
        raise ConfigurationError(
            f"{str(archive)!r} does not have the SHA-256 that its .sha256 file states; get it again, or correct the "
            "checksum"
        )


def _fill(entry: _Entry, archive: Path, most_bytes: int) -> None:
    """Unpacks an archive into its entry, which this process has locked."""
    for left in (entry.folder, entry.part):  # they are damaged, or left by a process that was killed
        if left.exists():
            shutil.rmtree(left)
    _require_checksum(entry, archive)
    try:
        with damage_as_error(archive), zipfile.ZipFile(archive) as opened:
            files = [one for one in opened.infolist() if not one.is_dir()]
            require_files_inside(archive, files)
            _make_room(entry, sum(one.file_size for one in files), most_bytes)
            recorded = {str(PurePosixPath(one.filename)): unpack(opened, one, entry.part / _CONTENT) for one in files}
        (entry.part / _CONTENT).mkdir(parents=True, exist_ok=True)
        (entry.part / _LISTING).write_text(listing(archive), encoding="ascii")
        with (entry.part / _MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(recorded, file)
            file.flush()
            os.fsync(file.fileno())
        entry.part.rename(entry.folder)
        sync_folder(entry.root)
    except BaseException:
        shutil.rmtree(entry.part, ignore_errors=True)
        raise


def _make_room(own: _Entry, need_bytes: int, most_bytes: int) -> None:
    """Removes entries that no job uses, the least recently used first, until there is room.

    Raises:
        ConfigurationError: There is not enough room.
    """
    locks = sorted((one for one in own.root.glob(f"*{_LOCK}") if one != own.lock), key=_used_at)
    sizes = {one: _size(one) for one in locks}
    total_bytes = sum(sizes.values())
    for lock in locks:
        other = _Entry(own.root, lock.name.removesuffix(_LOCK))
        if total_bytes + need_bytes <= most_bytes and not other.part.exists():
            continue
        with _unused(lock) as free:
            if not free:
                continue
            shutil.rmtree(other.part, ignore_errors=True)
            if total_bytes + need_bytes > most_bytes:
                shutil.rmtree(other.folder, ignore_errors=True)
            total_bytes += _size(lock) - sizes[lock]
    if total_bytes + need_bytes > most_bytes:
        raise ConfigurationError(
            f"the data takes {need_bytes} bytes unpacked, and the data cache may hold {most_bytes}, of which running "
            f"jobs use {total_bytes}; raise DCM_PROCESSOR_SERVICE_DATA_CACHE_BYTES, or leave DATA_CACHE out"
        )


def _used_at(lock: Path) -> float:
    with suppress(OSError):
        return lock.stat().st_mtime
    return 0.0


def _size(lock: Path) -> int:
    """Returns the size of an entry, complete or not, in bytes."""
    entry = _Entry(lock.parent, lock.name.removesuffix(_LOCK))
    total_bytes = 0
    for folder in (entry.folder, entry.part):
        for one in folder.rglob("*"):
            with suppress(OSError):
                total_bytes += 0 if one.is_dir() else one.stat().st_size
    return total_bytes
