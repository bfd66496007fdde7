"""Unpacks scans that come as a zip file into a folder, before they are read."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dcm_processor_service.disk import file_faults, is_file, private_folder, write_whole
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_zipped", "unzipped"]

_SUFFIX = ".zip"
_ENCRYPTED = 0x1


def is_zipped(path: Path) -> bool:
    """Returns whether a path names a zip file, as opposed to a folder or a DICOM file."""
    return path.suffix.lower() == _SUFFIX and is_file(path)


def unzipped(path: Path, root: Path) -> Path:
    """Unpacks a zip file into a folder of its own below ``root``, unless it is unpacked already; returns the folder.

    Raises:
        ConfigurationError: The zip file is damaged or encrypted, holds a path that leads out of the folder, or needs
            more space than there is.
        LocalFileError: It cannot be read, or the folder cannot be written.
    """
    with file_faults(path, "read"):
        status = path.stat()
    state = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    folder = private_folder(root, hashlib.sha256(state.encode(errors="surrogatepass")).hexdigest()[:16])
    done = folder.with_suffix(".done")  # beside it: a folder of scans holds nothing else
    if is_file(done):
        return folder
    with _damage_as_error(path), file_faults(path, "read"), zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        _refuse(path, entries, folder)
        for entry in entries:
            *parts, name = PurePosixPath(entry.filename).parts
            place = private_folder(folder, *parts) / name
            with archive.open(entry) as content, write_whole(place, private=True) as file:
                shutil.copyfileobj(content, file)
    done.touch()
    return folder


def _refuse(path: Path, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    """Refuses what must not or cannot be unpacked, before anything is written."""
    for entry in entries:
        place = PurePosixPath(entry.filename)
        if place.is_absolute() or ".." in place.parts or not place.parts or "\\" in entry.filename:
            raise ConfigurationError(f"{str(path)!r} holds a file that leads out of its folder; unpack it by hand")
        if entry.flag_bits & _ENCRYPTED:
            raise ConfigurationError(f"{str(path)!r} is encrypted; unpack it, and give the folder")
    need_bytes = sum(entry.file_size for entry in entries)
    free_bytes = shutil.disk_usage(folder).free
    if need_bytes > free_bytes:
        raise ConfigurationError(
            f"{str(path)!r} holds {need_bytes} bytes unpacked, and {free_bytes} are free in {str(folder)!r}; free some "
            "space, or unpack it elsewhere and give the folder"
        )


@contextmanager
def _damage_as_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{str(path)!r} is not a zip file that can be unpacked ({error}); get it again, or give a folder"
        ) from error
