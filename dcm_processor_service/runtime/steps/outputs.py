"""Repositories of a step's outputs, which can be written only while the step's block runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.ports import ANY

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models import StoredFile
    from dcm_processor_service.ports import (
        DataRepository,
        FileRepository,
        Found,
        JobKey,
        NewFile,
        NormalValue,
        Sentinel,
    )

__all__ = ["StepDataRepository", "StepFileRepository"]


def _require(writable: Callable[[], bool]) -> None:
    if not writable():
        raise UnsupportedValueError(
            "outputs of a step are written inside of its with block, and only where step.done is False: all of them "
            "become visible together when it ends"
        )


class StepDataRepository:
    """Data that cannot be changed once the step is done."""

    def __init__(self, repository: DataRepository, writable: Callable[[], bool]) -> None:
        self._repository = repository
        self._writable = writable

    async def find(self, key: JobKey, name: str) -> Found | None:
        """Returns the value."""
        return await self._repository.find(key, name)

    async def put(self, key: JobKey, name: str, value: NormalValue, expected: NormalValue | Sentinel = ANY) -> bool:
        """Stores the value."""
        _require(self._writable)
        return await self._repository.put(key, name, value, expected)

    async def increment(self, key: JobKey, name: str, by: float) -> NormalValue | None:
        """Adds to a stored number."""
        _require(self._writable)
        return await self._repository.increment(key, name, by)

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the value."""
        _require(self._writable)
        return await self._repository.delete(key, name)

    async def scan(self, key: JobKey, *, values: bool) -> list[tuple[str, NormalValue]]:
        """Lists names in order."""
        return await self._repository.scan(key, values=values)


class StepFileRepository:
    """Files that cannot be changed once the step is done."""

    def __init__(self, repository: FileRepository, writable: Callable[[], bool]) -> None:
        self._repository = repository
        self._writable = writable

    async def put(self, key: JobKey, name: str, source: BinaryIO, new: NewFile) -> StoredFile:
        """Stores a file."""
        _require(self._writable)
        return await self._repository.put(key, name, source, new)

    async def find(self, key: JobKey, name: str) -> StoredFile | None:
        """Returns the file's record, or None."""
        return await self._repository.find(key, name)

    async def fetch(self, key: JobKey, name: str, sink: BinaryIO) -> StoredFile | None:
        """Writes the content to ``sink``."""
        return await self._repository.fetch(key, name, sink)

    async def delete(self, key: JobKey, name: str) -> bool:
        """Removes the file."""
        _require(self._writable)
        return await self._repository.delete(key, name)

    async def list(self, key: JobKey) -> list[StoredFile]:
        """Lists the files by name."""
        return await self._repository.list(key)
