"""Has a scrubber learn every patient, study and series that a job reads: what it does not know it cannot remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from dcm_processor_service.models import Instance, Patient, SeriesRecord, Study, SubjectLevel
    from dcm_processor_service.ports import DicomRepository
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["LearningDicomRepository"]


class LearningDicomRepository:
    """A repository that hands what it finds to a scrubber before anybody else sees it."""

    def __init__(self, repository: DicomRepository, scrubber: Scrubber) -> None:
        self._repository = repository
        self._scrubber = scrubber

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one subject; see :class:`~dcm_processor_service.ports.DicomRepository`."""
        found = await self._repository.find(level, id_or_uid)
        self._scrubber.learn(found)
        return found

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists what lies below a subject."""
        found = await self._repository.children(parent)
        for child in found:
            self._scrubber.learn(child)
        return found

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns what a subject lies below."""
        found = await self._repository.parent(child)
        self._scrubber.learn(found)
        return found

    async def instances(self, series: SeriesRecord) -> list[Instance]:
        """Lists the files of a series."""
        return await self._repository.instances(series)

    def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the content of files."""
        return self._repository.fetch(instances)

    def fetch_heads(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
        """Yields the beginnings of files."""
        return self._repository.fetch_heads(instances)
