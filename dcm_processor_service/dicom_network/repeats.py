"""Finds instances of one sending that share a SOPInstanceUID, because a peer keeps only one, whatever it answers."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import Dataset

from dcm_processor_service.dicom_network.sources import Outgoing, survey
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.models import InstanceRecord, Outcome
from dcm_processor_service.models.files import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dcm_processor_service.dicom_network.parcels import Ledger
    from dcm_processor_service.dicom_network.sources import Unreadable
    from dcm_processor_service.models import LeftOutFile
    from dcm_processor_service.ports import Sendable

__all__ = ["WHY_NOT", "Repeats", "conflicting", "is_what_was_sent", "refusal", "surveyed"]

WHY_NOT = (
    "a different instance of this sending has the same SOPInstanceUID, and the peer would keep only one of the two: "
    "send the right one alone"
)


def conflicting(found: Iterable[object]) -> frozenset[str]:
    """Returns the SOPInstanceUIDs that several different instances share; ignores items that are not instances."""
    by_uid: defaultdict[str, list[Outgoing]] = defaultdict(list)
    for one in found:
        if isinstance(one, Outgoing):
            by_uid[one.sop_instance_uid].append(one)
    checksum = _read_once()
    # all pairs must be compared, because an unreadable instance counts as equal to each of two different ones
    return frozenset(
        uid for uid, all_of in by_uid.items() if any(_differ(*two, checksum) for two in combinations(all_of, 2))
    )


def _read_once() -> Callable[[Outgoing, str], str]:
    """Returns a function like :meth:`Outgoing.checksum` that reads an instance only once for each transfer syntax."""
    known: dict[tuple[int, str], str] = {}

    def checksum(instance: Outgoing, transfer_syntax_uid: str) -> str:
        key = id(instance), transfer_syntax_uid
        if key not in known:
            known[key] = instance.checksum(transfer_syntax_uid)
        return known[key]

    return checksum


def surveyed(
    items: Sendable | Iterable[Sendable],
) -> tuple[Iterable[Outgoing | Unreadable | LeftOutFile], frozenset[str]]:
    """Returns the items to send, and the SOPInstanceUIDs that several different instances share.

    If ``items`` is an iterator, it is not read in advance: its items are yielded as they come, and the set of UIDs is
    empty.

    Raises:
        InvalidSeriesError: A folder holds nothing that could be sent.
    """
    if not isinstance(items, (Dataset, os.PathLike, Collection)):
        return survey(items), frozenset()
    found = list(survey(items))
    return found, conflicting(found)


def refusal(instance: Outgoing) -> InstanceRecord:
    """Returns the record of an instance that is not sent, because a different instance has the same UID."""
    return InstanceRecord(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        outcome=Outcome.REFUSED,
        meaning=WHY_NOT,
        path=printable(instance.source) if isinstance(instance.source, Path) else "",
    )


class Repeats:
    """Compares an instance with others of the same SOPInstanceUID that were sent or are about to be sent.

    Args:
        ledger: The records of the sending.
        conflicts: SOPInstanceUIDs that several different instances share; none of these instances may be sent.
    """

    def __init__(self, ledger: Ledger, conflicts: Collection[str] = ()) -> None:
        self._ledger = ledger
        self._conflicts = conflicts
        self._coming: dict[str, Outgoing] = {}

    def differs(self, instance: Outgoing) -> bool:
        """Returns whether a different instance of the same UID was sent before, or is to be sent as well."""
        uid = instance.sop_instance_uid
        if uid in self._conflicts:
            return True
        first = self._coming.get(uid)
        if first is not None:
            return _differ(first, instance)
        sent = self._ledger.acknowledged.get(uid)
        return sent is not None and not is_what_was_sent(instance, sent)

    def comes(self, instance: Outgoing) -> None:
        """Remembers an instance that is about to be sent."""
        self._coming.setdefault(instance.sop_instance_uid, instance)

    def forget(self) -> None:
        """Forgets the instances that were about to be sent, because they have records now."""
        self._coming.clear()


def _differ(first: Outgoing, second: Outgoing, checksum: Callable[[Outgoing, str], str] = Outgoing.checksum) -> bool:
    syntax = first.transfer_syntax_uid
    try:
        checksums = checksum(first, syntax), checksum(second, syntax)
    except UnsupportedTransferSyntaxError:
        return True
    # a checksum is empty if its instance cannot be read: it counts as equal here, and fails by itself later
    return all(checksums) and checksums[0] != checksums[1]


def is_what_was_sent(instance: Outgoing, record: InstanceRecord) -> bool:
    """Returns whether an instance is still the one that the peer acknowledged, and was not made again by a job."""
    if not record.checksum:
        return True
    try:
        return instance.checksum(record.transfer_syntax_uid) == record.checksum
    except UnsupportedTransferSyntaxError:
        return False
