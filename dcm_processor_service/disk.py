"""Writes files of this machine completely or not at all, locks them for one process, and explains system errors."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import DcmProcessorError, LocalFileError, LocalFileNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = [
    "claim_file",
    "exists",
    "file_faults",
    "file_sha256",
    "is_file",
    "is_folder",
    "make_folder",
    "open_new",
    "open_to_read",
    "private_folder",
    "sync_folder",
    "write_whole",
]

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Permissions of our own files and folders with patient data: for this user alone."""


@contextmanager
def file_faults(
    path: str | os.PathLike[str],
    verb: str,
    error: type[DcmProcessorError] = LocalFileError,
    faults: tuple[type[Exception], ...] = (OSError, ValueError),
) -> Iterator[None]:
    """Turns errors of the system about a path into an error of this package that names the path.

    Args:
        path: The file or folder that the block works on.
        verb: What the block does to it, such as ``written``.
        error: The class to raise.
        faults: Classes of errors to turn; Python raises ValueError for a path with a NUL or a lone surrogate.
    """
    try:
        yield
    except DcmProcessorError:  # some are an OSError too
        raise
    except faults as fault:
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        kind = LocalFileNotFoundError if isinstance(fault, FileNotFoundError) and error is LocalFileError else error
        raise kind(f"{str(path)!r} cannot be {verb}: {reason}; check the path, its permissions and its disk") from fault


def is_file(path: str | os.PathLike[str]) -> bool:
    """Returns whether there is a file at a path; False if the name is too long for the system."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib's raises for a long name


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Returns whether there is a folder at a path, see :func:`is_file`."""
    return os.path.isdir(path)  # noqa: PTH112  pathlib's raises for a long name


def exists(path: str | os.PathLike[str]) -> bool:
    """Returns whether there is anything at a path, see :func:`is_file`."""
    return os.path.exists(path)  # noqa: PTH110  pathlib's raises for a long name


@contextmanager
def open_to_read(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file to read its bytes.

    Raises:
        LocalFileError: There is no file, or it cannot be opened.
    """
    with file_faults(path, "read"):
        place = Path(path)
        file = place.open("rb")
    with file:
        yield file


def open_new(path: Path, *, private: bool) -> BinaryIO:
    """Makes a file and opens it to write; follows no link, and opens no file that exists already.

    Raises:
        OSError: The file cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, PRIVATE_FILE if private else 0o666), "wb")


def make_folder(path: Path, *, private: bool = False, durable: bool = False) -> None:
    """Makes a folder and those above it, unless they are there.

    Args:
        path: The folder.
        private: Whether only this user may read the new folders.
        durable: Whether the new folders survive a power cut.

    Raises:
        OSError: A folder cannot be made, or something else has its name.
    """
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(PRIVATE_FOLDER if private else 0o777, exist_ok=True)
        if durable:
            sync_folder(folder.parent)
    _require_folder(path)


def _require_folder(path: Path) -> None:
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "there is something of this name that is not a folder")


def claim_file(path: Path, *, new: bool = False) -> BinaryIO | None:
    """Opens a file and locks it for this process, until the process closes the file or ends, even by a kill.

    Returns:
        The open file; None if another process has locked it, or has just removed it. Windows has no such locks: there,
        None unless ``new`` is given.

    Raises:
        OSError: The file cannot be opened: it does not exist, or exists already if ``new`` is given, or is a link.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (os.O_CREAT | os.O_EXCL if new else 0)
    descriptor = os.open(path, flags, PRIVATE_FILE)
    if _claimed(descriptor, new=new):
        return os.fdopen(descriptor, "r+b", buffering=0)
    os.close(descriptor)
    return None


if sys.platform == "win32":

    def _claimed(_descriptor: int, *, new: bool) -> bool:
        return new

else:

    def _claimed(descriptor: int, *, new: bool) -> bool:
        del new
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return os.fstat(descriptor).st_nlink > 0  # the process that locked it before may have removed it


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hexadecimal digits.

    Raises:
        LocalFileError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with file_faults(path, "read"), path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def write_whole(
    path: Path, *, durable: bool = False, private: bool = False, error: type[DcmProcessorError] = LocalFileError
) -> Iterator[BinaryIO]:
    """Opens a temporary file beside ``path``, which is renamed to ``path`` when the block ends without an error.

    A reader sees either the earlier file or all of the new content. If ``path`` is a link, the link is replaced and not
    followed. The folder is made when it is missing.

    Args:
        path: The file.
        durable: Whether content and name survive a power cut from the end of the block on.
        private: Whether this user alone may read it; else it has the permissions that any new file of this process has.
        error: The class to raise.

    Raises:
        DcmProcessorError: The file cannot be written; the class is ``error``. An earlier file is still there.
    """
    with file_faults(path, "written", error):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):  # to replace a device would break it for all who use it
                raise OSError("there is something of this name that is not a file")
        make_folder(path.parent, private=private, durable=durable)
        temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        file = open_new(temporary, private=private)
    try:
        with file_faults(path, "written", error, (OSError,)), file:  # a ValueError is the caller's own
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with file_faults(path, "written", error):
            temporary.replace(path)
            if durable:
                sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def private_folder(root: Path, *parts: str) -> Path:
    """Makes the folder ``parts`` below ``root``, each level for its owner alone; returns its path.

    Raises:
        LocalFileError: It cannot be made, or a level below ``root`` is a link: whoever made the link could choose where
            patient data is written.
    """
    folder = root
    with file_faults(root, "made"):
        make_folder(root, private=True)
    for part in parts:
        folder = folder / part
        with file_faults(folder, "made"):
            with suppress(FileExistsError):
                folder.mkdir(PRIVATE_FOLDER)
            if folder.is_symlink():
                raise LocalFileError(
                    f"{str(folder)!r} is a link, through which patient data would be written elsewhere; remove it"
                )
            _require_folder(folder)
    return folder


def sync_folder(folder: Path) -> None:
    """Writes the names in a folder to the disk, so that they survive a power cut; does nothing on Windows.

    Raises:
        OSError: The disk does not write them.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
