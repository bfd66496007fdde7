"""Passes every patient, study and series that a job reads to the job's scrubber."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.models import Patient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from dcm_processor_service.models import FindQuery, FoundItem, Instance, SeriesRecord, Study, SubjectLevel
    from dcm_processor_service.ports import DicomRepository
    from dcm_processor_service.runtime.logs.scrubbing import Scrubber

__all__ = ["LearningDicomRepository", "learn_from_query"]

_KEYWORDS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "patient_birth_date": "PatientBirthDate",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
}


def learn_from_query(scrubber: Scrubber, query_or_answer: FindQuery | FoundItem) -> None:
    """Passes the keys of a query, or one of its answers, to a scrubber."""
    values = ((keyword, getattr(query_or_answer, name, None)) for name, keyword in _KEYWORDS.items())
    written = {keyword: value if isinstance(value, str) else f"{value:%Y%m%d}" for keyword, value in values if value}
    # a range of days does not identify a person, and a part of a text with wildcards would remove too much from logs
    known = {keyword: text for keyword, text in written.items() if not {*text} & {"*", "?"} and not _is_range(text)}
    scrubber.learn(Patient(id="", metadata=known))


def _is_range(text: str) -> bool:
    return "-" in text and text.replace("-", "").isdecimal()


class LearningDicomRepository:
    """A repository that passes what it finds to a scrubber before returning it."""

    def __init__(self, repository: DicomRepository, scrubber: Scrubber) -> None:
        self._repository = repository
        self._scrubber = scrubber

    async def find(self, level: SubjectLevel, id_or_uid: str) -> Patient | Study | SeriesRecord | None:
        """Returns one subject; see :class:`~dcm_processor_service.ports.DicomRepository`."""
        found = await self._repository.find(level, id_or_uid)
        self._scrubber.learn(found)
        return found

    async def children(self, parent: Patient | Study) -> list[Study] | list[SeriesRecord]:
        """Lists the studies of a patient or the series of a study."""
        found = await self._repository.children(parent)
        for child in found:
            self._scrubber.learn(child)
        return found

    async def parent(self, child: Study | SeriesRecord) -> Patient | Study | None:
        """Returns the patient of a study or the study of a series."""
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
