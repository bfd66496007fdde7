"""Verifies that a peer holds the instances that it acknowledged, by asking for the instances of each series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError, find, finding
from dcm_processor_service.errors import PeerUnreachableError, UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, scan_instance
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import integer, text
from dcm_processor_service.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Protocol

    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.imaging.headers.values import Header
    from dcm_processor_service.models import InstanceRecord, Peer, SendOptions

    class Ask(Protocol):
        """Asks a peer for the instances of series."""

        def __call__(self, series: Iterable[SeriesKey], /) -> dict[SeriesKey, Held]:
            """Returns for each series the instances that the peer holds."""


__all__ = ["COMPARED", "MOST_INSTANCES", "Held", "Identity", "SeriesKey", "by_query", "held", "identity_of", "verify"]

_TEXTS, _NUMBERS = ("ContentDate", "ContentTime"), ("InstanceNumber", "NumberOfFrames", "Rows", "Columns")
COMPARED = (*_TEXTS, *_NUMBERS)
"""Attributes in which two different instances of one UID usually differ, and which many peers return."""

_REMEDY = "remove it there, or send this one under another UID, which revision= gives to a derived object"

MOST_INSTANCES = 100_000
"""The largest number of instances in one series; if a peer lists more, the verification gives up."""


@dataclass(frozen=True)
class SeriesKey:
    """The UIDs of study and series, which a query for instances needs (PS3.4, section C.4.1.2.1)."""

    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class Identity:
    """The series of an instance, and its values that are compared with those that the peer returns."""

    series: SeriesKey
    values: Mapping[str, str]
    """The values of the attributes in ``COMPARED``; an absent value is empty."""


Held = dict[str, dict[str, str]]
"""The values of the attributes in ``COMPARED`` that a peer returned, by SOPInstanceUID."""


def identity_of(instance: Outgoing) -> Identity | None:
    """Reads the identity of an instance; returns None if the file can no longer be read."""
    source = instance.source
    try:
        header = source if isinstance(source, Dataset) else _scanned(source)
    except UnreadableFileError:
        return None
    with contained():
        key = SeriesKey(text(header, "StudyInstanceUID"), text(header, "SeriesInstanceUID"))
        return Identity(key, _compared(header))


def _scanned(path: Path) -> Header:
    return scan_instance(path, longest_value_bytes=LONG_VALUE_BYTES).header


def verify(
    records: Mapping[int, InstanceRecord],
    identities: Mapping[int, Identity | None],
    ask: Ask,
    options: SendOptions,
    pause: Callable[[float], None],
) -> dict[int, InstanceRecord]:
    """Asks the peer for the instances that it acknowledged, and returns their records with the result of the check.

    A peer may list an instance only some time after it has acknowledged it. So it is asked for missing instances again.
    """
    open_records = dict(records)
    judged: dict[int, InstanceRecord] = {}
    for attempt in range(options.attempts):
        if attempt:
            pause(min(options.backoff_s * 2.0 ** (attempt - 1), options.backoff_limit_s))
        wanted = {identity.series for position in open_records if (identity := identities.get(position)) is not None}
        try:
            listed = ask(wanted)
        except (NotAnsweredError, PeerUnreachableError) as error:
            problem = f"stored; not verified: {error}"
            return judged | {one: _unverified(record, problem) for one, record in open_records.items()}
        for position, record in open_records.items():
            judged[position] = _judged(record, identities.get(position), listed)
        open_records = {one: record for one, record in open_records.items() if judged[one].retryable}
        if not open_records:
            break
    return judged


def _unverified(record: InstanceRecord, problem: str) -> InstanceRecord:
    return record.model_copy(update={"meaning": problem})


def _judged(record: InstanceRecord, identity: Identity | None, listed: dict[SeriesKey, Held]) -> InstanceRecord:
    if identity is None:
        return _unverified(record, "stored; not verified: its file cannot be read any more")
    listing = listed.get(identity.series, {}).get(record.sop_instance_uid)
    if listing is None:
        meaning = "acknowledged, but the peer does not list it: send it again"
        return record.model_copy(update={"outcome": Outcome.FAILED, "meaning": meaning, "retryable": True})
    differing = [name for name, value in listing.items() if value and identity.values.get(name, value) != value]
    if differing:
        meaning = f"the peer holds another instance under this UID: it differs in {', '.join(differing)}; {_REMEDY}"
        return record.model_copy(update={"outcome": Outcome.FAILED, "meaning": meaning})
    return record.model_copy(update={"outcome": Outcome.VERIFIED, "meaning": "stored"})


def by_query(peer: Peer, options: SendOptions, calling_ae_title: str) -> Ask:
    """Returns a function that asks by C-FIND at the level IMAGE, with one request for each series."""

    def ask(series: Iterable[SeriesKey], /) -> dict[SeriesKey, Held]:
        with finding(peer, options, calling_ae_title) as association:
            return {key: held(find(association, _query(key), most=MOST_INSTANCES), key) for key in series}

    return ask


def _query(key: SeriesKey) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = key.study_instance_uid
    query.SeriesInstanceUID = key.series_instance_uid
    query.SOPInstanceUID = ""
    for keyword in COMPARED:
        setattr(query, keyword, None)
    return query


def held(answers: Iterable[Dataset], series: SeriesKey) -> Held:
    """Collects a peer's answers about the instances of a series, ignoring answers about other series."""
    listing: Held = {}
    with contained():
        for answer in answers:
            study_uid, series_uid = text(answer, "StudyInstanceUID"), text(answer, "SeriesInstanceUID")
            if study_uid in {"", series.study_instance_uid} and series_uid in {"", series.series_instance_uid}:
                listing[text(answer, "SOPInstanceUID")] = _compared(answer)
    return listing


def _compared(header: Header) -> dict[str, str]:
    """Returns the values of the attributes in ``COMPARED``, in a form in which equal values have equal text.

    So a time has no trailing zeros in its fraction of a second.
    """
    found = {keyword: text(header, keyword) for keyword in _TEXTS}
    if "." in found["ContentTime"]:
        found["ContentTime"] = found["ContentTime"].rstrip("0").rstrip(".")
    for keyword in _NUMBERS:
        value = integer(header, keyword)
        found[keyword] = "" if value is None else str(value)
    return found
