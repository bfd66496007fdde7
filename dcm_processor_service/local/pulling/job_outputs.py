"""Copies what the jobs of a session stored: values, text files and DICOM files, without the patient's identity."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from dcm_processor_service.codec import check_name
from dcm_processor_service.errors import InvalidNameError, UnreadableFileError
from dcm_processor_service.local.pulling.reading import read_dataset
from dcm_processor_service.local.pulling.report import LeftBehind
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.ports import JobKey, NewFile

if TYPE_CHECKING:
    from dcm_processor_service.local.pulling.headers import HeaderCleaner
    from dcm_processor_service.local.pulling.substitution import Substitution
    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.ports import Backend

__all__ = ["OutputCopy"]

_DICOM_PREFIX = slice(128, 132)
_MOST_TEXT_BYTES = 64 * 1024 * 1024
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class OutputCopy:
    """Copies what jobs stored from one store into another."""

    source: Backend
    target: Backend
    to: Substitution
    cleaner: HeaderCleaner | None
    """None if everything is copied as it is."""

    with_files: bool
    only_headers: bool

    async def learn(self, key: JobKey) -> None:
        """Learns the patient's values from the headers of a job's DICOM files, before any output is copied."""
        for stored in await self.source.files.list(key) if self.cleaner else ():
            with tempfile.TemporaryFile() as content:
                await self.source.files.fetch(key, stored.name, content)
                with suppress(UnreadableFileError):
                    if self.cleaner and _is_dicom(content):
                        self.cleaner.learn(read_dataset(_all(content), header_alone=True))

    async def data(self, key: JobKey, local: JobKey) -> int:
        """Copies a job's values; returns how many."""
        names: dict[str, None] = {}
        for name, value in await self.source.data.scan(key, values=True):
            cleaned_name = self._name(name, names)
            names[cleaned_name] = None
            await self.target.data.put(local, cleaned_name, self.to.value(value) if self.cleaner else value)
        return len(names)

    async def files(self, key: JobKey, local: JobKey) -> tuple[int, list[LeftBehind]]:
        """Copies a job's files; returns how many were copied, and which were not and why."""
        names: dict[str, None] = {}
        left = []
        for stored in await self.source.files.list(key):
            name = self._name(stored.name, names)
            names[name] = None
            with tempfile.TemporaryFile() as content:
                await self.source.files.fetch(key, stored.name, content)
                cleaned, reason = self._cleaned(content)
                if cleaned is None:
                    left.append(LeftBehind(what=f"file {name}", reason=reason))
                    del names[name]
                    continue
                cleaned.seek(0)
                await self.target.files.put(local, name, cleaned, self._new(stored))
        return len(names), left

    def _name(self, name: str, taken: dict[str, None]) -> str:
        """Returns a name without values of the patient; a number distinguishes names that have become equal."""
        if self.cleaner is None:
            return name
        cleaned = self.to.text(name)
        try:
            check_name(cleaned, "data")
        except InvalidNameError:
            cleaned = platform_id("name", cleaned)
        return self.to.unused(cleaned, taken)

    def _new(self, stored: StoredFile) -> NewFile:
        metadata: dict[str, Any] = self.to.value(stored.metadata) if self.cleaner else stored.metadata
        return NewFile(stored.content_type, metadata)

    def _cleaned(self, content: BinaryIO) -> tuple[BinaryIO | None, str]:
        """Returns the content without the patient, or None and the reason for not copying it."""
        if self.cleaner is None:
            return (content, "") if self.with_files or _is_text(content) else (None, _UNREAD)
        if _is_dicom(content):
            try:
                dataset = read_dataset(_all(content))
                return BytesIO(self.cleaner.cleaned(dataset, header_alone=self.only_headers)), ""
            except UnreadableFileError as error:
                return None, error.reason
        if _is_text(content):
            return BytesIO(self.to.content(_all(content))), ""
        return (content, "") if self.with_files else (None, _UNREAD)


_UNREAD = "neither text nor DICOM, so the patient's values cannot be found in it; --with-files copies it as it is"


def _all(content: BinaryIO) -> bytes:
    content.seek(0)
    return content.read()


def _is_dicom(content: BinaryIO) -> bool:
    content.seek(0)
    return content.read(_DICOM_PREFIX.stop)[_DICOM_PREFIX] == b"DICM"


def _is_text(content: BinaryIO) -> bool:
    size = content.seek(0, 2)
    if size > _MOST_TEXT_BYTES:
        return False
    content.seek(0)
    if b"\0" in content.read(_HEAD_BYTES):
        return False
    try:
        _all(content).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
