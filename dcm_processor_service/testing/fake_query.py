"""The answers of an archive to a query: the levels of the Study Root model over a few datasets (PS3.4, annex C)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydicom import Dataset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pydicom.dataelem import DataElement

__all__ = ["answers", "matching"]

_UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
_GATHERED = {
    "NumberOfStudyRelatedSeries": "SeriesInstanceUID",
    "NumberOfStudyRelatedInstances": "SOPInstanceUID",
    "NumberOfSeriesRelatedInstances": "SOPInstanceUID",
    "ModalitiesInStudy": "Modality",
    "SOPClassesInStudy": "SOPClassUID",
}
"""Attributes that summarise all instances of a study or series, and the attributes they are computed from."""

_NO_KEYS = ("QueryRetrieveLevel", "SpecificCharacterSet")


def answers(
    held: Iterable[Dataset], query: Dataset, *, ignored: Collection[str] = (), untold: Collection[str] = ()
) -> Iterator[Dataset]:
    """Makes one answer for each study, series or instance that matches, with the keys that were asked for."""
    everything = list(held)
    found: dict[str, Dataset] = {}
    key = _UNIQUE_KEYS[str(query.QueryRetrieveLevel)]
    below: dict[str, list[Dataset]] = {}
    for dataset in everything:
        below.setdefault(str(dataset.get(key, "")), []).append(dataset)
    for dataset in matching(everything, query, ignored={*ignored, *untold}):
        found.setdefault(str(dataset.get(key, "")), dataset)
    for value, first in found.items():
        answer = Dataset()
        answer.QueryRetrieveLevel = query.QueryRetrieveLevel
        if "SpecificCharacterSet" in first:
            answer.SpecificCharacterSet = first.SpecificCharacterSet
        for element in query:
            if element.keyword in untold:
                setattr(answer, element.keyword, None)
            elif element.keyword in _GATHERED:
                gathered = sorted({str(one.get(_GATHERED[element.keyword], "")) for one in below[value]})
                setattr(answer, element.keyword, len(gathered) if element.keyword.startswith("Number") else gathered)
            elif element.keyword not in _NO_KEYS:
                setattr(answer, element.keyword, first.get(element.keyword))
        yield answer


def matching(held: Iterable[Dataset], query: Dataset, *, ignored: Collection[str] = ()) -> Iterator[Dataset]:
    """Yields the instances that match all keys of a query (PS3.4, C.2.2.2) except the ignored keys."""
    passed_over = {*_NO_KEYS, *ignored}
    for dataset in held:
        if all(_matches(dataset, element) for element in query if element.keyword not in passed_over):
            yield dataset


def _matches(dataset: Dataset, key: DataElement) -> bool:
    wanted = [str(one) for one in key.value] if key.VM > 1 else [str(key.value or "")]
    if key.keyword.startswith("Number") or wanted in ([""], ["*"]):
        return True
    value = str(dataset.get(_GATHERED.get(key.keyword, key.keyword), ""))
    if key.VR in {"DA", "TM"} and "-" in wanted[0]:
        first, _, last = wanted[0].partition("-")
        return bool(value) and first <= value and (not last or value <= last)
    return any(fnmatchcase(value, one) for one in wanted)
