"""Finds out which series and instances to fetch: those of the found studies and series, as the peer lists them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError
from dcm_processor_service.models import FindQuery, FoundInstance, FoundSeries, FoundStudy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcm_processor_service.dicom_network.retrieval.asking import Inquiry
    from dcm_processor_service.models import FoundItem

__all__ = ["WantedSeries", "Wish", "wish_for"]

_MOST_SERIES, _MOST_INSTANCES = 10_000, 100_000


@dataclass
class WantedSeries:
    """A series to fetch, with the peer's answer about it."""

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    reported_count: int | None = None
    """How many instances the series has, according to the peer; None if it does not say."""
    listed: dict[str, str] = field(default_factory=dict)
    """The instances that the peer lists: SOPClassUID, which may be empty, by SOPInstanceUID."""
    sop_class_uids: tuple[str, ...] = ()
    """The SOP classes of its study, for a peer that does not list instances."""
    only_listed: bool = False
    """Whether to fetch only the instances in ``listed``, and not the whole series."""
    takes_lists: bool = True
    """Whether the peer may be asked for single instances of the series; False after it has refused that."""
    cut_short: bool = False
    """Whether the last request for it ended with a problem, so that instances may be missing."""
    given_up: bool = False
    """Whether the peer has permanently refused to send it."""

    @property
    def may_lack_more(self) -> bool:
        """Whether instances may be missing that the peer has neither listed nor counted."""
        return self.cut_short and not self.listed and self.reported_count is None

    @property
    def classes(self) -> frozenset[str]:
        """The SOP classes of its instances; empty if they are not known."""
        listed = frozenset(self.listed.values())
        return listed if listed and "" not in listed else frozenset(filter(None, self.sop_class_uids))


@dataclass
class Wish:
    """All series to fetch."""

    series: list[WantedSeries]
    studies: dict[str, int]
    """For each study that is fetched as a whole: how many instances it has, if the peer says so."""


def wish_for(found: Iterable[FoundItem], ask: Inquiry) -> Wish:
    """Asks a peer for the series of studies, and for the instances of series.

    Raises:
        NotAnsweredError: The peer does not list the series of a study. If it does not list the instances of a series,
            no error is raised.
    """
    studies: dict[str, int] = {}
    series: dict[tuple[str, str], WantedSeries] = {}
    chosen: dict[tuple[str, str], WantedSeries] = {}
    for one in found:
        if isinstance(one, FoundInstance):
            part = chosen.setdefault(_key(one), _wanted(one))
            part.only_listed = True
            part.listed[one.sop_instance_uid] = one.sop_class_uid
        elif isinstance(one, FoundSeries):
            series.setdefault(_key(one), _wanted(one))
        else:
            if one.instance_count is not None:
                studies[one.study_instance_uid] = one.instance_count
            for below in _series_of(one, ask):
                wanted = series.setdefault(_key(below), _wanted(below))
                wanted.sop_class_uids = one.sop_class_uids
                wanted.patient_id = wanted.patient_id or _patient_of(one)
    for wanted in series.values():
        _list_instances(wanted, ask)
    return Wish([*series.values(), *(part for key, part in chosen.items() if key not in series)], studies)


def _key(one: FoundSeries | FoundInstance) -> tuple[str, str]:
    return one.study_instance_uid, one.series_instance_uid


def _wanted(one: FoundSeries | FoundInstance) -> WantedSeries:
    reported_count = one.instance_count if isinstance(one, FoundSeries) else None
    return WantedSeries(one.study_instance_uid, one.series_instance_uid, _patient_of(one), reported_count)


def _patient_of(one: FoundItem) -> str:
    return one.patient_id or one.asked_patient_id


def _series_of(study: FoundStudy, ask: Inquiry) -> list[FoundSeries]:
    query = FindQuery.of("series", {"study_instance_uid": study.study_instance_uid, "limit": _MOST_SERIES})
    found = [one for one in ask(query) if isinstance(one, FoundSeries)]
    if not found and study.instance_count != 0:
        raise NotAnsweredError(f"the peer lists no series of the study {study.study_instance_uid}")
    return found


def _list_instances(wanted: WantedSeries, ask: Inquiry) -> None:
    query = FindQuery.of(
        "instance",
        {
            "study_instance_uid": wanted.study_instance_uid,
            "series_instance_uid": wanted.series_instance_uid,
            "limit": _MOST_INSTANCES,
        },
    )
    try:
        found = ask(query)
    except NotAnsweredError:  # no list is needed: the number of instances that the peer states shows what is missing
        return
    wanted.listed = {one.sop_instance_uid: one.sop_class_uid for one in found if isinstance(one, FoundInstance)}
