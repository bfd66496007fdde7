"""The folder for temporary files of one process: made at first use, removed at the process's end or by a later one.

The folder holds patient data, and a killed process cannot remove it. So each folder contains a claim file, which its
process keeps locked as long as it lives. A process that makes a scratch first removes the folders whose claim files are
not locked.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

from dcm_processor_service.disk import claim_file, file_faults
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports.forks import OfOneProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Scratch", "open_scratch"]

_PREFIX = "dcm-processor-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")
_CLAIM = ".claimed"


@dataclass(frozen=True)
class _OwnFolder:
    """The folder of one process; ``claim`` is the claim file, which is locked as long as it is open."""

    path: Path
    claim: BinaryIO
    process: int

    def remove(self) -> None:
        """Removes the folder; a forked child, to which the folder does not belong, only closes the claim file."""
        if self.process == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)
        self.claim.close()


class Scratch:
    """A folder for temporary files, readable by this user alone; a forked child makes one of its own."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._own = OfOneProcess(self._make)

    def folder(self, name: str, need_bytes: int = 0) -> Path:
        """Returns the folder ``name``; makes it if it is missing.

        Raises:
            ConfigurationError: The disk has less than ``need_bytes`` free, or the folder cannot be made.
        """
        own = self._own.get().path
        with file_faults(own, "used", ConfigurationError):
            free_bytes = shutil.disk_usage(own).free
        if free_bytes < need_bytes:
            raise ConfigurationError(
                f"the temporary folder has {free_bytes} bytes free, {need_bytes} are needed; free space or set "
                "DCM-PROCESSOR-SERVICE-SCRATCH to a larger disk"
            )
        folder = own / name
        with self._making():
            folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Makes a folder that is removed at the end of the block.

        Raises:
            ConfigurationError: The folder cannot be made.
        """
        own = self._own.get().path
        with self._making():
            folder = Path(tempfile.mkdtemp(dir=own))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _make(self) -> _OwnFolder:
        with self._making():
            parent = Path(self._parent or tempfile.gettempdir())
            _remove_abandoned(parent)
            while True:
                path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
                with suppress(FileNotFoundError):  # another process believed it abandoned and removed it: make another
                    claim = claim_file(path / _CLAIM, new=True)
                    if claim is not None:
                        break
        own = _OwnFolder(path, claim, os.getpid())
        finalize(self, own.remove)  # removes it even if the caller never calls remove()
        return own

    @contextmanager
    def _making(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"no temporary folder can be made: {error.strerror}; set DCM-PROCESSOR-SERVICE-SCRATCH to a folder "
                "that this process may write to"
            ) from error

    def remove(self) -> None:
        """Removes the folder with everything in it."""
        own = self._own.take()
        if own is not None:
            own.remove()


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders of processes that have ended without removing them."""
    with os.scandir(parent) as entries:
        found = [Path(entry) for entry in entries if _NAME.fullmatch(entry.name) and _is_own_folder(entry)]
    for folder in found:
        try:
            claim = claim_file(folder / _CLAIM)
        except FileNotFoundError:  # its process was killed before it made the claim
            with suppress(OSError):
                folder.rmdir()
        except OSError:  # it cannot be opened, so that its process may still be running
            continue
        else:
            if claim is not None:
                with claim:
                    shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # its process is just removing it
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


@contextmanager
def open_scratch(parent: Path | None) -> Iterator[Scratch]:
    """Yields a scratch that is removed at the end."""
    scratch = Scratch(parent)
    try:
        yield scratch
    finally:
        scratch.remove()
