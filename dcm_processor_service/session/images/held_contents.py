"""Compares DICOM files with what a store holds of the same UIDs, where it keeps the content itself.

A store that refers to files is asked for their paths. One that keeps bytes, such as MongoDB, is asked for checksums,
and only a content that none of the files has is read out of it, to be compared.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.disk import file_faults, file_sha256
from dcm_processor_service.errors import LocalFileError, StoredFileNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from dcm_processor_service.models import Instance
    from dcm_processor_service.ports import Backend

__all__ = ["held_contents"]


async def held_contents(
    backend: Backend, stored: Sequence[Instance], files: Mapping[str, Sequence[Path]], scratch: ExitStack
) -> dict[str, Path]:
    """Returns by id a file with the content that the store holds; none for a store that refers to files.

    Args:
        backend: The store.
        stored: The instances of a series that the store holds already.
        files: By SOPInstanceUID, the files that are filed now.
        scratch: Removes at its end the folder of the contents that none of these files has; without such, no folder
            is made.

    Raises:
        LocalFileError: The system's temporary folder cannot be used, or is full.
    """
    checksums = await backend.fillable().checksums(stored)
    held_of: defaultdict[str, list[Instance]] = defaultdict(list)
    for one in stored:
        if one.id in checksums:
            held_of[one.sop_instance_uid].append(one)
    found: dict[str, Path] = {}
    unlike: list[Instance] = []
    for uid, held in held_of.items():
        by_checksum = {_sha256(path): path for path in files.get(uid, ())}
        same = {one.id: by_checksum[checksums[one.id]] for one in held if checksums[one.id] in by_checksum}
        found |= same
        if len(set(same.values())) < len(by_checksum):  # a file of the UID is new
            unlike += [one for one in held if one.id not in same]
    return found | await _read(backend, unlike, scratch) if unlike else found


async def _read(backend: Backend, instances: Sequence[Instance], scratch: ExitStack) -> dict[str, Path]:
    """Writes the contents of instances into files; one that is gone meanwhile is in nobody's way."""
    with file_faults("the system's temporary folder", "used"):
        folder = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="dcm-held-")))
    found: dict[str, Path] = {}
    for instance in instances:
        path = folder / instance.id
        try:
            async for _one, content in backend.dicom.fetch([instance]):
                with file_faults(path, "written"):
                    path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
                found[instance.id] = path
        except StoredFileNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    """Returns the SHA-256 of a file; empty if it is gone, which filing it tells."""
    try:
        return file_sha256(path)
    except LocalFileError:
        return ""
