"""Translates errors of SQLite and of the system about a workspace into this package's errors.

Python 3.10 does not report SQLite's error codes, so this module recognises errors by SQLite's messages, which are part
of SQLite's interface.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dcm_processor_service.errors import (
    DcmProcessorError,
    StoredValueError,
    StoreError,
    StoreUnavailableError,
    UnsupportedValueError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["DISK_FULL", "absent", "is_locked", "read_only", "translated"]

DISK_FULL = "database or disk is full"
_LOCKED = "is locked"
_READ_ONLY = "readonly database"
_MALFORMED = "malformed JSON"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def is_locked(error: sqlite3.Error) -> bool:
    """Returns whether the error means that another process is writing."""
    return _LOCKED in str(error)


def absent(folder: Path) -> StoreError:
    """Returns the error for a read of a workspace that nothing has made; a read makes none."""
    what = "the folder has none" if folder.is_dir() else "there is no such folder"
    return StoreError(
        f"there is no workspace in {str(folder)!r}: {what}; correct the path, or make one: dcm-processor-service run … "
        f"--workspace {folder}"
    )


def read_only(folder: Path) -> StoreError:
    """Returns the error for a write to a workspace that this process may only read."""
    return StoreError(
        f"the workspace {str(folder)!r} is read-only: it can be read, not written; choose a folder that you may write "
        "to, or ask its owner for the permission"
    )


def _unknown() -> int:
    return 0


@contextmanager
def translated(folder: Path, need_bytes: Callable[[], int] = _unknown) -> Iterator[None]:
    """Turns errors of SQLite and of the system into errors that name the workspace and say what to do.

    Args:
        folder: The workspace.
        need_bytes: Returns how many bytes the block writes; 0 if that is not known.
    """
    try:
        yield
    except DcmProcessorError:  # some of these are also an OSError
        raise
    except (UnicodeEncodeError, OverflowError) as error:
        raise UnsupportedValueError(
            "a name or an id holds lone surrogates or an integer beyond 64 bits, which SQLite cannot store"
        ) from error
    except sqlite3.Error as error:
        raise _of_sqlite(error, folder, need_bytes) from error
    except OSError as error:
        raise _of_system(error, folder, need_bytes) from error


def _of_sqlite(error: sqlite3.Error, folder: Path, need_bytes: Callable[[], int]) -> StoreError:
    text, place = str(error), str(folder)
    if _MALFORMED in text:
        return StoredValueError(
            f"the workspace database in {place!r} holds a damaged document: {error}; restore it or start a new one"
        )
    if not isinstance(error, sqlite3.OperationalError):
        return StoredValueError(
            f"the workspace database in {place!r} is damaged: {error}; restore it or start a new one"
        )
    if is_locked(error):
        return StoreUnavailableError(
            f"another process is writing to the workspace {place!r} and has not ended in time ({error}); try again, "
            "or give DCM-PROCESSOR-SERVICE-STORE-TIMEOUT-S more seconds"
        )
    if DISK_FULL in text:
        return _full(text, folder, need_bytes)
    if _READ_ONLY in text:
        return read_only(folder)
    return StoreUnavailableError(
        f"the workspace database in {place!r} cannot be used: {error}; check the folder, its permissions and its disk"
    )


def _of_system(error: OSError, folder: Path, need_bytes: Callable[[], int]) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        return _full(reason, folder, need_bytes)
    if error.errno in _FORBIDDEN:
        return StoreError(
            f"the workspace {str(folder)!r} cannot be used: {reason}; choose a folder that you may write to"
        )
    return StoreUnavailableError(
        f"the workspace {str(folder)!r} cannot be used: {reason}; check the folder, its permissions and its disk"
    )


def _full(reason: str, folder: Path, need_bytes: Callable[[], int]) -> StoreError:
    free = shutil.disk_usage(folder).free
    needed = need_bytes()
    need = f"{needed} bytes are needed, " if needed else ""
    return StoreUnavailableError(
        f"the workspace {str(folder)!r} cannot be written: {reason}; {need}{free} bytes are free on its disk; free "
        "space, or move the workspace to a larger disk"
    )
