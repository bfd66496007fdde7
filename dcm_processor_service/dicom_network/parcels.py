"""Instances that are being sent, and the records of their outcomes, for C-STORE and STOW-RS."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.sources import UnreadableInstanceError
from dcm_processor_service.errors import UnsupportedTransferSyntaxError
from dcm_processor_service.models import InstanceRecord, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dcm_processor_service.dicom_network.planning import Choice, Kind
    from dcm_processor_service.dicom_network.sources import Outgoing
    from dcm_processor_service.dicom_network.status import StoreStatus

__all__ = ["UNSENDABLE", "Ledger", "Parcel", "why_unsendable"]

UNSENDABLE = (UnsupportedTransferSyntaxError, UnreadableInstanceError)
"""The errors that are raised for an instance that cannot be opened in a transfer syntax that the peer accepts."""


def why_unsendable(error: UnsupportedTransferSyntaxError | UnreadableInstanceError) -> tuple[Outcome, str]:
    """Returns the outcome and the meaning for an instance that could not be opened in an accepted syntax."""
    if isinstance(error, UnsupportedTransferSyntaxError):
        return Outcome.REFUSED, f"the peer does not accept its transfer syntax, and {error}"
    return Outcome.FAILED, str(error)


@dataclass
class Parcel:
    """An instance that is being sent, with the history of its attempts."""

    position: int
    instance: Outgoing
    kind: Kind
    attempts: int = 0
    duration_s: float = 0.0
    excused: int = 0
    """How many attempts failed because an association ended over which other instances had been sent: that may not be
    this instance's fault."""
    denied: int = 0
    """How many associations that were only for this kind of instance could not be opened."""
    timed_out: bool = False
    """Whether the peer did not answer the last attempt in time."""
    unacknowledged: bool = False
    status: int | None = None
    problem: str = ""
    checksum: str = ""

    @property
    def counted(self) -> int:
        """The number of attempts that count against the instance."""
        return self.attempts - self.excused + self.denied

    def record(
        self, outcome: Outcome, meaning: str, choice: Choice | None = None, *, retryable: bool = False
    ) -> InstanceRecord:
        """Returns the record of the instance."""
        own, sent = self.instance.transfer_syntax_uid, choice.transfer_syntax_uid if choice else ""
        return InstanceRecord(
            sop_class_uid=self.instance.sop_class_uid,
            sop_instance_uid=self.instance.sop_instance_uid,
            outcome=outcome,
            status=self.status,
            meaning=meaning,
            transfer_syntax_uid=sent,
            checksum=self.checksum if outcome.acknowledged else "",
            transcoded_from=own if sent and sent != own else "",
            retryable=retryable,
            attempts=self.attempts,
            duration_s=self.duration_s,
            completed_at=None if self.status is None else datetime.now(timezone.utc),
        )

    def unsendable(self, error: UnsupportedTransferSyntaxError | UnreadableInstanceError) -> InstanceRecord:
        """Returns the record of an instance that could not be opened in an accepted syntax."""
        return self.record(*why_unsendable(error))

    def give_up(self, reason: str = "", *, retryable: bool = True) -> InstanceRecord:
        """Returns the record of an instance for which nothing more is tried."""
        outcome = Outcome.FAILED if self.attempts else Outcome.NOT_ATTEMPTED
        return self.record(outcome, self.problem or reason, retryable=retryable)


class Ledger:
    """The records of a sending, by the position of the instance among those to send.

    Args:
        on_record: Called with each record.
        on_begin: Called with the SOPInstanceUIDs of instances that are about to be sent.
        may_hold: Called with a SOPInstanceUID; returns whether another of our sendings may have stored this instance.
    """

    def __init__(
        self,
        on_record: Callable[[InstanceRecord], None] | None = None,
        on_begin: Callable[[Sequence[str]], None] | None = None,
        may_hold: Callable[[str], bool] = lambda _uid: False,
    ) -> None:
        self._on_record = on_record
        self._on_begin = on_begin
        self._may_hold = may_hold
        self._lock = threading.Lock()
        self.records: dict[int, InstanceRecord] = {}
        self.acknowledged: dict[str, InstanceRecord] = {}
        """The first acknowledged record of each SOPInstanceUID."""

    def put(self, position: int, record: InstanceRecord) -> None:
        """Stores a record, and calls ``on_record`` with it."""
        with self._lock:
            self.records[position] = record
            if record.outcome.acknowledged:
                self.acknowledged.setdefault(record.sop_instance_uid, record)
            if self._on_record is not None:
                self._on_record(record)

    def begin(self, sop_instance_uids: Sequence[str]) -> None:
        """Calls ``on_begin`` with the instances that are sent next: the first at once, the others soon."""
        if self._on_begin is not None:
            with self._lock:
                self._on_begin(sop_instance_uids)

    def explain_duplicate(self, parcel: Parcel, status: StoreStatus) -> StoreStatus:
        """Returns the status for an instance that the peer already holds: only a warning if it has it from us."""
        if parcel.unacknowledged:  # an earlier attempt arrived, and only its acknowledgement was lost
            return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning="stored by an earlier attempt")
        with self._lock:
            before = self.acknowledged.get(parcel.instance.sop_instance_uid)
            ours = self._may_hold(parcel.instance.sop_instance_uid)
        if before is not None and before.checksum == parcel.checksum != "":
            meaning = "stored before, because it was given twice"
            return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning=meaning)
        if not ours:
            return status
        meaning = "stored by another of our sendings, which was cut off or ran at the same time; verify it"
        return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning=meaning)
