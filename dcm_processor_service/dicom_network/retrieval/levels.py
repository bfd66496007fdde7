"""Asks about series and instances level by level, as the Study Root model requires (PS3.4, C.4.1.2.1).

A query for series must name one study, and a query for instances must name one series as well. A peer need not answer
other queries, which are called relational. So this module asks first for the studies that match, then for the series of
each study, and then for the instances of each series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.query import TooManyAnswersError
from dcm_processor_service.models import FindQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.models import FindLevel, FoundItem

__all__ = ["ask_by_levels"]

_OF_PATIENTS = (
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "patient_birth_date",
)
_OF_STUDIES = (*_OF_PATIENTS, "accession_number", "study_instance_uid", "study_date", "study_description")
_OF_SERIES = ("series_instance_uid", "modality", "series_description")
_PASSED_DOWN = (*_OF_PATIENTS, "patient_sex", "study_date", "study_time")


def ask_by_levels(ask: Callable[[FindQuery], list[FoundItem]], query: FindQuery) -> list[FoundItem]:
    """Sends a query; if it does not name one study (and one series), asks for these first.

    Attributes of patient and study that an answer lacks are filled in from the answer at the level above.

    Raises:
        TooManyAnswersError: There are more answers than ``query.limit``.
    """
    if query.level == "study" or _names_all_above(query):
        return ask(query)
    kept: tuple[str, ...]
    passed: tuple[str, ...]
    if query.level == "series":
        above: FindLevel = "study"
        if not any(getattr(query, key) for key in _OF_STUDIES):
            return ask(query)  # nothing selects studies: send a relational query, which the peer may support
        kept, passed = (*_OF_STUDIES, "modality"), _OF_SERIES
    else:
        above, kept, passed = "series", (*_OF_STUDIES, *_OF_SERIES), ("sop_instance_uid",)
        if not any(getattr(query, key) for key in kept):
            return ask(query)
    upper = FindQuery.model_validate({"level": above, "limit": query.limit} | _values(query, kept))
    found: list[FoundItem] = []
    for one in ask_by_levels(ask, upper):
        uids = {key: getattr(one, key) for key in ("study_instance_uid", "series_instance_uid") if hasattr(one, key)}
        lower = {"level": query.level, "limit": query.limit} | _values(query, passed) | uids
        found += _with_patient(ask(FindQuery.model_validate(lower)), one)
        if len(found) > query.limit:
            raise TooManyAnswersError(f"the peer found more than {query.limit}; ask for less")
    return found


def _names_all_above(query: FindQuery) -> bool:
    above = (
        (query.study_instance_uid,)
        if query.level == "series"
        else (
            query.study_instance_uid,
            query.series_instance_uid,
        )
    )
    return all(len(uids) == 1 for uids in above)


def _values(query: FindQuery, keys: tuple[str, ...]) -> dict[str, object]:
    return {key: value for key in keys if (value := getattr(query, key))}


def _with_patient(found: list[FoundItem], above: FoundItem) -> Iterator[FoundItem]:
    """Fills in attributes of patient and study that a peer does not repeat at lower levels."""
    for one in found:
        inherited = {key: getattr(above, key) for key in _PASSED_DOWN if not getattr(one, key)}
        yield one.model_copy(update=inherited)
