"""Files that a job stored, and files that were left out of an input."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["DUPLICATE", "NO_UIDS", "LeftOutFile", "StoredFile", "left_out_sentences", "printable"]

NO_UIDS = "without a readable StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"
DUPLICATE = "the same instance as another file"


class StoredFile(BaseModel):
    """The description of one session file, without its content, which is fetched separately.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> stored = fake_context().session.files.put("report.txt", b"no finding")
        >>> stored.name, stored.size_bytes, stored.content_type
        ('report.txt', 10, 'text/plain')
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: str = Field(description="The store's id of this version of the file; a replacement has a new id")
    job_id: str
    name: str
    size_bytes: int
    content_type: str = "application/octet-stream"
    sha256: str | None = Field(default=None, description="Hexadecimal; None where another program stored the file")
    metadata: dict[str, Any] = Field(default_factory=dict, repr=False)
    uploaded_at: datetime | None = None


class LeftOutFile(BaseModel):
    """A file, or a folder with all it holds, that was found in a folder of DICOM files and is not used.

    Example:
        >>> LeftOutFile.at("scans/notes.txt", "not readable as DICOM")
        LeftOutFile(reason='not readable as DICOM', faulty=False)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    path: str = Field(
        repr=False, description="Path that begins with the folder as it was given; may hold a patient's name"
    )
    reason: str = Field(description="What is wrong with it, as the end of the sentence 'the file is …'")
    faulty: bool = Field(
        default=False,
        description="Whether an instance is missing: the file is damaged DICOM, or cannot be read and may be DICOM",
    )

    @classmethod
    def at(cls, path: str | os.PathLike[str], reason: str, *, faulty: bool = False) -> LeftOutFile:
        """Makes a record; a path of the file system becomes printable text."""
        return cls(path=printable(path), reason=reason, faulty=faulty)


def printable(path: str | os.PathLike[str]) -> str:
    """Returns a path as text that any output can hold: control characters and undecodable bytes are escaped.

    Example:
        >>> printable("a" + chr(27)) == "a" + chr(92) + "x1b"
        True
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(path))


def left_out_sentences(files: Iterable[LeftOutFile]) -> dict[str, list[str]]:
    """Returns the paths of left-out files by reason; each key is a sentence with their number and the reason.

    Example:
        >>> left_out_sentences([LeftOutFile.at("a.txt", "empty"), LeftOutFile.at("b.txt", "empty")])
        {'2 files left out: empty': ['a.txt', 'b.txt']}
    """
    paths: dict[str, list[str]] = {}
    for file in files:
        paths.setdefault(file.reason, []).append(file.path)
    return {
        f"{len(found)} {'file' if len(found) == 1 else 'files'} left out: {reason}": found
        for reason, found in paths.items()
    }
