"""Notes which files a run placed into a folder of results, so that a later run removes these files and no others.

The note lies beside the folder, so that no file of a job can have its path.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from dcm_processor_service.codec import check_name
from dcm_processor_service.disk import file_faults, write_whole
from dcm_processor_service.errors import InvalidNameError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["note_placed", "remove_placed"]


def note_placed(folder: Path, names: Iterable[str]) -> None:
    """Notes the names of files that are about to be placed into a folder.

    Raises:
        LocalFileError: The note cannot be written.
    """
    with write_whole(_note(folder), private=True) as file:
        file.write(json.dumps(sorted(set(names))).encode())


def remove_placed(folder: Path) -> None:
    """Removes the files that an earlier run placed into a folder; without a note, it removes none.

    It follows no link to a folder.

    Raises:
        LocalFileError: A file cannot be removed.
    """
    with file_faults(folder, "emptied"):
        for name in _noted(folder):
            _remove(folder, name)
        _note(folder).unlink(missing_ok=True)


def _note(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.placed.json")


def _noted(folder: Path) -> list[str]:
    try:
        noted = json.loads(_note(folder).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return [one for one in noted if isinstance(one, str)] if isinstance(noted, list) else []


def _remove(folder: Path, name: str) -> None:
    try:
        parts = check_name(name, "file").split("/")
    except InvalidNameError:
        return
    place, folders = folder, []
    for part in parts[:-1]:
        place = place / part
        if place.is_symlink() or not place.is_dir():
            return
        folders.append(place)
    own = place / parts[-1]
    if own.is_symlink() or own.is_file():
        own.unlink(missing_ok=True)
    for one in reversed(folders):
        with suppress(OSError):  # someone else's file lies in it
            one.rmdir()
