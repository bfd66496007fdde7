"""Checks and unpacks a zip file of a service's data."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["damage_as_error", "listing", "require_files_inside", "unpack"]

_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    UnicodeError,
    EOFError,
    NotImplementedError,
)
"""The errors that unpacking raises for damaged data; in addition, bzip2 raises an OSError without a number."""
_TWO_OF_A_NAME = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""The errors of the disk for an archive that has two files of one name, or a file and a folder of one name."""


def unpack(archive: zipfile.ZipFile, one: zipfile.ZipInfo, folder: Path) -> str:
    """Writes one file to the disk; returns its SHA-256."""
    place = folder / one.filename
    place.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(one) as content, place.open("xb") as file:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    place.chmod(0o444)  # all jobs read this file, so none may change it
    return digest.hexdigest()


def require_files_inside(archive: Path, files: list[zipfile.ZipInfo]) -> None:
    """Checks that an archive holds readable files of one folder and nothing else.

    Raises:
        ConfigurationError: A file would lead out of the folder, is a link or is encrypted.
    """
    for one in files:
        place = PurePosixPath(one.filename)
        if place.is_absolute() or ".." in place.parts or "\\" in one.filename:
            raise ConfigurationError(f"{str(archive)!r} holds a file that leads out of its folder; pack it again")
        if stat.S_IFMT(one.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise ConfigurationError(
                f"{str(archive)!r} holds a symbolic link, or something else that is not a file; pack the files "
                "themselves"
            )
        if one.flag_bits & _ENCRYPTED:
            raise ConfigurationError(f"{str(archive)!r} is encrypted; pack it without a password")


@contextmanager
def damage_as_error(archive: Path) -> Iterator[None]:
    """Turns every error about a damaged archive into one kind of error; errors of the disk are raised unchanged.

    Raises:
        ConfigurationError: The archive cannot be unpacked.
    """
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, _TWO_OF_A_NAME):
            raise
        raise ConfigurationError(
            f"{str(archive)!r} is not a zip file that can be unpacked ({type(error).__name__}); get it again"
        ) from error


def listing(archive: Path) -> str:
    """Returns the SHA-256 of the archive's list of files, with their sizes and checksums; unpacks no file.

    Raises:
        ConfigurationError: The archive has no list that can be read.
    """
    with damage_as_error(archive), zipfile.ZipFile(archive) as opened:
        members = [(one.filename, one.file_size, one.CRC) for one in opened.infolist()]
    return hashlib.sha256(repr(members).encode("utf-8", "surrogateescape")).hexdigest()
