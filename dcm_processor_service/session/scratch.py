"""Temporary files of one process: made at the first use, removed at the end."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.disk import file_faults
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Scratch", "open_scratch"]


class Scratch:
    """A folder for temporary files, readable by this user alone: what lies in it is patient data."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._folder: Path | None = None

    def folder(self, name: str, need_bytes: int = 0) -> Path:
        """Gives the folder ``name``, made when it is not there yet.

        Raises:
            ConfigurationError: The disk has less than ``need_bytes`` free, or the folder cannot be made.
        """
        if self._folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="dcm-processor-", dir=self._parent))
            except OSError as error:
                raise ConfigurationError(
                    f"no temporary folder can be made: {error.strerror}; set DCM-PROCESSOR-SERVICE-SCRATCH to a folder "
                    "that this process may write to"
                ) from error
        with file_faults(self._folder, "used", ConfigurationError):
            free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes < need_bytes:
            raise ConfigurationError(
                f"the temporary folder has {free_bytes} bytes free, {need_bytes} are needed; free space or set "
                "DCM-PROCESSOR-SERVICE-SCRATCH to a larger disk"
            )
        folder = self._folder / name
        with file_faults(folder, "made", ConfigurationError):
            folder.mkdir(exist_ok=True)
        return folder

    def remove(self) -> None:
        """Removes everything."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@contextmanager
def open_scratch(parent: Path | None) -> Iterator[Scratch]:
    """Gives a scratch that is removed at the end."""
    scratch = Scratch(parent)
    try:
        yield scratch
    finally:
        scratch.remove()
