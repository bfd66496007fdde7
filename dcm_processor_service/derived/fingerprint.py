"""Makes digests that show whether two objects have the same content, apart from the times when they were made."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dcm_processor_service.imaging.headers.instance_file import contained

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["fingerprint"]

_TIMES_OF_MAKING = frozenset({
    "SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime",
    "ContributionDateTime", "StructureSetDate", "StructureSetTime", "PresentationCreationDate",
    "PresentationCreationTime",
})  # fmt: skip


def fingerprint(dataset: Dataset) -> str:
    """Returns a digest of all elements of an object except the times of its making.

    Example:
        >>> from pydicom import Dataset
        >>> one, other = Dataset(), Dataset()
        >>> one.PatientID = other.PatientID = "P1"
        >>> other.ContentDate = "20250102"
        >>> fingerprint(one) == fingerprint(other)
        True
    """
    digest = hashlib.blake2b(digest_size=16)
    with contained():
        _add(digest, dataset)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, dataset: Dataset) -> None:
    for element in dataset:
        if element.keyword in _TIMES_OF_MAKING:
            continue
        digest.update(f"{int(element.tag):08x}{element.VR}".encode())
        if element.VR == "SQ":
            for item in element.value or ():
                digest.update(b"(")
                _add(digest, item)
                digest.update(b")")
        else:
            value = element.value
            digest.update(value if isinstance(value, bytes) else repr(value).encode())
