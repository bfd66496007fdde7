"""What an archive answers to a query: the levels of the Study Root model over a few datasets (PS3.4, annex C)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydicom import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataelem import DataElement

__all__ = ["answers", "matching"]

_UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
_COUNTS = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")


def answers(held: Iterable[Dataset], query: Dataset) -> Iterator[Dataset]:
    """Makes one answer for each study, series or instance that matches, with the keys that were asked for."""
    found: dict[str, list[Dataset]] = {}
    key = _UNIQUE_KEYS[str(query.QueryRetrieveLevel)]
    for dataset in matching(held, query):
        found.setdefault(str(dataset.get(key, "")), []).append(dataset)
    for datasets in found.values():
        answer = Dataset()
        answer.QueryRetrieveLevel = query.QueryRetrieveLevel
        for element in query:
            if element.keyword in _COUNTS:
                _count(answer, element.keyword, datasets)
            elif element.keyword == "ModalitiesInStudy":
                answer.ModalitiesInStudy = sorted({str(one.get("Modality", "")) for one in datasets})
            elif element.keyword != "QueryRetrieveLevel":
                value = datasets[0].get(element.keyword)
                setattr(answer, element.keyword, value)
        yield answer


def matching(held: Iterable[Dataset], query: Dataset) -> Iterator[Dataset]:
    """Yields the instances that all keys of a query match (PS3.4, C.2.2.2)."""
    for dataset in held:
        if all(_matches(dataset, element) for element in query if element.keyword != "QueryRetrieveLevel"):
            yield dataset


def _matches(dataset: Dataset, key: DataElement) -> bool:
    wanted = [str(one) for one in key.value] if key.VM > 1 else [str(key.value or "")]
    if key.keyword in _COUNTS or wanted in ([""], ["*"]):
        return True
    keyword = "Modality" if key.keyword == "ModalitiesInStudy" else key.keyword
    value = str(dataset.get(keyword, ""))
    if key.VR in {"DA", "TM"} and "-" in wanted[0]:
        first, _, last = wanted[0].partition("-")
        return bool(value) and first <= value and (not last or value <= last)
    return any(fnmatchcase(value, one) for one in wanted)


def _count(answer: Dataset, keyword: str, datasets: list[Dataset]) -> None:
    counts = "SeriesInstanceUID" if keyword == "NumberOfStudyRelatedSeries" else "SOPInstanceUID"
    setattr(answer, keyword, len({str(one.get(counts, "")) for one in datasets}))
