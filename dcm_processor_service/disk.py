"""Files of this machine: written whole or not at all, and what is in the way of using them in this package's words."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import DcmProcessorError, LocalFileError, LocalFileNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["exists", "file_faults", "is_file", "is_folder", "open_to_read", "private_folder", "write_whole"]

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""Permissions of what holds patient data: its owner's alone."""


@contextmanager
def file_faults(
    path: str | os.PathLike[str],
    verb: str,
    error: type[DcmProcessorError] = LocalFileError,
    faults: tuple[type[Exception], ...] = (OSError, ValueError),
) -> Iterator[None]:
    """Turns what the system says about a path into an error that names it.

    Args:
        path: The file or folder that the block works on.
        verb: What the block does to it, such as ``written``.
        error: What to raise.
        faults: What counts; ValueError is what Python says of a path with a NUL or a lone surrogate.
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
    """Returns whether there is a file at a path; there is none where the name is more than the system can take."""
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


@contextmanager
def write_whole(
    path: Path, *, durable: bool = False, error: type[DcmProcessorError] = LocalFileError
) -> Iterator[BinaryIO]:
    """Opens a temporary file in the folder of ``path`` that takes that name when the block ends without an error.

    A reader sees what was there before or all of the new content. The folder is made when it is missing. The file has
    the permissions that any new file of this process has.

    Args:
        path: The file.
        durable: Whether content and name survive a power cut from the end of the block on.
        error: What to raise.

    Raises:
        DcmProcessorError: Of the kind ``error``: the file cannot be written. What was there before is there still.
    """
    with file_faults(path, "written", error):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):  # to replace a device would break it for all who use it
                raise OSError("there is something of this name that is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        file = temporary.open("xb")
    try:
        with file_faults(path, "written", error, (OSError,)), file:  # a ValueError is of who writes
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with file_faults(path, "written", error):
            temporary.replace(path)
            if durable and os.name == "posix":
                _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def private_folder(root: Path, *parts: str) -> Path:
    """Makes the folder ``parts`` below ``root``, each level for its owner alone; returns its path.

    Raises:
        LocalFileError: It cannot be made, or a level below ``root`` is a link: who planted it chose where patient data
            would be written.
    """
    folder = root
    with file_faults(root, "made"):
        root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    for part in parts:
        folder = folder / part
        with file_faults(folder, "made"):
            with suppress(FileExistsError):
                folder.mkdir(mode=PRIVATE_FOLDER)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise OSError("it is a link or a file in place of a folder")
    return folder


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
