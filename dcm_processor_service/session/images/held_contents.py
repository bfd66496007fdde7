"""Finds the contents of stored instances, so that DICOM files with the same UIDs can be compared with them.

This is for a store that keeps bytes, such as MongoDB; a store that refers to files knows their paths. The store returns
checksums. A file with the same checksum as an instance has the instance's content. Other contents are read from the
store, but only if a file with the instance's UID has a content that is not stored yet.
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
    """Returns files that have the contents of stored instances, by the ids of the instances.

    The result is empty if the store refers to files. Instances that need no comparison are not in it.

    Args:
        backend: The store.
        stored: The instances of a series that the store holds already.
        files: The files that are to be filed, by SOPInstanceUID.
        scratch: When it is closed, it removes the folder with the contents that were read from the store. That folder
            is made only if a content has to be read.

    Raises:
        LocalFileError: The system's temporary folder cannot be used, or is full.
    """
    checksums = await backend.fillable().checksums(stored)
    held_of: defaultdict[str, list[Instance]] = defaultdict(list)
    for one in stored:
        if one.id in checksums:
            held_of[one.sop_instance_uid].append(one)
    found: dict[str, Path] = {}
    unmatched: list[Instance] = []
    for uid, held in held_of.items():
        by_checksum = {_sha256(path): path for path in files.get(uid, ())}
        same = {one.id: by_checksum[checksums[one.id]] for one in held if checksums[one.id] in by_checksum}
        found |= same
        if len(set(same.values())) < len(by_checksum):  # a file of this UID has a content that is not stored yet
            unmatched += [one for one in held if one.id not in same]
    return found | await _read(backend, unmatched, scratch) if unmatched else found


async def _read(backend: Backend, instances: Sequence[Instance], scratch: ExitStack) -> dict[str, Path]:
    """Writes the contents of instances into files; skips instances that were removed meanwhile."""
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
    """Returns the SHA-256 of a file; empty if it cannot be read, which is reported later when the file is filed."""
    try:
        return file_sha256(path)
    except LocalFileError:
        return ""
