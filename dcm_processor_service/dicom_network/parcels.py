"""Instances on their way, and the records of what became of them: by C-STORE and by STOW-RS alike."""

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
"""What is raised where an instance cannot be opened as the peer takes it."""


def why_unsendable(error: UnsupportedTransferSyntaxError | UnreadableInstanceError) -> tuple[Outcome, str]:
    """Returns the outcome and the meaning of an instance that could not be opened as the peer takes it."""
    if isinstance(error, UnsupportedTransferSyntaxError):
        return Outcome.REFUSED, f"the peer does not take its transfer syntax, and {error}"
    return Outcome.FAILED, str(error)


@dataclass
class Parcel:
    """An instance on its way, with what happened to it so far."""

    position: int
    instance: Outgoing
    kind: Kind
    attempts: int = 0
    duration_s: float = 0.0
    excused: int = 0
    """How many attempts ended with an association that had carried others before: perhaps no fault of this one."""
    denied: int = 0
    """How many associations that only it and its like asked for did not come about."""
    timed_out: bool = False
    """Its last attempt had no answer."""
    unacknowledged: bool = False
    status: int | None = None
    problem: str = ""
    checksum: str = ""

    @property
    def counted(self) -> int:
        """How many attempts count against it."""
        return self.attempts - self.excused + self.denied

    def record(
        self, outcome: Outcome, meaning: str, choice: Choice | None = None, *, retryable: bool = False
    ) -> InstanceRecord:
        """What became of it."""
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
        """What became of it when it could not be opened as the peer takes it."""
        return self.record(*why_unsendable(error))

    def give_up(self, reason: str = "", *, retryable: bool = True) -> InstanceRecord:
        """What became of it when nothing more is tried."""
        outcome = Outcome.FAILED if self.attempts else Outcome.NOT_ATTEMPTED
        return self.record(outcome, self.problem or reason, retryable=retryable)


class Ledger:
    """The records of a sending, by position; tells listeners about each, and about what is going to be sent."""

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
        """The first that the peer acknowledged of each SOPInstanceUID."""

    def put(self, position: int, record: InstanceRecord) -> None:
        """Writes a record, and tells the listener."""
        with self._lock:
            self.records[position] = record
            if record.outcome.acknowledged:
                self.acknowledged.setdefault(record.sop_instance_uid, record)
            if self._on_record is not None:
                self._on_record(record)

    def begin(self, sop_instance_uids: Sequence[str]) -> None:
        """Says what is about to be sent: the first at once, the others soon."""
        if self._on_begin is not None:
            with self._lock:
                self._on_begin(sop_instance_uids)

    def explain_duplicate(self, parcel: Parcel, status: StoreStatus) -> StoreStatus:
        """Sorts the status of an instance that the peer holds already: it may have come from us."""
        if parcel.unacknowledged:  # our own earlier attempt arrived, only its acknowledgement was lost
            return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning="stored by an earlier attempt")
        with self._lock:
            before = self.acknowledged.get(parcel.instance.sop_instance_uid)
            ours = self._may_hold(parcel.instance.sop_instance_uid)
        if before is not None and before.checksum == parcel.checksum != "":
            return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning="stored before, for it was given twice")
        if not ours:
            return status
        meaning = "stored by another sending of ours, which was cut off or ran at the same time; verify it"
        return replace(status, outcome=Outcome.STORED_WITH_WARNING, meaning=meaning)
