"""Finds instances of one sending that share a SOPInstanceUID: a peer keeps only one, whatever it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.errors import UnsupportedTransferSyntaxError

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.parcels import Ledger
    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.models import InstanceRecord

__all__ = ["Repeats", "is_what_was_sent"]


class Repeats:
    """Compares an instance with others of the same UID that were sent or are about to be sent.

    Args:
        ledger: The records of the sending.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._coming: dict[str, Outgoing] = {}

    def differs(self, instance: Outgoing) -> bool:
        """Returns whether another instance of this UID is sent, or was sent, before this one and differs from it."""
        uid = instance.sop_instance_uid
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


def _differ(first: Outgoing, second: Outgoing) -> bool:
    syntax = first.transfer_syntax_uid
    try:
        checksums = first.checksum(syntax), second.checksum(syntax)
    except UnsupportedTransferSyntaxError:
        return True
    return all(checksums) and checksums[0] != checksums[1]  # an unreadable instance gets a record of its own


def is_what_was_sent(instance: Outgoing, record: InstanceRecord) -> bool:
    """Returns whether an instance is unchanged since the peer acknowledged it: a job may have made it anew."""
    if not record.checksum:
        return True
    try:
        return instance.checksum(record.transfer_syntax_uid) == record.checksum
    except UnsupportedTransferSyntaxError:
        return False
